"""Lane and follower on a real chain that is killed, restarted and reorganised under traffic: exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import select

from silkledger.evm.anvil import ChainFailed, EmbeddedChain
from silkledger.evm.follower import FinalityViolated
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.tables import ATTEMPT, METADATA
from silkledger.runtime.db import Database
from tests.support.anvil import bare_network, eventually
from tests.support.chain_service import Service


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


async def kill_chain(chain: EmbeddedChain) -> None:
    assert chain.pid is not None
    os.kill(chain.pid, signal.SIGKILL)
    with pytest.raises(ChainFailed):
        await asyncio.to_thread(chain.wait_for, lambda done: False)
    chain.stop()


async def test_traffic_arrives_once(service: Service) -> None:
    await service.enqueue(0, 100)
    await service.all_final(100)
    assert service.exactly_once(100)
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
    assert service.exactly_once(100)
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
    assert service.exactly_once(100)


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
    assert service.exactly_once(60)
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
