"""The migrations make exactly the tables that the code uses."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from services.identity.__main__ import MIGRATIONS
from services.identity.domain import Organisation
from services.identity.storage import insert_organisation, own, whole_schema
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import differences, migrate, migrate_open
from silkledger.values import Address, CountryCode, Did


async def test_migrations_equal_the_metadata_and_run_again_harmlessly(database_url: str) -> None:
    await migrate(database_url, MIGRATIONS)
    await migrate(database_url, MIGRATIONS)
    database = await Database.open(database_url)
    async with database.read() as connection:
        assert await differences(connection, whole_schema()) == []
    await database.close()


async def test_the_database_itself_keeps_identifiers_unique(database_url: str) -> None:
    """Also where two processes pass the check at the same time."""
    database = await Database.open(database_url)
    await migrate_open(database, MIGRATIONS)

    def row(number: int, bic: str) -> Organisation:
        did = Did.of(7317, Address(bytes([number]) * 20))
        return Organisation(did, "Sample", CountryCode("TH"), frozenset({"bank"}), "", "", bic, "", 0)

    async with database.write() as connection:
        await insert_organisation(connection, row(1, "SAMPTHBK"), b"", "")
        await insert_organisation(connection, row(2, ""), b"", "")
        await insert_organisation(connection, row(3, ""), b"", "")
    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await insert_organisation(connection, row(4, "SAMPTHBK"), b"", "")
    await database.close()


def test_every_table_of_ours_is_in_the_schema() -> None:
    assert set(own.tables) <= set(whole_schema().tables)
