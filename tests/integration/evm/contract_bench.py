"""A real node's blocks in QBFT contract mode, over HTTP, and followers of it that share a database.

The validators stand in a real contract on it; tests/support/qbft_contract_chain.py makes their seals.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import Header
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contract_seals import ContractSeals
from silkledger.evm.contracts import Network
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import BESU_QBFT
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import Node
from silkledger.evm.tables import CHAIN_BLOCK, METADATA
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockHash
from tests.integration.evm.test_following_seals import settle
from tests.support.anvil import FAST, eventually
from tests.support.node_proxy import NodeProxy
from tests.support.qbft_chain import QbftChain, Turn, Validator, validators
from tests.support.qbft_contract_chain import ContractSealedNode, ValidatorContract, raw_headers, seal
from tests.support.sealed_rpc import SealedRpc

__all__ = ["bench", "real"]

PROFILE = dataclasses.replace(BESU_QBFT, block_time_s=FAST.block_time_s, log_range=8)
FOUR, NEWCOMERS, STRANGER = validators(4), validators(5, first=50), Validator(70)
HALF = [*FOUR[:2], *NEWCOMERS[:3]]
NOBODY = Address(b"\x31" * 20)
BEFORE = 12
"""Blocks before the validators change, at least: more than any test names by number."""
BAD = 9
"""A block before the change."""
QUIET = 4
"""Blocks without a transaction at the end."""


@dataclass(frozen=True)
class Real:
    """A real node, its headers, and who seals: four until block `changed`, then five, of whom two stay."""

    chain: EmbeddedChain
    network: Network
    raw: list[bytes]
    rules: ContractRules
    changed: int
    proofs: list[dict[str, Any]]
    """Of the contract with all slots that anybody asks for, by block: the node forgets its states."""
    proof_of_none: dict[str, Any]
    """Of an account that is not there, at block 0."""

    @property
    def last(self) -> int:
        return len(self.raw) - 1

    def sealed(self, turns: Mapping[int, Turn] | None = None, *, mode_changed: int = 0) -> list[Header]:
        """In contract mode from block `mode_changed` on, before it in header mode."""
        sets: list[Sequence[Validator]] = [FOUR if n < self.changed else HALF for n in range(self.last + 1)]
        begun = QbftChain(self.raw[:mode_changed], FOUR).headers
        return seal(self.raw, sets, turns, begun)


async def reaches(node: JsonRpcNode, number: int) -> None:
    async def long_enough() -> bool:
        return await node.block_number() >= number

    await eventually(long_enough, f"block {number}")


async def record(chain: EmbeddedChain) -> Real:
    node = JsonRpcNode(chain.url, FAST)
    try:
        account = Account.generate()
        contract = await ValidatorContract.create(node, account, FOUR)
        network = await deploy(node, Account.generate(), Account.generate().address, FAST)
        await reaches(node, BEFORE)
        changed = await contract.replace_all(HALF)
        last = changed + QUIET
        await reaches(node, last)
        sealed = await ContractSealedNode.over(node, contract, [*FOUR, *NEWCOMERS], last)
        raw = await raw_headers(node, contract.block, last)
        rules = await contract.rules()
        slots = [0, 1, *(rules.item_slot(index) for index in range(len(HALF)))]

        def proof(address: Address, number: int) -> dict[str, Any]:
            at = hex(max(number, contract.block))
            told: dict[str, Any] = chain.rpc("eth_getProof", str(address), [f"0x{s:064x}" for s in slots], at)
            return told

        proofs = [proof(rules.address, number) for number in range(last + 1)]
        real = Real(chain, sealed.network(network), raw, rules, changed, proofs, proof(NOBODY, 0))
        assert [header.raw for header in real.sealed()] == [header.raw for header in sealed.headers]
        return real
    finally:
        await node.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    chain = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=FAST.block_time_s)
    chain.start()
    try:
        yield asyncio.run(record(chain))
    finally:
        chain.stop()


class Rpc(SealedRpc):
    """A QBFT node in contract mode, that lies about proofs when told to, and counts them."""

    def __init__(self, real: Real) -> None:
        super().__init__(real.sealed())
        self._real = real
        self.instead: dict[int, int] = {}
        """Block to the block whose proof is given in its place."""
        self.pruned_below = 0
        self.lie: Callable[[dict[str, Any]], None] = lambda proof: None
        self.asked: Counter[int] = Counter()
        """Slots proven, by block; an account alone counts as 0 of them."""

    def own(self, call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] != "eth_getProof":
            return None
        address, slots, block = call["params"]
        number = int(block, 16)
        self.asked[number] += len(slots)
        if number < self.pruned_below:
            return {"error": {"code": -32000, "message": "World state unavailable"}}
        proof = copy.deepcopy(self._real.proofs[self.instead.get(number, number)])
        if address != str(self._real.rules.address):
            proof = copy.deepcopy(self._real.proof_of_none)
        by_slot = {int(item["key"], 16): item for item in proof["storageProof"]}
        proof["storageProof"] = [by_slot[int(slot, 16)] for slot in slots]
        self.lie(proof)
        return {"result": proof}

    def put_before(self, proxy: NodeProxy) -> None:
        proxy.distort, proxy.own = self.told, self.own


class Bench:
    """A QBFT node over HTTP, and a database that followers of it share, one after the other."""

    def __init__(self, real: Real, proxy: NodeProxy, database: Database) -> None:
        self.real, self.proxy, self.database = real, proxy, database
        self.rpc = Rpc(real)
        self.rpc.put_before(proxy)
        self.node = JsonRpcNode(proxy.url, PROFILE, 5.0)

    async def follower(
        self,
        rules: ContractRules | None = None,
        pins: dict[int, BlockHash] | None = None,
        node: Node | None = None,
    ) -> Follower:
        network, node = self.real.network, node or self.node
        seals = ContractSeals(self.database, node, network.genesis_hash, rules or self.real.rules, pins)
        follower = Follower(self.database, node, PROFILE, network, seals=seals)
        await follower.start()
        return follower

    async def archived(self) -> list[bytes]:
        query = select(CHAIN_BLOCK.c.header).order_by(CHAIN_BLOCK.c.number)
        async with self.database.read() as conn:
            return [bytes(row.header) for row in await conn.execute(query)]

    async def refused(
        self, error: type[Exception], text: str, first_bad: int, follower: Follower | None = None
    ) -> Exception:
        """Nothing from block `first_bad` on is applied."""
        follower = follower or await self.follower()
        with pytest.raises(error, match=text) as refusal:
            await settle(follower)
        assert follower.head.number < first_bad
        assert len(await self.archived()) == follower.head.number
        return refusal.value

    async def recovers(self) -> None:
        """The truth is followed afterwards."""
        self.rpc = Rpc(self.real)
        self.rpc.put_before(self.proxy)
        follower = await self.follower()
        await settle(follower)
        assert follower.head.number == self.real.last


@pytest.fixture
async def bench(real: Real, tmp_path: Path) -> AsyncIterator[Bench]:
    proxy = NodeProxy(real.chain.url)
    await proxy.start()
    database = await Database.open(f"sqlite:///{tmp_path}/follower.sqlite")
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    made = Bench(real, proxy, database)
    yield made
    await made.node.close()
    await database.close()
    await proxy.stop()
