"""Consumers of Subscribe as the database has them: how far each is, and which stream is its newest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.events.cursor import Cursor
from silkledger.runtime.db import POSTGRESQL, advisory_lock

metadata = MetaData()

# Up to where a consumer acknowledged.
consumer = Table(
    "consumer",
    metadata,
    Column("organisation", String(80), primary_key=True),
    Column("consumer", String(64), primary_key=True),
    Column("block_number", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=False, comment="an unsigned 32-bit number"),
    Column("block_hash", LargeBinary(32), nullable=False),
    # Of its newest stream, which alone moves it.
    Column("stream", BigInteger, nullable=False, server_default="0"),
)
Index("consumer_stream", consumer.c.stream)

Key = tuple[str, str]
"""(organisation, consumer)."""

_ASKED: Final = 250
"""Names in one query."""


@dataclass(frozen=True, slots=True)
class Move:
    """A new checkpoint, acknowledged on the stream of this number."""

    stream: int
    cursor: Cursor


async def consumer_cursor(connection: AsyncConnection, key: Key) -> Cursor | None:
    """What the consumer acknowledged last; where it began if nothing; None: it was never here."""
    place = (consumer.c.block_number, consumer.c.log_index, consumer.c.block_hash)
    mine = (consumer.c.organisation == key[0], consumer.c.consumer == key[1])
    row = (await connection.execute(select(*place).where(*mine))).first()
    return None if row is None else Cursor(row.block_number, row.log_index, bytes(row.block_hash))


async def move_consumers(connection: AsyncConnection, moves: Mapping[Key, Move]) -> set[Key]:
    """Set consumers' checkpoints. Returns those whose newest stream is another: they are not moved.

    In the order of their names, so that two replicas never wait for each other.
    """
    mine = (
        consumer.c.organisation == bindparam("organisation_"),
        consumer.c.consumer == bindparam("consumer_"),
        consumer.c.stream == bindparam("stream_"),
    )
    place: dict[str, Any] = {
        name: bindparam(f"{name}_") for name in ("block_number", "log_index", "block_hash")
    }
    rows = [
        {
            "organisation_": organisation,
            "consumer_": name,
            "stream_": move.stream,
            "block_number_": move.cursor.block_number,
            "log_index_": move.cursor.log_index,
            "block_hash_": move.cursor.block_hash,
        }
        for (organisation, name), move in sorted(moves.items(), key=lambda item: item[0])
    ]
    await connection.execute(update(consumer).where(*mine).values(place), rows)
    # Rows that were moved are locked until the commit: these are the numbers they were moved under.
    numbers = await _numbers(connection, moves)
    return {key for key, move in moves.items() if numbers.get(key) != move.stream}


async def _numbers(connection: AsyncConnection, keys: Collection[Key]) -> dict[Key, int]:
    names: dict[str, list[str]] = {}
    for organisation, name in keys:
        names.setdefault(organisation, []).append(name)
    found: dict[Key, int] = {}
    for organisation, asked in names.items():
        for start in range(0, len(asked), _ASKED):
            these = consumer.c.consumer.in_(asked[start : start + _ASKED])
            query = select(consumer.c.consumer, consumer.c.stream)
            query = query.where(consumer.c.organisation == organisation, these)
            found |= {(organisation, row.consumer): row.stream for row in await connection.execute(query)}
    return found


async def number_streams(connection: AsyncConnection, keys: Sequence[Key], start: Cursor) -> int:
    """Number new streams of these consumers, one after the other; returns the first number.

    Of one consumer's the last counts. A consumer that was never here stands at `start`. Transactions that
    number streams come one after the other: whoever sees a number sees all lower ones.
    """
    await advisory_lock(connection, "ledger/streams")
    first = await newest_stream(connection) + 1
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    query = dialect.insert(consumer)
    query = query.on_conflict_do_update(
        index_elements=[consumer.c.organisation, consumer.c.consumer],
        set_={"stream": query.excluded.stream},
    )
    rows = [
        {
            "organisation": organisation,
            "consumer": name,
            "block_number": start.block_number,
            "log_index": start.log_index,
            "block_hash": start.block_hash,
            "stream": number,
        }
        for (organisation, name), number in sorted({key: at for at, key in enumerate(keys, first)}.items())
    ]
    await connection.execute(query, rows)
    return first


async def newest_stream(connection: AsyncConnection) -> int:
    """The highest number of a stream; 0: there was none yet."""
    return int(await connection.scalar(select(func.max(consumer.c.stream))) or 0)


async def streams_after(connection: AsyncConnection, number: int) -> list[tuple[Key, int]]:
    """Every consumer whose newest stream has a higher number than this, with that number."""
    query = select(consumer.c.organisation, consumer.c.consumer, consumer.c.stream)
    rows = await connection.execute(query.where(consumer.c.stream > number))
    return [((row.organisation, row.consumer), row.stream) for row in rows]
