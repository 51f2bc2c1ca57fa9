"""Schema migrations, run at start, each service its own (`services/<name>/migrations`, Alembic).

All pending revisions run in one transaction: a migration cut short leaves the old schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.runtime.db import Database, advisory_lock

_ROOT: Final = Path(__file__).resolve().parents[2]
"""Where the packages `silkledger` and `services` lie."""


def collect(*groups: MetaData | Iterable[Table]) -> MetaData:
    """One MetaData with copies of all the tables: what a service's migrations must produce."""
    whole = MetaData()
    for group in groups:
        for table in group.sorted_tables if isinstance(group, MetaData) else group:
            if table.name not in whole.tables:
                table.to_metadata(whole)
    return whole


async def migrate(url: str, directory: str | Path) -> None:
    """Bring the database at `url` to the newest revision in `directory` (relative to the installation).

    Raises:
        DatabaseInUse: a SQLite file that a running process owns is never migrated under it.
    """
    database = await Database.open(url)
    try:
        await migrate_open(database, directory)
    finally:
        await database.close()


async def migrate_open(database: Database, directory: str | Path) -> None:
    """As `migrate`, on a database that this process has opened already."""
    async with database.write() as connection:
        await advisory_lock(connection, "migrations")
        await connection.run_sync(_upgrade, _ROOT / directory)


def _upgrade(connection: Connection, directory: Path) -> None:
    script = ScriptDirectory(str(directory))

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()


async def differences(connection: AsyncConnection, metadata: MetaData) -> list[Any]:
    """What the database has otherwise than `metadata` says; empty when the migrations are complete."""

    def compare(sync: Connection) -> list[Any]:
        context = MigrationContext.configure(sync, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    return await connection.run_sync(compare)
