"""Tasks cancelled anywhere in a transaction, as gRPC deadlines do: no lock stays, no transaction is there in
part, and no reader sees an old state afterwards.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from silkledger.runtime.db import READ_CONNECTIONS, Database
from silkledger.runtime.sqlite_driver import creator

PARTS = 3
CANCELLED = 300
AT_ONCE = 12


class Writers:
    """Transactions of three rows each; what a transaction reported as done must be there."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.done: set[int] = set()

    async def write(self, number: int) -> None:
        insert = text("INSERT INTO t VALUES (:t, :p, :x) RETURNING part")
        async with self.database.write() as connection:
            for part in range(PARTS):
                await connection.execute(insert, {"t": number, "p": part, "x": "x" * 2000})
            async with connection.stream(text("SELECT * FROM t")) as rows:
                await anext(aiter(rows))
        self.done.add(number)

    async def read(self) -> None:
        query = text("SELECT part FROM t")
        async with self.database.read() as connection, connection.stream(query) as rows:
            async for _ in rows:
                await asyncio.sleep(0)

    async def present(self) -> dict[int, int]:
        """Rows of every transaction."""
        query = text("SELECT number, count(*) FROM t GROUP BY number")
        async with self.database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def cancelled(self, number: int, after_s: float, again_s: float | None) -> None:
        tasks = [asyncio.create_task(self.write(number)), asyncio.create_task(self.read())]
        await asyncio.sleep(after_s)
        for delay in (0.0, again_s):
            if delay is not None:
                await asyncio.sleep(delay)
                for task in tasks:
                    task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result


@pytest.fixture
async def writers(database_url: str) -> AsyncIterator[Writers]:
    database = await Database.open(database_url)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE t (number INTEGER, part INTEGER, filling TEXT)"))
    yield Writers(database)
    await database.close()


async def test_cancelled_transactions_leave_no_lock_and_no_part(writers: Writers, database_url: str) -> None:
    chance = random.Random(20260101)
    begun = time.monotonic()
    await asyncio.gather(*(writers.write(-1 - n) for n in range(AT_ONCE)))
    span = (time.monotonic() - begun) * 1.5
    for wave in range(0, CANCELLED, AT_ONCE):
        numbers = range(wave, wave + AT_ONCE)
        again = {n: chance.random() * 0.002 if chance.random() < 0.5 else None for n in numbers}
        await asyncio.gather(*(writers.cancelled(n, chance.random() * span, again[n]) for n in numbers))
        async with asyncio.timeout(5):
            async with writers.database.write() as connection:
                await connection.execute(text("DELETE FROM t WHERE number < 0"))
    present, *others = [await writers.present() for _ in range(READ_CONNECTIONS + 1)]
    assert all(other == present for other in others), "a connection reads an old state"
    assert set(present.values()) == {PARTS}
    assert {number for number in writers.done if number >= 0} <= set(present)
    assert 0 < len(present) < CANCELLED, "some were cancelled before their commit, and some after"
    await assert_unlocked(writers.database, database_url)


async def assert_unlocked(database: Database, url: str) -> None:
    """As somebody else sees it, who does not wait."""
    if database.dialect == "sqlite":
        outside = sqlite3.connect(str(make_url(url).database), timeout=0, isolation_level=None)
        outside.execute("BEGIN IMMEDIATE")
        outside.close()
        return
    held = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
    )
    deadline = time.monotonic() + 5
    while True:
        async with database.read() as connection:
            if await connection.scalar(held) == 0:
                return
        assert time.monotonic() < deadline, "a transaction stays open"
        await asyncio.sleep(0.05)


async def test_a_connection_closed_under_an_unread_statement_leaves_no_lock(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.db"
    connection = await creator(path)()
    await connection.execute("CREATE TABLE t (x)")
    await connection.execute("BEGIN IMMEDIATE")
    unread = await connection.execute("INSERT INTO t VALUES (1), (2) RETURNING x")
    assert await unread.fetchone() == (1,)
    await connection.close()
    await connection.close()
    outside = sqlite3.connect(path, timeout=0)
    assert outside.execute("SELECT count(*) FROM t").fetchone() == (0,)
    outside.execute("INSERT INTO t VALUES (3)")
    outside.close()


async def test_a_cancelled_statement_is_over_when_its_task_is(tmp_path: Path) -> None:
    connection = await creator(f"{tmp_path}/a.db")()
    running = asyncio.Event()
    loop = asyncio.get_running_loop()
    ended: list[bool] = []

    def slow() -> int:
        loop.call_soon_threadsafe(running.set)
        time.sleep(0.05)
        ended.append(True)
        return 1

    await connection.create_function("slow", 0, slow)
    task = asyncio.create_task(connection.execute_fetchall("SELECT slow()"))
    await running.wait()
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
    await connection.close()
