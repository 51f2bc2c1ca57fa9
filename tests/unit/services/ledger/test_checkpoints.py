"""Acknowledgements in shared commits, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from services.ledger import storage
from services.ledger.events.checkpoints import Checkpoints
from services.ledger.events.cursor import BLOCK_DONE, Cursor
from silkledger.runtime.db import Database

HASH = b"\x07" * 32
MINE, THEIRS = ("did:ethr:0x1:0x" + "1" * 40, "desk"), ("did:ethr:0x1:0x" + "2" * 40, "desk")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path}/test.sqlite")
    async with opened.write() as connection:
        await connection.run_sync(storage.consumer.create)
    yield opened
    await opened.close()


async def stored(database: Database, key: tuple[str, str]) -> Cursor | None:
    async with database.read() as connection:
        found = await storage.consumer_cursor(connection, *key)
    return None if found is None else Cursor(*found)


def at(number: int, log_index: int = 0) -> Cursor:
    return Cursor(number, log_index, HASH)


async def test_only_the_last_of_a_consumer_is_written_and_told(database: Database) -> None:
    told: list[Cursor] = []
    checkpoints = Checkpoints(database, 0.0)
    for number in range(5):
        checkpoints.move(MINE, at(number), told.append)
    checkpoints.move(THEIRS, at(9, BLOCK_DONE), told.append)
    assert await stored(database, MINE) is None
    assert told == []
    assert await checkpoints.commit()
    assert await stored(database, MINE) == at(4)
    assert await stored(database, THEIRS) == at(9, BLOCK_DONE)
    assert sorted(cursor.block_number for cursor in told) == [4, 9]
    checkpoints.move(MINE, at(2), told.append)  # a retraction moves it back
    assert await checkpoints.commit()
    assert await stored(database, MINE) == at(2)


async def test_a_failed_commit_loses_nothing_and_tells_nothing(database: Database) -> None:
    told: list[Cursor] = []
    checkpoints = Checkpoints(database, 0.0)
    checkpoints.move(MINE, at(1), told.append)
    checkpoints.move(THEIRS, at(1), told.append)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE consumer RENAME TO hidden"))
    settling = asyncio.create_task(checkpoints.settle(MINE))
    assert not await checkpoints.commit()
    checkpoints.move(MINE, at(2), told.append)  # newer than what failed
    assert not await checkpoints.commit()
    assert told == []
    assert not settling.done()
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE hidden RENAME TO consumer"))
    assert await checkpoints.commit()
    await settling
    assert (await stored(database, MINE), await stored(database, THEIRS)) == (at(2), at(1))
    assert sorted(cursor.block_number for cursor in told) == [1, 2]


async def test_what_is_acknowledged_before_the_stop_is_committed(database: Database) -> None:
    checkpoints, stop = Checkpoints(database, 60.0), asyncio.Event()
    running = asyncio.create_task(checkpoints.run(stop))
    checkpoints.move(MINE, at(3), lambda _: None)
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert await stored(database, MINE) == at(3)


async def test_many_acknowledgements_share_commits(database: Database) -> None:
    """Ten times two hundred consumers, one commit each time; with the negative: no commit, no checkpoint."""
    checkpoints, stop = Checkpoints(database, 0.02), asyncio.Event()
    rounds: set[int] = set()
    running = asyncio.create_task(checkpoints.run(stop))
    keys = [(MINE[0], f"consumer-{index}") for index in range(200)]
    for number in range(1, 11):
        for key in keys:
            checkpoints.move(key, at(number), lambda cursor: rounds.add(cursor.block_number))
        assert await stored(database, keys[0]) in (None, at(number - 1))
        await checkpoints.settle(keys[0])
        assert [await stored(database, key) for key in (keys[0], keys[-1])] == [at(number)] * 2
    assert rounds == set(range(1, 11))
    stop.set()
    await running
