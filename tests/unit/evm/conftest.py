"""Databases with the lane's and the follower's tables, on both engines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from silkledger.evm.contracts import CONTRACTS, Network
from silkledger.evm.tables import METADATA
from silkledger.runtime.db import Database
from silkledger.values import Address
from tests.support.postgres import *  # noqa: F403
from tests.unit.evm.fake_node import GENESIS, FakeNode
from tests.unit.evm.rig import SEEN, Recorder, Rig


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    async with opened.write() as conn:
        await conn.run_sync(METADATA.create_all)
    yield opened
    await opened.close()


@pytest.fixture
def fake() -> FakeNode:
    return FakeNode()


@pytest.fixture
def network() -> Network:
    addresses = {name: Address(bytes([0xC0 + i]) * 20) for i, name in enumerate(CONTRACTS)}
    return Network(7317, GENESIS, Address(b"\xd1" * 20), addresses)


@pytest.fixture
def rig(database: Database, fake: FakeNode, network: Network) -> Rig:
    return Rig(database, fake, network)


@pytest.fixture
async def seen(database: Database) -> Recorder:
    async with database.write() as conn:
        await conn.run_sync(SEEN.metadata.create_all)
    return Recorder()
