"""The live databases, opened so that nothing can be written, each read as of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool


class DatabaseUnreadable(RuntimeError):
    """A database that was to be compared cannot be opened."""


@dataclass(frozen=True, slots=True)
class Databases:
    """Databases to compare, by name: `ledger`, `identity`, `settlement-<alias>`."""

    urls: tuple[tuple[str, str], ...]

    @classmethod
    def embedded(cls, root: Path) -> Self:
        """Every service database of an embedded stack's data directory."""
        found = sorted((root / "services").glob("*/db.sqlite3"))
        return cls(tuple((path.parent.name, f"sqlite:///{path}") for path in found))

    @classmethod
    def named(cls, assignments: Sequence[str]) -> Self:
        """From NAME=URL texts. Raises: `ValueError`."""
        pairs = []
        for assignment in assignments:
            name, _, url = assignment.partition("=")
            if not name or not url:
                raise ValueError("a database is named as NAME=URL")
            pairs.append((name, url))
        return cls(tuple(pairs))


async def tables_of(live: AsyncConnection) -> set[str]:
    """Names of all tables of a database."""
    return set(await live.run_sync(lambda sync: inspect(sync).get_table_names()))


@asynccontextmanager
async def snapshot(name: str, url: str) -> AsyncIterator[AsyncConnection]:
    """A read-only transaction. While services write on, everything read here is as of one moment.

    Raises: `DatabaseUnreadable`. The URL is never shown: it may hold a password.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        target = f"sqlite+aiosqlite:///file:{parsed.database}?mode=ro&uri=true"
        begin = "BEGIN"
    else:
        target = parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
        begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
    engine = create_async_engine(target, poolclass=NullPool)
    try:
        try:
            connection = await engine.connect()
        except (DBAPIError, OSError) as error:
            raise DatabaseUnreadable(f"{name}: cannot be opened ({type(error).__name__})") from None
        try:
            await connection.execute(text(begin))
            yield connection
        finally:
            await connection.close()
    finally:
        await engine.dispose()
