"""Connections to PostgreSQL that died at rest are replaced unnoticed; others are not asked each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from silkledger.runtime import db
from silkledger.runtime.db import Database


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(postgres_url)
    async with opened.write() as connection:
        await connection.execute(text("CREATE TABLE t (x INTEGER)"))
    yield opened
    await opened.close()


async def use_all(database: Database) -> None:
    """As many reads and writes at once as there are connections."""
    all_at_once = asyncio.Barrier(16)

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            await all_at_once.wait()

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT x FROM t"))
            await all_at_once.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(write())
            group.create_task(read())


async def end_all(url: str) -> int:
    """As a restart of the server does; how many were ended."""
    session = await asyncpg.connect(url)
    try:
        ended = await session.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ($1, $2)",
            db.WRITER_NAME,
            db.READER_NAME,
        )
    finally:
        await session.close()
    return len(ended)


async def test_connections_that_died_at_rest_are_replaced_unnoticed(
    database: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use_all(database)
    assert await end_all(postgres_url) == 16
    monkeypatch.setattr(db, "PING_AFTER_S", 0.0)
    await use_all(database)


async def test_one_that_died_a_moment_after_its_use_fails_one_transaction_of_its_pool(
    database: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use_all(database)
    monkeypatch.setattr(db, "PING_AFTER_S", 3600.0)
    await end_all(postgres_url)
    with pytest.raises(DBAPIError):
        await database.ping()
    with pytest.raises(DBAPIError):
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO t VALUES (2)"))
    await use_all(database)


async def test_a_connection_in_use_is_not_asked_each_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect, asked = database._reader.sync_engine.dialect, 0
    really = dialect.do_ping

    def counted(connection: object) -> bool:
        nonlocal asked
        asked += 1
        return really(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(dialect, "do_ping", counted)
    monkeypatch.setattr(db, "PING_AFTER_S", 3600.0)
    for _ in range(5):
        await database.ping()
    assert asked == 0
    monkeypatch.setattr(db, "PING_AFTER_S", 0.0)
    for _ in range(5):
        await database.ping()
    assert asked == 5
