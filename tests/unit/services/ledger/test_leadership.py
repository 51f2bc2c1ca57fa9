"""Two sequencers of one log on PostgreSQL: one leads, one stands by; an old leader writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from services.ledger import storage
from services.ledger.index.known import KnownStatements
from services.ledger.index.merging import FAN_IN, Merging
from services.ledger.sequencing.leadership import Leadership, lease_seconds, log_lease
from services.ledger.sequencing.queue import Queue
from services.ledger.sequencing.sequencer import LogInconsistent, Sequencer
from silkledger.runtime.db import POSTGRESQL, SQLITE, Database
from silkledger.runtime.lease import LeaseLost
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.settings import Mode, SettingsError
from silkledger.statement import parse_statement
from tests.support.anvil import eventually
from tests.support.postgres import *  # noqa: F403
from tests.unit.services.ledger.sequenced import ORIGIN, accept, expected, raw, sequencer


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(postgres_url)
    await migrate_open(opened, "services/ledger/migrations")
    yield opened
    await opened.close()


async def lapse(database: Database) -> None:
    """The leader has been silent for longer than its lease."""
    async with database.write() as connection:
        await connection.execute(update(log_lease).values(lease_until_ms=1))


async def epoch(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(log_lease.c.epoch))).scalar_one())


async def size(database: Database) -> int:
    async with database.read() as connection:
        head = await storage.checkpoint_at(connection)
    return -1 if head is None else head.tree_size


async def test_one_leads_and_the_other_stands_by_open(database: Database) -> None:
    first, second = Queue(100), Queue(100)
    leading, standing = sequencer(database, first), sequencer(database, second)
    await accept(database, 0, 5)
    assert await leading.step() == 5
    await accept(database, 5, 3, second)
    assert await standing.step() == 0
    assert second.open, "who stands by accepts as well"
    assert second.waiting == 3, "and knows how much waits in all"
    assert await standing.health() is None, "and is well"
    assert await leading.step() == 3
    assert len(second.ids) == 3, "it does not know yet that the other logged what it accepted"
    await standing.step()
    assert (second.waiting, second.ids) == (0, set())
    assert await epoch(database) == 1


async def test_the_other_goes_on_and_the_first_is_fenced(database: Database) -> None:
    a, b = Leadership(database, ORIGIN), Leadership(database, ORIGIN)
    first, second = with_leadership(database, a), with_leadership(database, b)
    await accept(database, 0, 5)
    assert await first.step() == 5
    await accept(database, 5, 3)
    await lapse(database)
    assert await second.step() == 3
    assert await epoch(database) == 2
    await accept(database, 8, 2)
    assert a.epoch == 1, "it slept, and does not know yet"
    with pytest.raises(LeaseLost):
        await first.step()
    assert await size(database) == 8
    assert await first.step() == 0
    assert await second.step() == 2
    async with database.read() as connection:
        rows = await storage.logged_entries(connection, 0, 100)
        head = await storage.checkpoint_at(connection)
    assert [item.raw for item in rows] == [raw(number) for number in range(10)]
    assert head is not None and head.root == bytes(expected(10).root())


def with_leadership(database: Database, leadership: Leadership) -> Sequencer:
    made = sequencer(database, Queue(100))
    made._leadership = leadership
    made._merging = Merging(database, leadership.writing)
    return made


@pytest.mark.parametrize(("lease_s", "look_s"), [(0.5, 0.05), (10.0, 1.0), (60.0, 1.0)])
async def test_who_stands_by_looks_ten_times_a_lease_and_every_second_at_least(
    database: Database, lease_s: float, look_s: float
) -> None:
    assert Leadership(database, ORIGIN, lease_s).look_s == pytest.approx(look_s)


async def test_a_merge_of_an_old_epoch_is_forgotten(database: Database) -> None:
    """The leader in between drops what was being built: to finish it would lose index entries."""
    a, b = Leadership(database, ORIGIN), Leadership(database, ORIGIN)
    first, second = with_leadership(database, a), with_leadership(database, b)
    for number in range(FAN_IN):
        await accept(database, number, 1)
        await first.step()
    assert await first._merging.step(), "a merge is begun"
    await lapse(database)
    await second.step()
    while await second._merging.step():
        pass
    await b.give_up()
    a._renew_at = 0.0  # time has passed: the claim must be renewed
    await accept(database, 50, 1)
    await first.step()
    while await first._merging.step():
        pass
    async with database.read() as connection:
        ids = [parse_statement(raw(number)).id for number in (*range(FAN_IN), 50)]
        assert set(await KnownStatements().logged(connection, ids)) == set(ids)
        assert len(await storage.entries_by_id(connection, ids)) == len(ids)


async def test_what_waited_before_a_restart_is_counted_until_it_is_logged(database: Database) -> None:
    await accept(database, 0, 5)
    queue = Queue(100)
    worker = sequencer(database, queue, batch=3)
    await accept(database, 5, 2)
    assert await worker.step() == 5
    assert queue.waiting == 2
    assert await worker.step() == 2
    assert queue.waiting == 0


async def test_a_claim_that_was_lost_and_won_again_is_another_epoch(database: Database) -> None:
    """What was begun in the old epoch must not be written in the new one."""
    a, b = Leadership(database, ORIGIN), Leadership(database, ORIGIN)
    assert await a.lead()
    await lapse(database)
    assert await b.lead()
    await b.give_up()
    assert b.epoch is None
    with pytest.raises(LeaseLost):
        async with a.writing():
            raise AssertionError("not reached")
    assert await a.lead()
    assert a.epoch == 3
    with pytest.raises(LeaseLost):
        async with b.writing():
            raise AssertionError("not reached")


async def test_a_leader_that_halts_lets_the_other_find_out(database: Database) -> None:
    first, second = Queue(100), Queue(100)
    await accept(database, 0, 5)
    await sequencer(database, first).step()
    await lapse(database)
    async with database.write() as connection:
        await connection.execute(update(storage.checkpoint).values(root=bytes(32)))
    stop = asyncio.Event()
    running = asyncio.create_task(sequencer(database, first).run(stop))

    async def halted() -> bool:
        return first.halted is not None

    await eventually(halted, "the leader finds what was altered")
    with pytest.raises(LogInconsistent):
        await sequencer(database, second).step()
    stop.set()
    await asyncio.wait_for(running, 5)


def test_leases_that_break_promises_or_outlast_nothing_are_refused() -> None:
    good: Any = SimpleNamespace(mode=Mode.PRODUCTION, promise_within_s=60, log_lease_ms=10_000)
    assert lease_seconds(good, POSTGRESQL) == 10
    hasty: Any = SimpleNamespace(**vars(good) | {"promise_within_s": 20})
    with pytest.raises(SettingsError, match="SILKLEDGER_PROMISE_WITHIN_S: must be above twice"):
        lease_seconds(hasty, POSTGRESQL)
    assert lease_seconds(hasty, SQLITE) == 10
    short: Any = SimpleNamespace(**vars(good) | {"log_lease_ms": 8_000})
    with pytest.raises(SettingsError, match="must not run in production mode"):
        lease_seconds(short, POSTGRESQL)
    short.mode = Mode.DEVELOPMENT
    assert lease_seconds(short, POSTGRESQL) == 8
