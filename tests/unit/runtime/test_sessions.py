"""Sessions of stopped processes are ended wherever they stopped; those of working ones are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine

import asyncpg
import pytest
from sqlalchemy import text

from silkledger.runtime import db
from silkledger.runtime.db import Database
from silkledger.runtime.sessions import StoppedSessions

Stopped = Callable[[asyncpg.Connection], Coroutine[None, None, None]]

LIMIT_MS = 300
ANSWER = "SELECT repeat('x', 1000) FROM generate_series(1, 50000)"
"""More than the sockets hold."""


@pytest.fixture
async def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(db, "IDLE_IN_TRANSACTION_MS", LIMIT_MS)
    opened = await Database.open(postgres_url)
    async with opened.write() as connection:
        await connection.execute(text("CREATE TABLE t (x INTEGER)"))
        await connection.execute(text("INSERT INTO t VALUES (0)"))
    yield opened
    await opened.close()


async def writer(url: str, name: str = db.WRITER_NAME) -> asyncpg.Connection:
    """A session that holds a row. PostgreSQL's own limit is as in production, far above the test's."""
    settings = {"application_name": name, "idle_in_transaction_session_timeout": "8000"}
    session = await asyncpg.connect(url, server_settings=settings)
    await session.execute("BEGIN")
    await session.execute("UPDATE t SET x = 99")
    return session


async def waits_for(database: Database, event: str) -> bool:
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = :event AND xact_start IS NOT NULL")
    async with database.read() as connection:
        return bool((await connection.execute(query, {"event": event})).scalar_one())


async def value(database: Database) -> int:
    """Waits for whoever holds the row."""
    async with database.write() as connection:
        return int((await connection.execute(text("UPDATE t SET x = x + 1 RETURNING x"))).scalar_one())


async def rounds(database: Database, count: int) -> None:
    """So many sessions are ended, and not before the limit."""
    guard, began, ended = StoppedSessions(database), time.monotonic(), 0
    while ended < count:
        ended += await guard.step()
        assert time.monotonic() - began < 10
    assert ended == count


async def _idle(session: asyncpg.Connection) -> None:
    """Stopped between two statements."""
    session._transport.pause_reading()


async def _parsed(session: asyncpg.Connection) -> None:
    """Stopped when the statement was parsed: what to run it with never comes."""
    session._transport.pause_reading()
    await session.fetch(ANSWER)


async def _unread(session: asyncpg.Connection) -> None:
    """Stopped while the answer comes."""
    statement = await session.prepare(ANSWER)
    session._transport.pause_reading()
    await statement.fetch()


@pytest.mark.parametrize(
    ("stopped", "event"), [(_idle, "ClientRead"), (_parsed, "ClientRead"), (_unread, "ClientWrite")]
)
async def test_a_stopped_session_is_ended_and_undone(
    database: Database, postgres_url: str, stopped: Stopped, event: str
) -> None:
    session = await writer(postgres_url)
    stopping = asyncio.create_task(stopped(session))
    while not await waits_for(database, event):
        assert not stopping.done() or stopped is _idle
    began = time.monotonic()
    await rounds(database, 1)
    assert time.monotonic() - began > LIMIT_MS / 2000, "not at once: a working client is slow at times"
    assert await asyncio.wait_for(value(database), 5) == 1
    stopping.cancel()
    session.terminate()
    await asyncio.gather(stopping, return_exceptions=True)


async def test_sessions_at_work_idle_and_of_others_are_left_alone(
    database: Database, postgres_url: str
) -> None:
    stranger = await writer(postgres_url, "somebody else")
    waiting = asyncio.create_task(value(database))  # the server works on it: it waits for a lock
    guard, until = StoppedSessions(database), time.monotonic() + 3 * LIMIT_MS / 1000
    while time.monotonic() < until:
        assert await guard.step() == 0
        await asyncio.sleep(0.05)
    await stranger.execute("COMMIT")
    assert await waiting == 100
    await stranger.close()


async def test_run_looks_until_stopped_and_outlives_the_database(
    database: Database, postgres_url: str
) -> None:
    stop = asyncio.Event()
    session = await writer(postgres_url)
    running = asyncio.create_task(StoppedSessions(database, 0.05).run(stop))
    assert await asyncio.wait_for(value(database), 5) == 1
    stop.set()
    await asyncio.wait_for(running, 5)
    session.terminate()
