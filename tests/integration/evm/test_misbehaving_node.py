"""Lane and follower behind a node that loses, delays, refuses, lies, lags, forgets and reorganises.

Between them and a real chain stands a proxy that spoils what it is told to. However it misbehaves, every
intent is on chain exactly once in the end, counted on the chain itself, and what was stored is that chain.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import NodeError
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import ATTEMPT, METADATA
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address
from tests.support.anvil import FAST, bare_network, eventually
from tests.support.chain_service import TARGET, Service
from tests.support.node_proxy import Fault, NodeProxy

BLOCK_TIME_S = 0.05
PROFILE = dataclasses.replace(FAST, finality_depth=6, block_time_s=BLOCK_TIME_S, resend_after_s=0.3)
"""Deep enough that a reorg of five blocks touches nothing final."""

ANSWER_WITHIN_S = 0.4
"""How long our side waits for the node."""


@pytest.fixture(scope="module")
def shared_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedChain]:
    """One chain for the whole module: every test has its own signer on it."""
    embedded = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=BLOCK_TIME_S)
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
async def proxy(shared_chain: EmbeddedChain) -> AsyncIterator[NodeProxy]:
    running = NodeProxy(shared_chain.url)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def service(
    request: pytest.FixtureRequest, shared_chain: EmbeddedChain, proxy: NodeProxy, tmp_path: Path
) -> AsyncIterator[Service]:
    """On SQLite, or on the database engine that the test names."""
    on_postgresql = getattr(request, "param", "sqlite") == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgresql else f"sqlite:///{tmp_path}/lane.sqlite"
    database = await Database.open(url)
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    node = JsonRpcNode(proxy.url, PROFILE, ANSWER_WITHIN_S)
    network, since = await bare_network(node), max(await node.block_number() - 8, 0)
    running = Service(url, database, shared_chain, node, network, profile=PROFILE, since=since)
    running.start()
    yield running
    await running.halt()
    await running.database.close()
    await node.close()


async def sends(service: Service) -> Counter[int]:
    """How often each nonce's bytes were handed over."""
    async with service.database.read() as conn:
        rows = await conn.execute(select(ATTEMPT.c.nonce, ATTEMPT.c.sends))
        return Counter({row.nonce: row.sends for row in rows})


async def mined(service: Service, count: int) -> bool:
    """Whether the chain has taken `count` transactions of the signer."""
    return _count(service.chain, service.account.address) == count


async def converges(service: Service, count: int) -> None:
    """All intents are final, each is on chain once, each has had one nonce, and ours is the node's chain."""
    await service.all_final(count)
    assert service.exactly_once(count)
    assert set(await sends(service)) == set(range(count)), "nonces without gaps, one for each intent"
    assert await service.same_blocks()
    assert service.lane.problem is None


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
async def test_a_spoilt_hand_over_is_made_good(service: Service, proxy: NodeProxy, fault: Fault) -> None:
    proxy.spoil(fault, 3)
    await service.enqueue(0, 6)
    await converges(service, 6)
    assert proxy.spoilt[fault] == 3


@pytest.mark.parametrize(
    "fault", [Fault.DROP_REPLY, Fault.TIME_OUT, Fault.TOO_MANY], ids=lambda fault: fault.name.lower()
)
async def test_spoilt_readings_are_asked_again(service: Service, proxy: NodeProxy, fault: Fault) -> None:
    proxy.spoil(fault, 2, "eth_getBlockReceipts")
    proxy.spoil(fault, 2, "eth_blockNumber")
    await service.enqueue(0, 6)
    await converges(service, 6)
    assert proxy.spoilt[fault] == 4


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
async def test_a_reorg_with_a_lost_mempool(service: Service, proxy: NodeProxy, depth: int) -> None:
    """Blocks that held our transactions are replaced by empty ones, and the node does not keep what was in
    them.
    """
    await service.enqueue(0, 4)
    await eventually(lambda: mined(service, 4), "all four are in blocks")
    proxy.spoil(Fault.FORGET, 2)
    service.chain.rpc("anvil_reorg", depth, [])
    service.chain.rpc("anvil_dropAllTransactions")
    await service.enqueue(4, 4)
    await converges(service, 8)


@pytest.mark.parametrize("blocks", [4, 12], ids=["above_finality", "below_finality"])
async def test_a_node_that_falls_behind_and_catches_up(
    service: Service, proxy: NodeProxy, blocks: int
) -> None:
    """Falling behind looks like a rollback; below finality it is not believed, above it nothing is lost."""
    await service.enqueue(0, 4)
    await service.all_final(4)
    final = service.follower.final
    proxy.lag = blocks
    await service.enqueue(4, 4)
    await eventually(lambda: mined(service, 8), "sent through the lagging node")
    assert service.follower.final.number >= final.number
    proxy.lag = 0
    await converges(service, 8)


@pytest.mark.parametrize("service", ["sqlite", "postgresql"], indirect=True)
async def test_all_of_it_at_once(service: Service, proxy: NodeProxy) -> None:
    for round_number in range(2):
        for fault in Fault:
            proxy.spoil(fault, 1)
        proxy.spoil(Fault.TOO_MANY, 1, "eth_blockNumber")
        await service.enqueue(8 * round_number, 8)
        await eventually(partial(_more, service, 8 * round_number), "some are handed over")
        proxy.lag = 2
        service.chain.rpc("anvil_reorg", 2 + round_number, [])
        service.chain.rpc("anvil_dropAllTransactions")
    proxy.lag = 0
    await converges(service, 16)
    assert set(proxy.spoilt) == set(Fault)


async def _more(service: Service, count: int) -> bool:
    return (await sends(service)).total() > count


async def test_without_the_lane_a_lost_reply_counts_twice(
    shared_chain: EmbeddedChain, proxy: NodeProxy
) -> None:
    """The counting can tell: a sender that answers a lost reply by sending anew is found on chain twice."""
    account, node = Account.generate(), JsonRpcNode(proxy.url, PROFILE, ANSWER_WITHIN_S)
    proxy.spoil(Fault.DROP_REPLY, 1)
    nonce = 0
    for _ in range(2):
        transaction = Transaction(7317, nonce, 0, 60_000, TARGET, b"note 0")
        try:
            await node.send_raw((await sign_transaction(LocalSigner(account), transaction)).raw)
        except NodeError:
            nonce += 1

    async def twice() -> bool:
        return _count(shared_chain, account.address) == 2

    await eventually(twice, "the same note is on chain twice")
    await node.close()


def _count(chain: EmbeddedChain, sender: Address) -> int:
    return int(chain.rpc("eth_getTransactionCount", str(sender), "latest"), 16)
