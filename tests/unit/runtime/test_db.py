"""The database: one owner, durable all-or-nothing writes, snapshot reads that cannot write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from silkledger.runtime.db import Database, DatabaseInUse, DatabaseUrlRefused


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path}/a.db")
    async with opened.write() as connection:
        await connection.execute(text("CREATE TABLE t (x INTEGER PRIMARY KEY)"))
    yield opened
    await opened.close()


async def rows(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.execute(text("SELECT x FROM t ORDER BY x"))).scalars())


async def test_a_second_owner_is_refused_until_the_first_closes(database: Database, tmp_path: Path) -> None:
    with pytest.raises(DatabaseInUse, match="owned by another running process"):
        await Database.open(f"sqlite:///{tmp_path}/a.db")
    await database.close()
    await (await Database.open(f"sqlite:///{tmp_path}/a.db")).close()


async def test_writes_are_durable_mode(database: Database) -> None:
    async with database.write() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar_one() == 2


async def test_an_exception_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await fail()
    assert await rows(database) == []


async def test_a_cancelled_write_leaves_nothing_and_does_not_block_the_next(database: Database) -> None:
    inserted = asyncio.Event()

    async def hang() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            inserted.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await inserted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO t VALUES (2)"))
    assert await rows(database) == [2]


async def test_writers_take_turns(database: Database) -> None:
    async def increment() -> None:
        async with database.write() as connection:
            largest = (await connection.execute(text("SELECT coalesce(max(x), 0) FROM t"))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": largest + 1})

    await asyncio.gather(*(increment() for _ in range(20)))
    assert await rows(database) == list(range(1, 21))


async def test_a_read_sees_one_state_while_writes_go_on(database: Database) -> None:
    async with database.read() as reader:
        before = (await reader.execute(text("SELECT count(*) FROM t"))).scalar_one()
        async with database.write() as writer:
            await writer.execute(text("INSERT INTO t VALUES (1)"))
        assert (await reader.execute(text("SELECT count(*) FROM t"))).scalar_one() == before
    assert await rows(database) == [1]


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(OperationalError):
        async with database.read() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u:hunter2@h/d", "::hunter2::"])
async def test_other_databases_are_refused_without_repeating_the_url(url: str) -> None:
    with pytest.raises(DatabaseUrlRefused) as caught:
        await Database.open(url)
    assert "hunter2" not in str(caught.value)
