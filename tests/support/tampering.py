"""Altering single fields of a service's database at random, each put back afterwards."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from silkledger.audit.compare import shown
from silkledger.runtime.db import parse_url

Named = tuple[str, str, str]
"""(table, key, field), as a report names it."""


@dataclass(frozen=True)
class Field:
    """One column of a table that the replay answers for; rows are addressed by `key`."""

    table: Any
    name: str
    key: tuple[str, ...]


def fields_of(tables: Sequence[Table]) -> list[Field]:
    """Every column that is no key."""
    return [
        Field(table, column.name, tuple(part.name for part in table.primary_key))
        for table in tables
        for column in table.columns
        if not column.primary_key
    ]


async def with_rows(url: str, fields: Sequence[Field]) -> list[Field]:
    """Those whose tables are in the database and hold anything."""
    kept = []
    async with connected(url) as engine, engine.connect() as connection:
        known = {
            name for name in {field.table.name for field in fields} if await connection.run_sync(_has, name)
        }
        for field in fields:
            if field.table.name in known and await _any(connection, field):
                kept.append(field)
    return kept


def _has(connection: Connection, table: str) -> bool:
    return connection.dialect.has_table(connection, table)


async def _any(connection: AsyncConnection, field: Field) -> bool:
    return (await connection.execute(select(field.table).limit(1))).first() is not None


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(parse_url(url))
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def tampered(
    engine: AsyncEngine, field: Field, chance: random.Random, below_block: int
) -> AsyncIterator[Named]:
    """One row's field altered while the block lasts; yields how a report must name it.

    Rows are of blocks below `below_block`, so that a block number that is one too high is compared as well.
    """
    columns = field.table.c
    query = select(field.table)
    for number in ("block_number", "number"):
        if number in columns:
            query = query.where(columns[number] < below_block)
            break
    async with engine.begin() as connection:
        row = chance.choice((await connection.execute(query)).mappings().all())
        here = and_(*(columns[name] == row[name] for name in field.key))
        known = row[field.name]
        change = _something(field) if known is None else altered(field.name, known, chance)
        await connection.execute(field.table.update().where(here).values({field.name: change}))
    name = field.name
    if (field.table.name, name) == ("tile", "hashes") and isinstance(change, bytes):
        name = f"hashes[{_first_difference(bytes(known), change) // 32}]"
    try:
        yield field.table.name, ", ".join(f"{part}={shown(row[part])}" for part in field.key), name
    finally:
        async with engine.begin() as connection:
            await connection.execute(field.table.update().where(here).values({field.name: known}))


def _first_difference(one: bytes, other: bytes) -> int:
    return next(at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


def altered(name: str, value: object, chance: random.Random) -> object:
    """Another value of the same type."""
    if isinstance(value, bytes | memoryview):
        raw = bytearray(value) or bytearray(1)
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        return bytes(raw)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        # A block's number must stay among those that are compared; elsewhere no other row may have it.
        return value + (1 if name == "block_number" else 1_000)
    return str(value)[:-1] + ("x" if str(value)[-1:] != "x" else "y")


def _something(field: Field) -> object:
    """A value for a field that is null."""
    return {bytes: b"\1" * 32, int: 1, bool: True}.get(field.table.c[field.name].type.python_type, "x")
