"""A QBFT test chain: the blocks of a real node, sealed by test validators.

**Not a network.** No QBFT node runs in tests; this generator takes the blocks that the embedded chain made
(real contracts, receipts and state) and rewrites their headers as QBFT would have written them: extraData
with validators, vote, round and commit seals; difficulty, mixHash, nonce and coinbase; parents linked to the
rewritten headers. State, transactions and receipts roots, bloom, numbers and times stay the node's, so its
proofs stand under the rewritten headers. Deterministic: keys come from small numbers, signatures follow
RFC 6979.

Independent of the code under test where that matters: headers are taken apart and put together with the `rlp`
library, and votes are counted by the rule's text, not by `silkledger.evidence.lineage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import coincurve
import rlp
import sha3
from rlp.codec import encode_raw

from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evm.contracts import Network
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import AccountProof, Block, FullBlock
from silkledger.values import Address

MIX_HASH = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
PARENT, COINBASE, STATE_ROOT, DIFFICULTY, NUMBER, EXTRA_DATA, MIX, NONCE = 0, 2, 3, 7, 8, 12, 13, 14
"""Positions in the header's list."""


def keccak(data: bytes) -> bytes:
    return bytes(sha3.keccak_256(data).digest())


class Validator:
    """One validator's key, derived from a small number. Equal only to itself."""

    def __init__(self, number: int) -> None:
        self.key = coincurve.PrivateKey(number.to_bytes(32, "big"))
        self.address = Address(keccak(self.key.public_key.format(compressed=False)[1:])[12:])

    def seal(self, digest: bytes) -> bytes:
        return self.key.sign_recoverable(digest, hasher=None)


def validators(count: int, first: int = 1) -> list[Validator]:
    """`count` validators, sorted by address as headers list them."""
    return in_order([Validator(number) for number in range(first, first + count)])


def in_order(members: Sequence[Validator]) -> list[Validator]:
    return sorted(members, key=lambda validator: bytes(validator.address))


@dataclass(frozen=True)
class Turn:
    """What is out of the ordinary at one height."""

    proposer: Validator | None = None
    """Default: round robin."""
    round: int = 0
    vote: tuple[Validator, bool] | None = None
    """Subject, and whether to add (or else drop) it."""
    sealers: Sequence[Validator] | None = None
    """Default: as few as are enough, beginning with the proposer."""


@dataclass
class _Votes:
    """Who counts at a height, by the text of the EEA specification."""

    members: list[Validator]
    cast: list[tuple[Validator, Validator, bool]] = field(default_factory=list)
    """Voter, subject, add: each voter's last one about each subject."""

    def count(self, voter: Validator, subject: Validator, add: bool) -> None:
        self.cast = [one for one in self.cast if one[:2] != (voter, subject)] + [(voter, subject, add)]
        alike = [one for one in self.cast if one[1:] == (subject, add)]
        if len(alike) <= len(self.members) // 2:
            return
        self.cast = [one for one in self.cast if one[1] is not subject]
        if add:
            self.members = in_order([*self.members, subject])
        else:
            self.members = [member for member in self.members if member is not subject]
            self.cast = [one for one in self.cast if one[0] is not subject]


class QbftChain:
    """The rewritten headers of blocks 0 to the last one given, by number."""

    def __init__(
        self,
        raw_headers: Sequence[bytes],
        genesis: Sequence[Validator],
        *,
        epoch_length: int = 30_000,
        turns: Mapping[int, Turn] | None = None,
    ) -> None:
        self.rules = ValidatorRules(epoch_length)
        self._turns = dict(turns or {})
        self._votes = _Votes(in_order(genesis))
        self.members: list[list[Validator]] = []
        """The validators that seal each block."""
        self.headers: list[Header] = []
        for raw in raw_headers:
            self._append(raw)

    def _append(self, raw: bytes) -> None:
        number = len(self.headers)
        members, turn = self._votes.members, self._turns.get(number, Turn())
        proposer = turn.proposer or members[number % len(members)]
        items = rlp.decode(raw)
        if int.from_bytes(items[NUMBER], "big") != number:
            raise ValueError("blocks must be given from 0 on, without a gap")
        items[PARENT] = bytes(self.headers[-1].hash) if number else bytes(32)
        items[COINBASE] = bytes(proposer.address) if number else bytes(20)
        items[DIFFICULTY], items[MIX], items[NONCE] = b"\x01", MIX_HASH, bytes(8)
        items[EXTRA_DATA] = _extra_data(members, turn, [])
        if number:
            digest = keccak(encode_raw(items))
            sealers = _enough(members, proposer) if turn.sealers is None else turn.sealers
            items[EXTRA_DATA] = _extra_data(members, turn, [sealer.seal(digest) for sealer in sealers])
        self.members.append(members)
        self.headers.append(decode_header(encode_raw(items), EngineKind.QBFT))
        if number % self.rules.epoch_length == 0:
            self._votes.cast = []
        elif turn.vote is not None:
            self._votes.count(proposer, *turn.vote)


def _extra_data(members: Sequence[Validator], turn: Turn, seals: Sequence[bytes]) -> bytes:
    vote: list[bytes] = []
    if turn.vote is not None:
        subject, add = turn.vote
        vote = [bytes(subject.address), b"\xff" if add else b""]
    round_ = rlp.sedes.big_endian_int.serialize(turn.round)
    listed = [bytes(member.address) for member in members]
    encoded: bytes = encode_raw([bytes(32), listed, vote, round_, list(seals)])
    return encoded


def _enough(members: Sequence[Validator], proposer: Validator) -> list[Validator]:
    """ceil(2N/3) of the members, the proposer first."""
    others = [member for member in members if member is not proposer]
    return [proposer, *others][: (2 * len(members) + 2) // 3]


def replacing(first: int, leaving: Sequence[Validator], joining: Sequence[Validator]) -> dict[int, Turn]:
    """Turns from block `first` on that put `joining[i]` in the place of `leaving[i]`, one after the other.

    `leaving` is the whole set at `first`.
    """
    turns: dict[int, Turn] = {}
    members = list(leaving)
    for out, new in zip(leaving, joining, strict=False):
        for subject, add in ((new, True), (out, False)):
            for voter in members[: len(members) // 2 + 1]:
                turns[first + len(turns)] = Turn(proposer=voter, vote=(subject, add))
            members = [*members, subject] if add else [m for m in members if m is not subject]
    return turns


class SealedNode:
    """The embedded chain's node, answering with the rewritten headers. Reads only what evidence needs."""

    def __init__(self, node: JsonRpcNode, chain: QbftChain) -> None:
        self._node = node
        self.chain = chain

    @classmethod
    async def over(
        cls,
        node: JsonRpcNode,
        last: int,
        genesis: Sequence[Validator],
        *,
        epoch_length: int = 30_000,
        turns: Mapping[int, Turn] | None = None,
    ) -> SealedNode:
        """Seal blocks 0 to `last` of `node`. Block 0 is made of block 1's header: engines differ there."""
        raw = [block.header.raw for block in await node.full_blocks(1, last)]
        items = rlp.decode(raw[0])
        items[NUMBER] = b""
        return cls(
            node, QbftChain([encode_raw(items), *raw], genesis, epoch_length=epoch_length, turns=turns)
        )

    def network(self, network: Network) -> Network:
        """`network` with this chain's genesis."""
        return replace(network, genesis_hash=self.chain.headers[0].hash)

    async def block(self, number: int) -> Block:
        hashes = (await self._node.block(number)).tx_hashes if number else ()
        return Block(self.chain.headers[number], hashes)

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        blocks = await self._node.full_blocks(first, last)
        return [replace(block, header=self.chain.headers[block.header.number]) for block in blocks]

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        return await self._node.get_proof(address, slots, block)
