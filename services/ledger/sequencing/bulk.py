"""Writing rows in bulk, in each database's own fastest way that is as durable: the hot path's SQL.

SQLite takes tuples (`executemany`), PostgreSQL takes arrays (`unnest`), both without compiling an expression.
Every function runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.runtime.db import POSTGRESQL

Row = tuple[object, ...]

_TABLES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "accepted": (
        ("call", "bigint"),
        ("width", "smallint"),
        ("accepted_ms", "bigint"),
        ("log_by_ms", "bigint"),
        ("admission_number", "bigint"),
        ("admission_hash", "bytea"),
    ),
    "entry_pack": (
        ("call", "bigint"),
        ("first_item", "smallint"),
        ("width", "smallint"),
        ("entries", "bytea"),
    ),
    "manifest_pack": (
        ("manifest", "bytea"),
        ("first_document", "smallint"),
        ("width", "smallint"),
        ("leaves", "bytea"),
    ),
    "pending": (
        ("call", "bigint"),
        ("width", "smallint"),
        ("issuer", "text"),
        ("types", "text"),
        ("ids", "bytea"),
        ("leaf_hashes", "bytea"),
        ("records", "bytea"),
    ),
    "audit": (
        ("at_ms", "bigint"),
        ("organisation", "text"),
        ("method", "text"),
        ("request_id", "text"),
        ("items", "int"),
    ),
    "leaf_run": (
        ("first_leaf", "bigint"),
        ("call", "bigint"),
        ("first_item", "smallint"),
        ("width", "smallint"),
    ),
    "tile": (("level", "smallint"), ("number", "bigint"), ("hashes", "bytea")),
    "index_page": (("segment", "bigint"), ("first", "bytea"), ("records", "bytea")),
}
"""Columns that are written in bulk, with PostgreSQL's names of their types."""

_ON_CONFLICT: Final = {
    "tile": "ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes",
    "manifest_pack": "ON CONFLICT DO NOTHING",
}


def _statement(table: str, postgresql: bool) -> str:
    columns = _TABLES[table]
    names = ", ".join(name for name, _ in columns)
    if postgresql:
        arrays = ", ".join(f"${place}::{kind}[]" for place, (_, kind) in enumerate(columns, 1))
        body = f"SELECT * FROM unnest({arrays})"
    else:
        body = f"VALUES ({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({names}) {body} {_ON_CONFLICT.get(table, '')}"


_SQLITE: Final = {table: _statement(table, False) for table in _TABLES}
_POSTGRESQL: Final = {table: _statement(table, True) for table in _TABLES}


async def insert_rows(connection: AsyncConnection, table: str, rows: Sequence[Row]) -> None:
    """Insert the rows in order; their values stand in the order of `_TABLES`. A tile is replaced."""
    if not rows:
        return
    if connection.dialect.name == POSTGRESQL:
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        await connection.exec_driver_sql(_POSTGRESQL[table], columns)
    else:
        await connection.exec_driver_sql(_SQLITE[table], list(rows))


async def delete_calls(connection: AsyncConnection, calls: Sequence[int]) -> None:
    """Take the calls off the queue."""
    if connection.dialect.name == POSTGRESQL:
        await connection.exec_driver_sql("DELETE FROM pending WHERE call = ANY($1::bigint[])", (list(calls),))
    elif calls:
        await connection.exec_driver_sql("DELETE FROM pending WHERE call = ?", [(call,) for call in calls])


async def take_calls(connection: AsyncConnection, count: int) -> Sequence[int]:
    """Numbers for so many new calls. On PostgreSQL those of a rolled back transaction are never used."""
    if connection.dialect.name == POSTGRESQL:
        query = "SELECT nextval('accepted_call') FROM generate_series(1, $1::int)"
        return [int(row[0]) for row in (await connection.exec_driver_sql(query, (count,))).all()]
    # The one writer of the file.
    (row,) = (await connection.exec_driver_sql("SELECT coalesce(max(call), 0) FROM accepted")).all()
    return range(int(row[0]) + 1, int(row[0]) + 1 + count)
