"""A follower of two real nodes, one of which lies: it is named with its reason, and nothing is applied."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from silkledger.evidence.receipts import EventLog, bloom_of
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.deploy import deploy
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.node_standing import NodeTrouble
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import CHAIN_BLOCK, METADATA
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address
from tests.support.anvil import FAST, eventually
from tests.support.node_proxy import NodeProxy

HONEST, LIAR = "port-authority", "other-bank"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedChain, Network]]:
    """A chain with all contracts: its blocks hold transactions with logs."""
    embedded = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=FAST.block_time_s)
    embedded.start()

    async def founded() -> Network:
        node = JsonRpcNode(embedded.url, FAST)
        try:
            return await deploy(node, Account.generate(), Account.generate().address, FAST)
        finally:
            await node.close()

    yield embedded, asyncio.run(founded())
    embedded.stop()


@dataclass
class Following:
    """A follower of two nodes, running, with what it has applied."""

    follower: Follower
    nodes: CrossCheckedNode
    database: Database

    def trouble(self, name: str) -> NodeTrouble | None:
        return next(s.trouble for s in self.nodes.standings if s.name == name)

    async def applied(self) -> int:
        async with self.database.read() as conn:
            return int(await conn.scalar(select(func.count()).select_from(CHAIN_BLOCK)) or 0)

    async def in_trouble(self, name: str, trouble: NodeTrouble | None) -> bool:
        return self.trouble(name) is trouble


@asynccontextmanager
async def following(
    tmp_path: Path, network: Network, urls: dict[str, str], agreement: int = 0
) -> AsyncIterator[Following]:
    database = await Database.open(f"sqlite:///{tmp_path}/follower.sqlite")
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    nodes = CrossCheckedNode(
        [(name, JsonRpcNode(url, FAST, 2.0)) for name, url in urls.items()],
        network.chain_id,
        network.genesis_hash,
        block_time_s=FAST.block_time_s,
        agreement=agreement,
    )
    follower, stop = Follower(database, nodes, FAST, network), asyncio.Event()
    running = asyncio.create_task(follower.run(stop))
    try:
        yield Following(follower, nodes, database)
    finally:
        stop.set()
        await running
        await nodes.close()
        await database.close()


@pytest.fixture
async def proxy(real: tuple[EmbeddedChain, Network]) -> AsyncIterator[NodeProxy]:
    running = NodeProxy(real[0].url)
    await running.start()
    yield running
    await running.stop()


def _receipts(method: str, result: Any) -> list[dict[str, Any]]:
    return result if method == "eth_getBlockReceipts" and result else []


def altered_receipt(method: str, result: Any) -> Any:
    """A log says something else; nothing else is changed."""
    for receipt in _receipts(method, result):
        for log in receipt["logs"]:
            log["data"] = "0x" + "11" * 32
    return result


def missing_log(method: str, result: Any) -> Any:
    """The last log of every receipt is left out, and the receipt's bloom made to fit."""
    for receipt in _receipts(method, result):
        receipt["logs"] = receipt["logs"][:-1]
        logs = [
            EventLog(Address.from_hex(log["address"]), tuple(map(_octets, log["topics"])), b"")
            for log in receipt["logs"]
        ]
        receipt["logsBloom"] = "0x" + bloom_of(logs).hex()
    return result


def other_chain(method: str, result: Any) -> Any:
    return hex(1) if method == "eth_chainId" else result


def _octets(text: str) -> bytes:
    return bytes.fromhex(text[2:])


LIES = {
    "altered receipt": (altered_receipt, NodeTrouble.LIED),
    "missing log": (missing_log, NodeTrouble.LIED),
    "other chain": (other_chain, NodeTrouble.OTHER_CHAIN),
}


@pytest.mark.parametrize("liar_first", [True, False], ids=["liar_preferred", "liar_second"])
@pytest.mark.parametrize("lie", LIES)
async def test_a_liar_is_named_and_nothing_is_applied_until_it_tells_the_truth(
    real: tuple[EmbeddedChain, Network], proxy: NodeProxy, tmp_path: Path, lie: str, liar_first: bool
) -> None:
    chain, network = real
    distort, trouble = LIES[lie]
    urls = [(HONEST, chain.url), (LIAR, proxy.url)]
    proxy.distort = distort
    async with following(tmp_path, network, dict(reversed(urls) if liar_first else urls)) as f:
        await eventually(partial(f.in_trouble, LIAR, trouble), f"the liar is named for {lie}")
        before = await f.applied()
        meanwhile = int(chain.rpc("eth_blockNumber"), 16) + 4
        await eventually(partial(_reached, chain, meanwhile), "blocks are made meanwhile")
        assert await f.applied() == before
        assert f.follower.final.number <= before
        assert f.trouble(HONEST) is None
        assert f"node {LIAR}: {trouble.value}" in (await f.nodes.health() or "")

        proxy.distort = lambda method, result: result
        await asyncio.wait_for(f.follower.wait_for(int(chain.rpc("eth_blockNumber"), 16)), 20)
        await eventually(partial(f.in_trouble, LIAR, None), "in order again")
        assert await f.nodes.health() is None


async def _reached(chain: EmbeddedChain, number: int) -> bool:
    return int(chain.rpc("eth_blockNumber"), 16) >= number


@pytest.mark.parametrize("stale_first", [True, False], ids=["stale_preferred", "stale_second"])
async def test_a_stale_head_is_named_and_nothing_above_it_is_applied(
    real: tuple[EmbeddedChain, Network], proxy: NodeProxy, tmp_path: Path, stale_first: bool
) -> None:
    chain, network = real
    urls = [(HONEST, chain.url), (LIAR, proxy.url)]
    async with following(tmp_path, network, dict(reversed(urls) if stale_first else urls)) as f:
        await asyncio.wait_for(f.follower.wait_for(5), 20)
        stopped_at = int(chain.rpc("eth_blockNumber"), 16)
        proxy.distort = lambda method, result: hex(stopped_at) if method == "eth_blockNumber" else result
        await eventually(partial(f.in_trouble, LIAR, NodeTrouble.BEHIND), "the stale head is named")
        assert int(chain.rpc("eth_blockNumber"), 16) > stopped_at
        assert await f.applied() == stopped_at
        assert f.trouble(HONEST) is None
        assert f"node {LIAR}: NODE_BEHIND: ends at block {stopped_at}" in (await f.nodes.health() or "")
        proxy.distort = lambda method, result: result
        await asyncio.wait_for(f.follower.wait_for(stopped_at + 3), 20)


async def test_a_node_that_is_down_is_named_and_not_waited_for(
    real: tuple[EmbeddedChain, Network], proxy: NodeProxy, tmp_path: Path
) -> None:
    chain, network = real
    async with following(tmp_path, network, {LIAR: proxy.url, HONEST: chain.url}) as f:
        await asyncio.wait_for(f.follower.wait_for(5), 20)
        await proxy.stop()
        await eventually(partial(f.in_trouble, LIAR, NodeTrouble.SILENT), "the silent node is named")
        await asyncio.wait_for(f.follower.wait_for(int(chain.rpc("eth_blockNumber"), 16) + 3), 20)
        assert await f.nodes.health() is None


async def test_two_nodes_that_part_are_both_named_and_nothing_is_applied(
    real: tuple[EmbeddedChain, Network], tmp_path: Path
) -> None:
    """Two real nodes with one past; then each makes blocks of its own, one of them with a transaction."""
    chain, network = real
    shutil.copytree(chain.directory, tmp_path / "twin")
    twin = EmbeddedChain(tmp_path / "twin", block_time_s=FAST.block_time_s)
    await asyncio.to_thread(_start_with_its_thread, twin)
    try:
        common = int(twin.rpc("eth_blockNumber"), 16)
        node, account = JsonRpcNode(twin.url, FAST), Account.generate()
        own = Transaction(network.chain_id, 0, 0, 50_000, Address(b"\x77" * 20), b"only here")
        await node.send_raw((await sign_transaction(LocalSigner(account), own)).raw)
        await node.close()
        await eventually(partial(_has, twin, account), "the twin has a block of its own")
        async with following(tmp_path, network, {HONEST: chain.url, LIAR: twin.url}) as f:
            await eventually(partial(f.in_trouble, LIAR, NodeTrouble.DISAGREES), "they are found to differ")
            assert f.trouble(HONEST) is NodeTrouble.DISAGREES, "of two, nobody knows which one lies"
            assert await f.applied() <= common + 1
            health = await f.nodes.health() or ""
            assert f"at {HONEST}" in health
            assert f"at {LIAR}" in health
    finally:
        twin.stop()


def _start_with_its_thread(chain: EmbeddedChain) -> None:
    """The kernel ends a node with the thread that started it: this one goes back to a pool that stays."""
    chain.start()


async def _has(chain: EmbeddedChain, account: Account) -> bool:
    return int(chain.rpc("eth_getTransactionCount", str(account.address), "latest"), 16) == 1
