"""One table, two databases: the rows in key order, side by side. Knows nothing about what they mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.report import Difference

_SHOWN: Final = 200
"""Longest text of a value in a report."""

ROW: Final = "(row)"
"""Stands for the field when a whole row is missing or should not be there."""

Row = dict[str, Any]


def shown(value: object) -> str:
    """A value for people: bytes as hex, long ones cut in the middle, with their length."""
    if value is None:
        return "null"
    if isinstance(value, bytes | memoryview):
        text = "0x" + bytes(value).hex()
    elif isinstance(value, datetime):
        text = value.isoformat()
    else:
        text = str(value)
    if len(text) <= _SHOWN:
        return text
    half = _SHOWN // 2 - 10
    return f"{text[:half]}…{text[-half:]} ({len(text)} characters)"


async def compare_table(
    database: str,
    table: Table,
    replayed: AsyncConnection,
    live: AsyncConnection,
    upto_block: int,
) -> tuple[int, list[Difference]]:
    """Number of replayed rows up to the block, and every difference.

    A row whose key was altered shows twice: once missing, once as one that should not be there.
    """
    key = [column.name for column in table.primary_key]
    expected = _rows(replayed, table, upto_block)
    actual = _rows(live, table, upto_block)
    rows, differences = 0, []
    ours, theirs = await anext(expected, None), await anext(actual, None)
    while ours is not None or theirs is not None:
        order = _order(ours, theirs, key)
        if order <= 0 and ours is not None:
            rows += 1
        if order == 0 and ours is not None and theirs is not None:
            differences += _fields(database, table, key, ours, theirs)
            ours, theirs = await anext(expected, None), await anext(actual, None)
        elif order < 0 and ours is not None:
            differences.append(_whole(database, table, key, ours, "present", "missing"))
            ours = await anext(expected, None)
        elif theirs is not None:
            differences.append(_whole(database, table, key, theirs, "absent", "present"))
            theirs = await anext(actual, None)
    return rows, differences


def _block_column(table: Table) -> Column[Any]:
    return table.c["block_number"] if "block_number" in table.c else table.c["number"]


async def _rows(connection: AsyncConnection, table: Table, upto_block: int) -> AsyncIterator[Row]:
    query = select(table).where(_block_column(table) <= upto_block).order_by(*table.primary_key)
    async with connection.stream(query) as result:
        async for row in result.mappings():
            yield {name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()}


def _order(ours: Row | None, theirs: Row | None, key: Sequence[str]) -> int:
    """Negative: ours comes first (theirs is missing). Zero: the same key."""
    if ours is None:
        return 1
    if theirs is None:
        return -1
    one, other = [ours[name] for name in key], [theirs[name] for name in key]
    return 0 if one == other else (-1 if one < other else 1)


def _key_text(key: Sequence[str], row: Row) -> str:
    return ", ".join(f"{name}={shown(row[name])}" for name in key)


def _fields(database: str, table: Table, key: Sequence[str], ours: Row, theirs: Row) -> list[Difference]:
    return [
        Difference(database, table.name, _key_text(key, ours), name, shown(ours[name]), shown(theirs[name]))
        for name in ours
        if ours[name] != theirs[name]
    ]


def _whole(
    database: str, table: Table, key: Sequence[str], row: Row, replayed: str, found: str
) -> Difference:
    return Difference(database, table.name, _key_text(key, row), ROW, replayed, found)
