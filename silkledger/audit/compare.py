"""One table, two databases: the rows in key order, side by side. Knows nothing about what they mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, String, Table, collate, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.report import Difference
from silkledger.runtime.db import POSTGRESQL

_SHOWN: Final = 200
"""Longest text of a value in a report."""

ROW: Final = "(row)"
"""Stands for the field when a whole row is missing or should not be there."""

Row = tuple[Any, ...]

Same = Callable[[Any, Any], bool]
"""Whether two values that are not equal stand for the same all the same."""


@dataclass(slots=True)
class Compared:
    """What one table's comparison found."""

    rows: int = 0
    """Rows that chain and log say there are."""
    found: int = 0
    """Rows that the database has."""
    differences: list[Difference] = field(default_factory=list)


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
    same: Mapping[str, Same] | None = None,
) -> Compared:
    """Every difference in the rows up to the block. `same` judges columns in which bytes may differ.

    A row whose key was altered shows twice: once missing, once as one that should not be there.
    """
    told = _Telling(database, table, same or {})
    expected, actual = _rows(replayed, table, upto_block), _rows(live, table, upto_block)
    result = Compared()
    ours, theirs = await anext(expected, None), await anext(actual, None)
    while ours is not None or theirs is not None:
        order = told.order(ours, theirs)
        if order <= 0 and ours is not None:
            result.rows += 1
        if order >= 0 and theirs is not None:
            result.found += 1
        if order == 0 and ours is not None and theirs is not None:
            if ours != theirs:
                result.differences += told.fields(ours, theirs)
            ours, theirs = await anext(expected, None), await anext(actual, None)
        elif order < 0 and ours is not None:
            result.differences.append(told.whole(ours, "present", "missing"))
            ours = await anext(expected, None)
        elif theirs is not None:
            result.differences.append(told.whole(theirs, "absent", "present"))
            theirs = await anext(actual, None)
    return result


def block_column(table: Table) -> Column[Any]:
    """Where a row says of which block it is."""
    return table.c["block_number"] if "block_number" in table.c else table.c["number"]


async def _rows(connection: AsyncConnection, table: Table, upto_block: int) -> AsyncIterator[Row]:
    postgres = connection.dialect.name == POSTGRESQL
    order = [_in_byte_order(column, postgres) for column in table.primary_key]
    query = select(table).where(block_column(table) <= upto_block).order_by(*order)
    async with connection.stream(query) as result:
        async for rows in result.partitions(1_000):
            for row in rows:
                yield tuple(row)


def _in_byte_order(column: Column[Any], postgres: bool) -> ColumnElement[Any]:
    """Texts in the order of their bytes, as here, whatever the database's collation is."""
    return collate(column, "C") if postgres and isinstance(column.type, String) else column


@dataclass(frozen=True, slots=True)
class _Telling:
    """Words for the differences of one table."""

    database: str
    table: Table
    same: Mapping[str, Same]

    @property
    def _names(self) -> Sequence[str]:
        return [column.name for column in self.table.columns]

    def _key(self, row: Row) -> list[Any]:
        return [value for column, value in zip(self.table.columns, row, strict=True) if column.primary_key]

    def order(self, ours: Row | None, theirs: Row | None) -> int:
        """Negative: ours comes first (theirs is missing). Zero: the same key."""
        if ours is None:
            return 1
        if theirs is None:
            return -1
        if ours == theirs:
            return 0
        one, other = self._key(ours), self._key(theirs)
        return 0 if one == other else (-1 if one < other else 1)

    def fields(self, ours: Row, theirs: Row) -> list[Difference]:
        key = self._key_text(ours)
        return [
            Difference(self.database, self.table.name, key, name, shown(one), shown(other))
            for name, one, other in zip(self._names, ours, theirs, strict=True)
            if one != other and not (name in self.same and self.same[name](one, other))
        ]

    def whole(self, row: Row, replayed: str, found: str) -> Difference:
        return Difference(self.database, self.table.name, self._key_text(row), ROW, replayed, found)

    def _key_text(self, row: Row) -> str:
        return ", ".join(
            f"{column.name}={shown(value)}"
            for column, value in zip(self.table.columns, row, strict=True)
            if column.primary_key
        )
