"""A log's database, empty, with all of its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ledger.migrations import metadata
from silkledger.runtime.db import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path}/log.sqlite")
    async with opened.write() as connection:
        await connection.run_sync(metadata().create_all)
    yield opened
    await opened.close()
