"""Request ids, on both databases: the first response again, a conflict told, nobody else's touched."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from silkledger.runtime.db import Database
from silkledger.runtime.errors import RequestIdConflict, RequestInFlight
from silkledger.runtime.idempotency import Remembered, RequestKey, metadata, remember, replay, replay_all
from silkledger.values import Did
from tests.support.postgres import *  # noqa: F403

ONE, OTHER = Did("did:ethr:0x1:0x" + "11" * 20), Did("did:ethr:0x1:0x" + "22" * 20)
ID = "6C0D1A3C-8F2B-4F0B-9D2B-1F1D5D8F1A11"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    async with opened.write() as connection:
        await connection.run_sync(metadata.create_all)
        await remember(connection, ONE, "Register", ID, b"f" * 32, b"response")
    yield opened
    await opened.close()


async def test_the_first_response_is_returned_again(database: Database) -> None:
    async with database.read() as connection:
        assert await replay(connection, ONE, "Register", ID.lower(), b"f" * 32) == b"response"
        assert await replay(connection, OTHER, "Register", ID, b"g" * 32) is None
        assert await replay(connection, ONE, "Relay", ID, b"g" * 32) is None


async def test_other_content_is_a_conflict_with_both_fingerprints(database: Database) -> None:
    async with database.read() as connection:
        with pytest.raises(RequestIdConflict) as caught:
            await replay(connection, ONE, "Register", ID, b"g" * 32)
    assert caught.value.metadata == {
        "first_fingerprint": (b"f" * 32).hex(),
        "fingerprint": (b"g" * 32).hex(),
    }


async def test_a_second_commit_of_the_same_id_is_refused(database: Database) -> None:
    async with database.write() as connection:
        with pytest.raises(RequestInFlight):
            await remember(connection, ONE, "Register", ID, b"f" * 32, b"another")
    async with database.read() as connection:
        assert await replay(connection, ONE, "Register", ID, b"f" * 32) == b"response"


async def test_many_at_once_are_those_that_were_asked_for(database: Database) -> None:
    key = RequestKey(str(ONE), "Register", ID.lower())
    others = [RequestKey(str(OTHER), "Register", ID.lower()), RequestKey(str(ONE), "Relay", ID.lower())]
    async with database.read() as connection:
        found = await replay_all(connection, [key, *others])
        assert found == {key: Remembered(key, b"f" * 32, b"response")}
        assert await replay_all(connection, []) == {}, "none, and not every request ever answered"
