"""A bare insert of many rows into an unindexed table, as durable as the service's own commits."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import asyncpg
from sqlalchemy.engine import make_url

Row: TypeAlias = tuple[int, int, bytes, bytes, str, bytes]
"""Manifest, place, salt, digest, document type, salted subject."""

_COLUMNS: Final = "manifest, place, salt, digest, document_type, salted_subject"


class BareTable(Protocol):
    """One connection to a table without any index."""

    async def insert(self, commits: Sequence[list[Row]]) -> float:
        """Rows a second, each list in a transaction of its own."""
        ...


class _Sqlite:
    """Beside the service's file, which has one owner; the same settings."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(
            "CREATE TABLE bare (manifest INTEGER, place INTEGER, salt BLOB, digest BLOB, document_type TEXT,"
            " salted_subject BLOB)"
        )

    async def insert(self, commits: Sequence[list[Row]]) -> float:
        return await asyncio.to_thread(self._insert, commits)

    def _insert(self, commits: Sequence[list[Row]]) -> float:
        start = time.perf_counter()
        for rows in commits:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(f"INSERT INTO bare ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        return sum(map(len, commits)) / (time.perf_counter() - start)


class _Postgres:
    """In the service's own database."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def insert(self, commits: Sequence[list[Row]]) -> float:
        prepared = [[list(column) for column in zip(*rows, strict=True)] for rows in commits]
        statement = await self._connection.prepare(
            f"INSERT INTO bare ({_COLUMNS}) SELECT * FROM unnest("
            "$1::int[], $2::int[], $3::bytea[], $4::bytea[], $5::text[], $6::bytea[])"
        )
        start = time.perf_counter()
        for columns in prepared:
            async with self._connection.transaction():
                await statement.fetch(*columns)
        return sum(map(len, commits)) / (time.perf_counter() - start)


@asynccontextmanager
async def bare_table(database_url: str) -> AsyncIterator[BareTable]:
    """A new table on the service's database server, or in a file beside the service's."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "").with_name("bare.sqlite")
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
            yield _Sqlite(connection)
        return
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "CREATE TABLE bare (manifest int, place int, salt bytea, digest bytea, document_type text,"
            " salted_subject bytea)"
        )
        yield _Postgres(connection)
    finally:
        await connection.close()
