"""Acknowledgements in shared commits, on real databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

import pytest
from sqlalchemy import text

from services.ledger.events.checkpoints import Checkpoints
from services.ledger.events.consumers import Key, consumer, consumer_cursor, number_streams
from services.ledger.events.cursor import BLOCK_DONE, Cursor
from silkledger.runtime.db import Database
from tests.support.postgres import *  # noqa: F403

HASH = b"\x07" * 32
START = Cursor(0, BLOCK_DONE, b"\x01" * 32)
MINE, THEIRS = ("did:ethr:0x1:0x" + "1" * 40, "desk"), ("did:ethr:0x1:0x" + "2" * 40, "desk")
STREAMS = {MINE: 1, THEIRS: 2}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With the first streams of both consumers numbered."""
    opened = await Database.open(database_url)
    async with opened.write() as connection:
        await connection.run_sync(consumer.create)
        assert await number_streams(connection, list(STREAMS), START) == 1
    yield opened
    await opened.close()


async def stored(database: Database, key: Key) -> Cursor | None:
    async with database.read() as connection:
        return await consumer_cursor(connection, key)


def at(number: int, log_index: int = 0) -> Cursor:
    return Cursor(number, log_index, HASH)


def never() -> NoReturn:
    raise AssertionError("refused")


def move(checkpoints: Checkpoints, key: Key, cursor: Cursor, told: Callable[[Cursor], None]) -> None:
    checkpoints.move(key, STREAMS[key], cursor, told, never)


async def test_only_the_last_of_a_consumer_is_written_and_told(database: Database) -> None:
    told: list[Cursor] = []
    checkpoints = Checkpoints(database, 0.0)
    for number in range(5):
        move(checkpoints, MINE, at(number), told.append)
    move(checkpoints, THEIRS, at(9, BLOCK_DONE), told.append)
    assert await stored(database, MINE) == START
    assert told == []
    assert await checkpoints.commit()
    assert await stored(database, MINE) == at(4)
    assert await stored(database, THEIRS) == at(9, BLOCK_DONE)
    assert sorted(cursor.block_number for cursor in told) == [4, 9]
    move(checkpoints, MINE, at(2), told.append)  # a retraction moves it back
    assert await checkpoints.commit()
    assert await stored(database, MINE) == at(2)


async def test_an_older_stream_moves_nothing_and_is_told(database: Database) -> None:
    moved: list[Cursor] = []
    refused: list[str] = []
    checkpoints = Checkpoints(database, 0.0)
    async with database.write() as connection:  # as another replica does
        assert await number_streams(connection, [MINE], START) == 3
    checkpoints.move(MINE, STREAMS[MINE], at(5), moved.append, lambda: refused.append("mine"))
    move(checkpoints, THEIRS, at(6), moved.append)
    assert await checkpoints.commit()
    assert (moved, refused) == ([at(6)], ["mine"])
    assert (await stored(database, MINE), await stored(database, THEIRS)) == (START, at(6))
    checkpoints.move(MINE, 3, at(4), moved.append, never)
    assert await checkpoints.commit()
    assert (moved[1:], await stored(database, MINE)) == ([at(4)], at(4))


async def test_a_new_stream_leaves_the_checkpoint_where_it_is(database: Database) -> None:
    checkpoints = Checkpoints(database, 0.0)
    move(checkpoints, MINE, at(7), lambda _: None)
    assert await checkpoints.commit()
    async with database.write() as connection:
        await number_streams(connection, [MINE], START)
    assert await stored(database, MINE) == at(7)


async def test_a_failed_commit_loses_nothing_and_tells_nothing(database: Database) -> None:
    told: list[Cursor] = []
    checkpoints = Checkpoints(database, 0.0)
    move(checkpoints, MINE, at(1), told.append)
    move(checkpoints, THEIRS, at(1), told.append)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE consumer RENAME TO hidden"))
    settling = asyncio.create_task(checkpoints.settle(MINE))
    assert not await checkpoints.commit()
    move(checkpoints, MINE, at(2), told.append)  # newer than what failed
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
    move(checkpoints, MINE, at(3), lambda _: None)
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert await stored(database, MINE) == at(3)


async def test_many_acknowledgements_share_commits(database: Database) -> None:
    """Ten times two hundred consumers, one commit each time; with the negative: no commit, no checkpoint."""
    checkpoints, stop = Checkpoints(database, 0.02), asyncio.Event()
    rounds: set[int] = set()
    running = asyncio.create_task(checkpoints.run(stop))
    keys = [(MINE[0], f"consumer-{index:03}") for index in range(200)]
    async with database.write() as connection:
        first = await number_streams(connection, keys, START)
    for number in range(1, 11):
        for stream, key in enumerate(keys, first):
            checkpoints.move(key, stream, at(number), lambda cursor: rounds.add(cursor.block_number), never)
        assert await stored(database, keys[0]) in (START, at(number - 1))
        await checkpoints.settle(keys[0])
        assert [await stored(database, key) for key in (keys[0], keys[-1])] == [at(number)] * 2
    assert rounds == set(range(1, 11))
    stop.set()
    await running
