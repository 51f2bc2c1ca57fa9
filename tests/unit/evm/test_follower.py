"""The follower against a node that reorganises, lags and lies."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evidence.receipts import EventLog, bloom_of
from silkledger.evm.contracts import BlockEvents, Network
from silkledger.evm.follower import FinalityViolated, Follower, FollowerHalted, WrongChain
from silkledger.evm.follower_store import unarchive
from silkledger.evm.port import NodeLied, NodeUnavailable
from silkledger.evm.tables import CHAIN_BLOCK, CHAIN_CURSOR, CHAIN_TX
from silkledger.keys.account import Account
from silkledger.projections.chain import block_at, position, stored_block, where_is
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockHash
from tests.support.anvil import eventually
from tests.unit.evm.fake_node import FakeNode
from tests.unit.evm.rig import DEEP, Clock, Recorder, on_chain, rows, send, settle


class Failing(Recorder):
    """A projector that fails at one block."""

    def __init__(self, at: int) -> None:
        self.at = at

    async def apply(self, conn: AsyncConnection, blocks: Sequence[BlockEvents]) -> None:
        await super().apply(conn, blocks)
        if self.at in [block.number for block, _ in blocks]:
            raise RuntimeError("projector failed")


async def test_applies_every_block_once_with_its_receipts(
    database: Database, fake: FakeNode, network: Network, seen: Recorder
) -> None:
    tx_hash = await send(fake, Account.generate(), 0)
    fake.mine(9)
    follower = Follower(database, fake, DEEP, network, [seen])
    await follower.start()
    await settle(follower)

    assert await rows(database) == on_chain(fake)
    assert follower.head == fake.blocks[-1].header.ref
    assert follower.final == fake.blocks[2].header.ref
    async with database.read() as conn:
        archived = await stored_block(conn, 1, DEEP.header_kind)
        where = await where_is(conn, tx_hash)
        standing = await position(conn)
        assert await block_at(conn, 10) is None
    assert archived is not None
    assert archived.header == fake.blocks[0].header
    assert archived.receipts == fake.blocks[0].receipts
    assert archived.tx_hashes == (tx_hash,)
    assert where is not None
    assert (where.block, where.succeeded, where.final) == (fake.blocks[0].header.ref, True, True)
    assert (standing.head, standing.final) == (follower.head, follower.final)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
async def test_reorg_is_undone_to_the_common_ancestor(
    database: Database, fake: FakeNode, network: Network, seen: Recorder, depth: int
) -> None:
    fake.mine(8)
    told: list[int] = []

    async def listener(ancestor: int) -> None:
        told.append(ancestor)

    follower = Follower(database, fake, DEEP, network, [seen], on_reorg=[listener])
    await follower.start()
    await settle(follower)
    before = on_chain(fake)
    fake.reorg(depth, length=depth + 1)
    await settle(follower)

    assert on_chain(fake)[: 8 - depth] == before[: 8 - depth]
    assert on_chain(fake)[8 - depth : 8] != before[8 - depth :]
    assert await rows(database) == on_chain(fake)
    assert told == [8 - depth]
    assert follower.head == fake.blocks[-1].header.ref


async def test_reorg_to_the_same_height_is_seen(
    database: Database, fake: FakeNode, network: Network, seen: Recorder
) -> None:
    fake.mine(8)
    follower = Follower(database, fake, DEEP, network, [seen])
    await follower.start()
    await settle(follower)
    fake.reorg(2)
    await settle(follower)
    assert await rows(database) == on_chain(fake)


async def test_orphaned_transactions_are_forgotten(
    database: Database, fake: FakeNode, network: Network
) -> None:
    fake.mine(3)
    tx_hash = await send(fake, Account.generate(), 0)
    fake.mine(1)
    follower = Follower(database, fake, DEEP, network)
    await follower.start()
    await settle(follower)
    fake.reorg(1, length=2)
    await settle(follower)
    async with database.read() as conn:
        assert await where_is(conn, tx_hash) is None


async def test_a_node_that_lost_its_newest_blocks_is_believed_after_a_while(
    database: Database, fake: FakeNode, network: Network, seen: Recorder
) -> None:
    fake.mine(8)
    clock = Clock()
    follower = Follower(database, fake, DEEP, network, [seen], clock=clock)
    await follower.start()
    await settle(follower)
    del fake.blocks[-2:]
    assert not await follower.step()
    assert follower.head.number == 8
    clock.now += 3 * DEEP.block_time_s
    assert await follower.step()
    assert follower.head == fake.blocks[-1].header.ref
    assert await rows(database) == on_chain(fake)


async def test_a_node_below_finality_is_not_believed(
    database: Database, fake: FakeNode, network: Network
) -> None:
    fake.mine(8)
    clock = Clock()
    follower = Follower(database, fake, DEEP, network, clock=clock)
    await follower.start()
    await settle(follower)
    del fake.blocks[1:]
    await follower.step()
    clock.now += 3 * DEEP.block_time_s
    with pytest.raises(NodeLied, match="below the final block 2"):
        await follower.step()
    assert follower.head.number == 8


@pytest.mark.parametrize("length", [1, 6, 7, 20])
async def test_conflict_at_finality_halts_and_rewrites_nothing(
    database: Database, fake: FakeNode, network: Network, seen: Recorder, length: int
) -> None:
    fake.mine(8)
    follower = Follower(database, fake, DEEP, network, [seen])
    await follower.start()
    await settle(follower)
    before = on_chain(fake)
    fake.reorg(7, length=length)
    stop = asyncio.Event()
    await asyncio.wait_for(follower.run(stop), 5)

    assert isinstance(follower.halted, FinalityViolated)
    assert follower.halted.number == 2
    assert await rows(database) == before
    health = await follower.health()
    assert health is not None and health.startswith("halted")
    with pytest.raises(FollowerHalted):
        await follower.wait_for(100)


async def test_finality_survives_a_restart(database: Database, fake: FakeNode, network: Network) -> None:
    fake.mine(8)
    first = Follower(database, fake, DEEP, network)
    await first.start()
    await settle(first)
    fake.reorg(7, length=9)
    second = Follower(database, fake, DEEP, network)
    await second.start()
    assert second.final.number == 2
    with pytest.raises(FinalityViolated):
        await settle(second)


async def test_logs_of_other_contracts_are_ignored_and_unknown_events_of_ours_are_not(
    database: Database, fake: FakeNode, network: Network
) -> None:
    log = EventLog(Address(b"\x99" * 20), (b"\x01" * 32,), b"")
    fake.logs = lambda signed: (log,)
    account = Account.generate()
    await send(fake, account, 0)
    fake.mine(1)
    follower = Follower(database, fake, DEEP, network)
    await follower.start()
    await settle(follower)
    assert follower.head.number == 1

    fake.logs = lambda signed: (dataclasses.replace(log, address=network.address("LogAnchor")),)
    await send(fake, account, 1)
    fake.mine(1)
    await asyncio.wait_for(follower.run(asyncio.Event()), 5)
    assert follower.halted is not None
    assert "does not have" in str(follower.halted)
    assert follower.head.number == 1


async def test_a_failing_projector_leaves_nothing_of_the_batch(
    database: Database, fake: FakeNode, network: Network, seen: Recorder
) -> None:
    fake.mine(5)
    follower = Follower(database, fake, DEEP, network, [Failing(4)])
    await follower.start()
    with pytest.raises(RuntimeError, match="projector failed"):
        await follower.step()
    assert await rows(database) == []
    async with database.read() as conn:
        assert (await conn.execute(select(CHAIN_BLOCK))).first() is None
        assert (await conn.execute(select(CHAIN_CURSOR.c.number))).scalar_one() == 0


@pytest.mark.parametrize("what", ["chain id", "genesis", "directory"])
async def test_a_wrong_chain_is_refused_at_start(
    database: Database, fake: FakeNode, network: Network, what: str
) -> None:
    if what == "chain id":
        fake.chain = 1
    elif what == "genesis":
        fake.genesis = BlockHash(b"\x01" * 32)
    else:
        await Follower(database, fake, DEEP, network).start()
        network = dataclasses.replace(network, directory=Address(b"\xd2" * 20))
    with pytest.raises(WrongChain):
        await Follower(database, fake, DEEP, network).start()


async def test_health_tells_of_a_silent_node_and_recovers(
    database: Database, fake: FakeNode, network: Network
) -> None:
    fake.mine(2)
    clock = Clock()
    follower = Follower(database, fake, DEEP, network, clock=clock)
    assert await follower.health() == "not started"
    stop = asyncio.Event()
    running = asyncio.create_task(follower.run(stop))
    await asyncio.wait_for(follower.wait_for(2), 5)
    assert await follower.health() is None
    fake.down = True

    async def complains() -> bool:
        clock.now += 60
        return "down" in (await follower.health() or "")

    await eventually(complains, "health tells that the node is down")
    fake.down = False
    fake.mine(1)
    await asyncio.wait_for(follower.wait_for(3), 5)
    assert await follower.health() is None
    stop.set()
    await running


async def test_nothing_is_caught_up_with_before_the_node_was_asked(
    database: Database, fake: FakeNode, network: Network
) -> None:
    """A database may be older than the chain, and says of itself only that it has a final block."""
    fake.mine(8)
    first = Follower(database, fake, DEEP, network)
    await first.start()
    await settle(first)
    assert first.caught_up
    fake.mine(4)

    again = Follower(database, fake, DEEP, network)
    await again.start()
    assert (again.head.number, again.final.number, again.lag) == (8, 2, 0)
    assert not again.caught_up
    assert "has not said where its chain ends" in (await again.health() or "")
    await settle(again)
    assert again.head.number == 12
    assert again.caught_up
    assert await again.health() is None


async def test_waiters_hear_of_blocks_and_of_finality(
    database: Database, fake: FakeNode, network: Network
) -> None:
    fake.mine(1)
    follower = Follower(database, fake, DEEP, network)
    stop = asyncio.Event()
    running = asyncio.create_task(follower.run(stop))
    head = await asyncio.wait_for(follower.wait_for(1), 5)
    fake.mine(6)
    assert (await asyncio.wait_for(follower.next_block(head), 5)).number >= 2
    await asyncio.wait_for(follower.wait_final(1), 5)
    stop.set()
    await running


async def test_two_followers_of_one_database_apply_each_block_once(
    database: Database, fake: FakeNode, network: Network, seen: Recorder
) -> None:
    fake.mine(3)
    one, two = (Follower(database, fake, DEEP, network, [seen]) for _ in range(2))
    await one.start()
    await two.start()
    await settle(one)
    fake.mine(3)
    await settle(two)
    await settle(one)
    assert one.head == two.head
    assert await rows(database) == on_chain(fake)


async def test_the_archive_gives_back_what_was_put_in(
    database: Database, fake: FakeNode, network: Network
) -> None:
    fake.logs = lambda signed: (EventLog(Address(b"\x99" * 20), (b"\x01" * 32,), b"x"),)
    tx_hash = await send(fake, Account.generate(), 0)
    fake.mine(1)
    follower = Follower(database, fake, DEEP, network)
    await follower.start()
    await settle(follower)
    async with database.read() as conn:
        row = (await conn.execute(select(CHAIN_BLOCK))).one()
        transaction = (await conn.execute(select(CHAIN_TX))).one()
    assert unarchive(bytes(row.receipts)) == [(tx_hash, fake.blocks[0].receipts[0])]
    assert bytes(row.header) == fake.blocks[0].header.raw
    assert bytes(transaction.tx_hash) == bytes(tx_hash)
    assert fake.blocks[0].header.logs_bloom == bloom_of(fake.blocks[0].receipts[0].logs)


async def test_an_unreachable_node_at_start_is_retryable(
    database: Database, fake: FakeNode, network: Network
) -> None:
    fake.down = True
    follower = Follower(database, fake, DEEP, network)
    with pytest.raises(NodeUnavailable):
        await follower.start()
    fake.down = False
    await follower.start()
