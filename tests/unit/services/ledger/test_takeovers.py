"""Which stream of a consumer is the newest, between two replicas on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from services.ledger.events.consumers import Key, consumer
from services.ledger.events.cursor import BLOCK_DONE, Cursor
from services.ledger.events.takeovers import Takeovers
from silkledger.runtime.db import Database
from tests.support.anvil import eventually
from tests.support.postgres import *  # noqa: F403

START = Cursor(0, BLOCK_DONE, b"\x01" * 32)
DESK, VAULT = ("did:ethr:0x1:0x" + "1" * 40, "desk"), ("did:ethr:0x1:0x" + "1" * 40, "vault")


@dataclass
class Replica:
    """Its takeovers at work, what they told, and the numbers that its own streams have."""

    database: Database
    told: list[tuple[Key, int]] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.takeovers = Takeovers(self.database, START, look_s=0.02)
        self.takeovers.taken_over = lambda key, number: self.told.append((key, number))
        self.running = asyncio.create_task(self.takeovers.run(self.stop))

    async def open(self, key: Key) -> int:
        numbers: list[int] = []
        await asyncio.wait_for(self.takeovers.number(key, numbers.append), 10)
        (number,) = numbers
        return number

    async def hears(self, key: Key, number: int) -> None:
        async def told() -> bool:
            return (key, number) in self.told

        await eventually(told, f"{number} of {key[1]} is told")


@pytest.fixture
async def replicas(postgres_url: str) -> AsyncIterator[list[Replica]]:
    databases = [await Database.open(postgres_url) for _ in range(2)]
    async with databases[0].write() as connection:
        await connection.run_sync(consumer.create)
    made = [Replica(database) for database in databases]
    yield made
    for replica in made:
        replica.stop.set()
        await replica.running
        await replica.database.close()


async def test_each_replica_is_told_of_the_others_streams_in_their_order(replicas: list[Replica]) -> None:
    one, other = replicas
    first = await one.open(DESK)
    aside = await other.open(VAULT)
    second = await other.open(DESK)
    third = await one.open(DESK)
    assert first < aside < second < third
    for replica in replicas:
        await replica.hears(DESK, third)
        numbers = [number for key, number in replica.told if key == DESK]
        assert numbers == sorted(set(numbers)), "each at most once, never an older one after a newer one"
        await replica.hears(VAULT, aside)
        assert {key for key, _ in replica.told} == {DESK, VAULT}


async def test_many_streams_at_once_on_both_get_numbers_of_their_own(replicas: list[Replica]) -> None:
    keys = [(DESK[0], f"consumer-{index}") for index in range(60)]
    opening = [replica.open(key) for key in keys for replica in replicas]
    numbers = await asyncio.gather(*opening)
    assert len(set(numbers)) == len(numbers)
    newest = {key: max(numbers[2 * at : 2 * at + 2]) for at, key in enumerate(keys)}
    for replica in replicas:
        for key, number in newest.items():
            await replica.hears(key, number)


async def test_a_database_that_fails_delays_numbers_and_loses_none(replicas: list[Replica]) -> None:
    database, numbers = replicas[0].database, list[int]()
    takeovers = Takeovers(database, START)
    await replicas[1].open(VAULT)  # it tells what comes after its first look
    opening = asyncio.create_task(takeovers.number(DESK, numbers.append))
    await asyncio.sleep(0)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE consumer RENAME TO hidden"))
    assert not await takeovers.commit()
    assert not await takeovers.look()
    assert not opening.done()
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE hidden RENAME TO consumer"))
    assert await takeovers.commit()
    await opening
    await replicas[1].hears(DESK, *numbers)
