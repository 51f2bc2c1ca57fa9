"""Lane and follower on a real chain that is killed, restarted and reorganised under traffic: exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.anvil import ChainFailed, EmbeddedChain
from silkledger.evm.contracts import Network
from silkledger.evm.follower import FinalityViolated, Follower
from silkledger.evm.lane import Lane
from silkledger.evm.lane_store import intent_status
from silkledger.evm.lane_types import CallSpec, Intent, LaneLimits, State
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import ATTEMPT, CHAIN_BLOCK, METADATA
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address
from tests.support.anvil import FAST, bare_network, eventually

TARGET = Address(b"\x77" * 20)


async def note(conn: AsyncConnection, payload: bytes) -> CallSpec:
    return CallSpec(TARGET, payload, 60_000)


@dataclass
class Service:
    """What a service has of the chain: a database, a lane and a follower, running."""

    url: str
    database: Database
    chain: EmbeddedChain
    node: JsonRpcNode
    network: Network
    account: Account = field(default_factory=Account.generate)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Lane and follower as after a process start."""
        self.stop = asyncio.Event()
        self.follower = Follower(self.database, self.node, FAST, self.network)
        signer = LocalSigner(self.account)
        self.lane = Lane(
            self.database,
            self.node,
            FAST,
            self.network,
            signer,
            {"note": note},
            limits=LaneLimits(lease_s=2.0),
        )
        self.tasks = [
            asyncio.create_task(self.follower.run(self.stop)),
            asyncio.create_task(self.lane.run(self.stop)),
        ]

    async def halt(self) -> None:
        self.stop.set()
        await asyncio.gather(*self.tasks)

    async def crash(self) -> None:
        """Stop in the middle of whatever is going on, and lose every connection, as a kill would."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.database.close()
        self.database = await Database.open(self.url)

    async def enqueue(self, first: int, count: int) -> None:
        async with self.database.write() as conn:
            for i in range(first, first + count):
                await self.lane.enqueue(conn, Intent("note", str(i), f"note {i}".encode()))
        self.lane.wake()

    async def all_final(self, count: int) -> None:
        async def done() -> bool:
            async with self.database.read() as conn:
                found = [await intent_status(conn, "note", str(i)) for i in range(count)]
            return all(status is not None and status.state is State.FINAL for status in found)

        await eventually(done, f"all {count} intents are final", timeout_s=40)

    def on_chain(self) -> Counter[str]:
        """Payloads of all transactions to the target, counted on the chain itself."""
        newest = int(self.chain.rpc("eth_blockNumber"), 16)
        blocks = [self.chain.rpc("eth_getBlockByNumber", hex(n), True) for n in range(newest + 1)]
        return Counter(
            bytes.fromhex(tx["input"][2:]).decode() for block in blocks for tx in block["transactions"]
        )

    async def same_blocks(self) -> bool:
        """Whether what was stored is the chain, block for block."""
        async with self.database.read() as conn:
            rows = (await conn.execute(select(CHAIN_BLOCK.c.number, CHAIN_BLOCK.c.hash))).all()
        theirs = [self.chain.rpc("eth_getBlockByNumber", hex(row.number), False)["hash"] for row in rows]
        return ["0x" + bytes(row.hash).hex() for row in rows] == theirs


@pytest.fixture
async def service(chain: EmbeddedChain, node: JsonRpcNode, database_url: str) -> AsyncIterator[Service]:
    database = await Database.open(database_url)
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    running = Service(database_url, database, chain, node, await bare_network(node))
    running.start()
    yield running
    await running.halt()
    await running.database.close()


def exactly_once(service: Service, count: int) -> bool:
    return service.on_chain() == Counter(f"note {i}" for i in range(count))


async def kill_chain(chain: EmbeddedChain) -> None:
    assert chain.pid is not None
    os.kill(chain.pid, signal.SIGKILL)
    with pytest.raises(ChainFailed):
        await asyncio.to_thread(chain.wait_for, lambda done: False)
    chain.stop()


async def test_traffic_arrives_once(service: Service) -> None:
    await service.enqueue(0, 100)
    await service.all_final(100)
    assert exactly_once(service, 100)
    assert await service.same_blocks()
    assert await service.lane.health() is None
    assert await service.follower.health() is None


async def test_killing_the_chain_again_and_again_loses_and_doubles_nothing(service: Service) -> None:
    for round_number in range(5):
        await service.enqueue(20 * round_number, 20)
        # at a moment when transactions are on their way: some signed, some sent, some in a block
        await eventually(partial(_any_attempt, service, 20 * round_number), "something was sent")
        await kill_chain(service.chain)
        service.chain.start()
    await service.all_final(100)
    assert exactly_once(service, 100)
    assert await service.same_blocks()


async def test_killing_service_and_chain_loses_and_doubles_nothing(service: Service) -> None:
    for round_number in range(4):
        await service.enqueue(25 * round_number, 25)
        await eventually(partial(_any_attempt, service, 20 * round_number), "something was sent")
        await service.crash()
        await kill_chain(service.chain)
        service.chain.start()
        service.start()
    await service.all_final(100)
    assert exactly_once(service, 100)


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_reorg_of_unfinal_blocks_is_followed_and_its_transactions_sent_again(
    service: Service, depth: int
) -> None:
    await service.enqueue(0, 30)
    await eventually(partial(_any_attempt, service, 0), "something was sent")
    before = service.follower.head
    await service.follower.wait_for(before.number + depth)
    service.chain.rpc("anvil_reorg", depth, [])
    await service.enqueue(30, 30)
    await service.all_final(60)
    assert exactly_once(service, 60)
    assert await service.same_blocks()


async def test_a_reorg_below_finality_stops_the_follower(service: Service) -> None:
    await service.enqueue(0, 5)
    await service.all_final(5)
    await service.follower.wait_final(8)
    service.chain.rpc("anvil_reorg", 6, [])
    with pytest.raises(FinalityViolated):
        await asyncio.wait_for(service.follower.wait_for(10_000), 20)
    health = await service.follower.health()
    assert health is not None and health.startswith("halted")


async def _any_attempt(service: Service, more_than: int) -> bool:
    """More attempts were handed over than in the rounds before."""
    async with service.database.read() as conn:
        rows = (await conn.execute(select(ATTEMPT.c.id).where(ATTEMPT.c.sends > 0))).all()
    return len(rows) > more_than
