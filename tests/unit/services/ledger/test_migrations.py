"""The migrations make exactly the tables that the code speaks of, on both databases."""

from __future__ import annotations

from pathlib import Path

from services.ledger.migrations import metadata
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import differences, migrate
from tests.support.postgres import *  # noqa: F403

MIGRATIONS = "services/ledger/migrations"


async def test_migrations_equal_the_metadata(database_url: str) -> None:
    await migrate(database_url, MIGRATIONS)
    await migrate(database_url, MIGRATIONS)
    database = await Database.open(database_url)
    async with database.write() as connection:
        found = await differences(connection, metadata())
    await database.close()
    assert found == []


async def test_a_missing_table_would_be_noticed(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/empty.sqlite")
    async with database.write() as connection:
        found = await differences(connection, metadata())
    await database.close()
    assert {change[1].name for change in found if change[0] == "add_table"} == set(metadata().tables)
