"""The migrations produce exactly the tables that the code uses."""

from __future__ import annotations

from services.settlement.storage import own
from silkledger.evm.tables import CHAIN_TABLES, LANE_TABLES
from silkledger.projections import histories, settlements
from silkledger.runtime import idempotency
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import collect, differences, migrate


async def test_migrations_and_tables_agree(database_url: str) -> None:
    await migrate(database_url, "services/settlement/migrations")
    await migrate(database_url, "services/settlement/migrations")
    whole = collect(
        own, idempotency.metadata, CHAIN_TABLES, LANE_TABLES, histories.TABLES, settlements.TABLES
    )
    database = await Database.open(database_url)
    try:
        async with database.write() as connection:
            assert await differences(connection, whole) == []
    finally:
        await database.close()
