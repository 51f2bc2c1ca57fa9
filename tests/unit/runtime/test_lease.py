"""Leases: one owner at a time, by row and epoch; a silent one is followed by another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select, text, update

from silkledger.runtime.db import SQLITE, Database
from silkledger.runtime.lease import Lease, LeaseLost, lease_columns, release

WORK = Table(
    "work",
    MetaData(),
    Column("name", Text, primary_key=True),
    *lease_columns(),
    Column("done", BigInteger, nullable=False),
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await _prepared(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Database]:
    opened = await _prepared(postgres_url)
    yield opened
    await opened.close()


async def _prepared(url: str) -> Database:
    opened = await Database.open(url)
    async with opened.write() as connection:
        await connection.run_sync(WORK.metadata.create_all)
        await lease("nobody").create(connection, done=0)
    return opened


def lease(owner: str, lease_s: float = 60.0) -> Lease:
    return Lease(WORK, {"name": "the work"}, owner, lease_s)


async def hold(database: Database, taken: Lease) -> int | None:
    """The epoch, if it was to be had."""
    async with database.write() as connection:
        row = await taken.hold(connection)
    return None if row is None else int(row.epoch)


async def work(database: Database, owner: Lease, epoch: int, done: int) -> None:
    async with database.write() as connection:
        await owner.fence(connection, epoch, done=done)


async def done(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(WORK.c.done))).scalar_one())


async def lapse(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(update(WORK).values(lease_until_ms=1))


async def test_one_owner_at_a_time_and_an_epoch_for_each(postgres: Database) -> None:
    a, b = lease("a"), lease("b")
    assert await hold(postgres, a) == 1
    assert await hold(postgres, b) is None
    assert await hold(postgres, a) == 1, "renewed, not begun anew"
    await lapse(postgres)
    assert await hold(postgres, a) == 1, "late, but nobody came before"
    await lapse(postgres)
    assert await hold(postgres, b) == 2
    assert await hold(postgres, a) is None


async def test_on_sqlite_whoever_had_it_before_is_dead(database: Database) -> None:
    assert await hold(database, lease("a")) == 1
    assert await hold(database, lease("b")) == (2 if database.dialect == SQLITE else None)


async def test_an_owner_of_the_past_writes_nothing(database: Database) -> None:
    a, b = lease("a"), lease("b")
    assert await hold(database, a) == 1
    await work(database, a, 1, 10)
    await lapse(database)
    await work(database, a, 1, 11)  # nobody came: still the owner
    assert await hold(database, b) == 2
    with pytest.raises(LeaseLost):
        await work(database, a, 1, 12)
    async with database.write() as connection:
        assert await a.keep(connection) is None
    assert await done(database) == 11
    await lapse(database)
    assert await hold(database, a) == 3
    with pytest.raises(LeaseLost):
        await work(database, a, 1, 12)
    await work(database, a, 3, 13)
    assert await done(database) == 13


async def test_what_was_given_up_is_free_at_once_and_fenced(database: Database) -> None:
    a, b = lease("a"), lease("b")
    assert await hold(database, a) == 1
    async with database.write() as connection:
        await release(connection, WORK, "b")
    await work(database, a, 1, 1)
    async with database.write() as connection:
        await release(connection, WORK, "a")
    with pytest.raises(LeaseLost):
        await work(database, a, 1, 2)
    async with database.write() as connection:
        assert await a.keep(connection) is None, "who gave it up does not get it back by itself"
    assert await hold(database, b) == 2
    assert await done(database) == 1


async def test_the_lease_ends_by_the_servers_clock(postgres: Database) -> None:
    assert await hold(postgres, lease("a", 0.3)) == 1
    began = time.monotonic()
    while await hold(postgres, lease("b")) is None:
        assert time.monotonic() - began < 5
    assert 0.2 < time.monotonic() - began < 2


async def test_of_many_that_come_at_once_one_gets_it(postgres: Database) -> None:
    assert await hold(postgres, lease("before")) == 1
    await lapse(postgres)
    epochs = await asyncio.gather(*(hold(postgres, lease(f"owner {n}")) for n in range(8)))
    assert sorted(epochs, key=str) == [2, *[None] * 7]


async def test_a_session_at_work_is_waited_for(postgres: Database) -> None:
    a = lease("a", 0.2)
    assert await hold(postgres, a) == 1
    fenced = asyncio.Event()

    async def slow() -> None:
        async with postgres.write() as connection:
            await a.fence(connection, 1, done=7)
            fenced.set()
            await connection.execute(text("SELECT pg_sleep(1)"))

    working = asyncio.create_task(slow())
    await fenced.wait()
    while (epoch := await hold(postgres, lease("b"))) is None:
        assert not working.done()
    assert epoch == 2
    await working
    assert await done(postgres) == 7, "what it had begun in its epoch stands"
