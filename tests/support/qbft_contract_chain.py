"""A QBFT test chain in contract mode: blocks of a real node, whose validators stand in a real contract on it.

**Not a network.** As `qbft_chain.py`, but with Besu's validator selection mode "contract": headers name no
validators and carry no vote; who seals block n+1 is what the contract answers at the end of block n. State
and its proofs are the node's, but for blocks before the contract was created: these have the state of the
block that created it, as if it stood in the genesis file. Deterministic keys, signatures by RFC 6979.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import rlp
from eth_abi.abi import decode, encode
from rlp.codec import encode_raw

from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evm.contracts import Network
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import AccountProof, Block, FullBlock
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.values import Address
from tests.support.qbft_chain import (
    COINBASE,
    DIFFICULTY,
    EXTRA_DATA,
    MIX,
    MIX_HASH,
    NONCE,
    NUMBER,
    PARENT,
    STATE_ROOT,
    Turn,
    Validator,
    in_order,
    keccak,
)

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "contracts/test/ValidatorSet.sol"
SLOT = 0
"""Of the array in that contract."""
GAS = 2_000_000


@cache
def bytecode() -> bytes:
    """Creation code of the validators' contract, from the toolchain's compiler."""
    wanted = {"*": {"ValidatorSet": ["evm.bytecode.object"]}}
    question = {
        "language": "Solidity",
        "sources": {"ValidatorSet.sol": {"content": SOURCE.read_text()}},
        "settings": {"evmVersion": "paris", "outputSelection": wanted},
    }
    done = subprocess.run(
        ["sh", str(ROOT / "contracts/solc"), "--standard-json"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return bytes.fromhex(answer["contracts"]["ValidatorSet.sol"]["ValidatorSet"]["evm"]["bytecode"]["object"])


class ValidatorContract:
    """The contract on the node's chain."""

    def __init__(self, node: JsonRpcNode, account: Account, address: Address, block: int) -> None:
        self._node = node
        self._account = account
        self.address = address
        self.block = block
        """Of its creation."""

    @classmethod
    async def create(
        cls, node: JsonRpcNode, account: Account, members: Sequence[Validator]
    ) -> ValidatorContract:
        address, block = await _send(node, account, None, bytecode() + _listed(members))
        return cls(node, account, address, block)

    async def replace_all(self, members: Sequence[Validator]) -> int:
        """Other validators from the end of a block on; its number."""
        selector = keccak(b"replaceAll(address[])")[:4]
        return (await _send(self._node, self._account, self.address, selector + _listed(members)))[1]

    async def members(self, block: int) -> list[bytes]:
        """What the contract answers Besu at the end of `block`."""
        answer = await self._node.call(self.address, keccak(b"getValidators()")[:4], block)
        (listed,) = decode(["address[]"], answer)
        return sorted(bytes.fromhex(item[2:]) for item in listed)

    async def rules(self) -> ContractRules:
        return ContractRules(self.address, keccak(await self._node.code(self.address)), SLOT)


def _listed(members: Sequence[Validator]) -> bytes:
    return bytes(encode(["address[]"], [[bytes(member.address) for member in members]]))


async def _send(node: JsonRpcNode, account: Account, to: Address | None, data: bytes) -> tuple[Address, int]:
    nonce = await node.nonce(account.address)
    transaction = Transaction(await node.chain_id(), nonce, 0, GAS, to, data)
    tx_hash = await node.send_raw((await sign_transaction(LocalSigner(account), transaction)).raw)
    receipt = await node.transaction_receipt(tx_hash)
    async with asyncio.timeout(20):
        while receipt is None:
            await asyncio.sleep(0.02)
            receipt = await node.transaction_receipt(tx_hash)
    if not receipt.receipt.status:
        raise RuntimeError("the transaction reverted")
    return receipt.contract_address or Address(bytes(20)), receipt.block_number


def seal(
    raw: Sequence[bytes],
    sets: Sequence[Sequence[Validator]],
    turns: Mapping[int, Turn] | None = None,
    begun: Sequence[Header] = (),
) -> list[Header]:
    """The headers `raw`, of blocks 0 on, sealed in contract mode; `sets[n]` validate after block n. The first
    of them are `begun`, e.g. in header mode: then the network changed its mode after them."""
    made = list(begun)
    for number, one in list(enumerate(raw))[len(made) :]:
        turn = (turns or {}).get(number, Turn())
        made.append(seal_next(made[-1] if made else None, one, sets[max(number - 1, 0)], turn))
    return made


def seal_next(parent: Header | None, raw: bytes, sealing: Sequence[Validator], turn: Turn) -> Header:
    """The header `raw` sealed on top of `parent`, by `sealing`; without a parent, the genesis."""
    number, members = 0 if parent is None else parent.number + 1, in_order(sealing)
    proposer = turn.proposer or members[number % len(members)]
    items = rlp.decode(raw)
    if int.from_bytes(items[NUMBER], "big") != number:
        raise ValueError("blocks must be given from 0 on, without a gap")
    items[PARENT] = bytes(32) if parent is None else bytes(parent.hash)
    items[COINBASE] = bytes(proposer.address) if number else bytes(20)
    items[DIFFICULTY], items[MIX], items[NONCE] = b"\x01", MIX_HASH, bytes(8)
    items[EXTRA_DATA] = _extra_data(turn.round, [])
    if number:
        digest = keccak(encode_raw(items))
        enough = members[: (2 * len(members) + 2) // 3]
        sealers = enough if turn.sealers is None else turn.sealers
        items[EXTRA_DATA] = _extra_data(turn.round, [sealer.seal(digest) for sealer in sealers])
    return decode_header(encode_raw(items), EngineKind.QBFT)


def _extra_data(round_: int, seals: Sequence[bytes]) -> bytes:
    encoded: bytes = encode_raw([bytes(32), [], [], rlp.sedes.big_endian_int.serialize(round_), list(seals)])
    return encoded


async def raw_headers(node: JsonRpcNode, since: int, last: int) -> list[bytes]:
    """The node's headers 0 to `last`; up to block `since` with its state. Block 0 is made of block 1's
    header: engines differ there."""
    raw = [block.header.raw for block in await node.full_blocks(1, last)]
    state = rlp.decode(raw[since - 1])[STATE_ROOT]
    made: list[bytes] = []
    for number in range(last + 1):
        items = rlp.decode(raw[max(number, 1) - 1])
        items[NUMBER] = rlp.sedes.big_endian_int.serialize(number)
        if number < since:
            items[STATE_ROOT] = state
        made.append(encode_raw(items))
    return made


class ContractSealedNode:
    """The embedded chain's node, answering with headers sealed in contract mode."""

    def __init__(self, node: JsonRpcNode, headers: Sequence[Header], since: int) -> None:
        self._node = node
        self.headers = list(headers)
        self.since = since
        """The block whose state those before it have as well."""

    @classmethod
    async def over(
        cls,
        node: JsonRpcNode,
        contract: ValidatorContract,
        known: Sequence[Validator],
        last: int,
        turns: Mapping[int, Turn] | None = None,
    ) -> ContractSealedNode:
        """Seal blocks 0 to `last`; `known` are all who ever validate. Before the contract was created its
        first validators seal."""
        raw = await raw_headers(node, contract.block, last)
        keys = {bytes(validator.address): validator for validator in known}
        sets = [
            [keys[address] for address in await contract.members(max(number, contract.block))]
            for number in range(last + 1)
        ]
        return cls(node, seal(raw, sets, turns), contract.block)

    def network(self, network: Network) -> Network:
        """`network` with this chain's genesis."""
        return replace(network, genesis_hash=self.headers[0].hash)

    async def block(self, number: int) -> Block:
        hashes = (await self._node.block(number)).tx_hashes if number else ()
        return Block(self.headers[number], hashes)

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        blocks = await self._node.full_blocks(first, last)
        return [replace(block, header=self.headers[block.header.number]) for block in blocks]

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        return await self._node.get_proof(address, slots, max(block, self.since))


class LiveChain:
    """Seals the blocks of a running embedded chain one after the other as they come. `headers` grows; give it
    to a `tests.support.sealed_rpc.SealedRpc`."""

    def __init__(self, node: JsonRpcNode, contract: ValidatorContract, known: Sequence[Validator]) -> None:
        self._node, self._contract = node, contract
        self._keys = {bytes(validator.address): validator for validator in known}
        self.headers: list[Header] = []

    async def seal_on(self) -> None:
        """Up to the node's head. Before the contract was created its first validators seal."""
        last = await self._node.block_number()
        while (first := len(self.headers)) <= last:
            for block in await self._node.full_blocks(max(first, 1), min(max(first, 1) + 49, last)):
                items = rlp.decode(block.header.raw)
                if not self.headers:
                    items[NUMBER] = b""
                    self.headers.append(await self._sealed(encode_raw(items)))
                self.headers.append(await self._sealed(block.header.raw))

    async def _sealed(self, raw: bytes) -> Header:
        before = max(len(self.headers) - 1, self._contract.block)
        sealing = [self._keys[address] for address in await self._contract.members(before)]
        return seal_next(self.headers[-1] if self.headers else None, raw, sealing, Turn())

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.seal_on()
            await asyncio.sleep(0.05)
