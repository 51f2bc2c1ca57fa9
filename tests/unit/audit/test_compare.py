"""The comparison finds every altered field, names it exactly, and is silent about what is equal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.exc import OperationalError

from silkledger.audit.compare import ROW, compare_table, shown
from silkledger.audit.databases import Databases, DatabaseUnreadable, snapshot
from silkledger.audit.report import Difference
from silkledger.projections.accreditations import accreditation
from silkledger.runtime.db import Database

_UPTO = 100


def _row(block: int, log_index: int = 0) -> dict[str, Any]:
    return {
        "block_number": block,
        "log_index": log_index,
        "accreditation_id": bytes([block]) * 32,
        "issuer": b"\x01" * 20,
        "country": "CN",
        "document_type": "705",
        "level": 2,
        "from_block": block,
        "until_block": 0,
        "parent": bytes(32),
        "may_subaccredit": False,
        "given_by": b"\x02" * 20,
    }


async def _database(path: Path, rows: list[dict[str, Any]]) -> Database:
    database = await Database.open(f"sqlite:///{path}")
    async with database.write() as connection:
        await connection.run_sync(accreditation.create)
        await connection.execute(insert(accreditation), rows)
    return database


@pytest.fixture
async def databases(tmp_path: Path) -> AsyncIterator[tuple[Database, Database, str]]:
    rows = [_row(5), _row(5, 1), _row(9), _row(_UPTO + 1)]
    replayed = await _database(tmp_path / "replayed.sqlite3", rows)
    live = await _database(tmp_path / "live.sqlite3", rows[:3])  # has not reached the last block
    yield replayed, live, f"sqlite:///{tmp_path / 'live.sqlite3'}"
    await replayed.close()
    await live.close()


async def _compare(databases: tuple[Database, Database, str]) -> tuple[int, list[Difference]]:
    replayed, _, url = databases
    async with replayed.read() as ours, snapshot("identity", url) as theirs:
        compared = await compare_table("identity", accreditation, ours, theirs, _UPTO)
    return compared.rows, compared.differences


async def test_equal_databases_have_no_difference(databases: tuple[Database, Database, str]) -> None:
    assert await _compare(databases) == (3, [])


_OTHER: dict[str, object] = {
    "accreditation_id": b"\x77" * 32,
    "issuer": b"\x77" * 20,
    "country": "TH",
    "document_type": "380",
    "level": 3,
    "from_block": 6,
    "until_block": 1,
    "parent": b"\x77" * 32,
    "may_subaccredit": True,
    "given_by": b"\x77" * 20,
}


def test_every_field_but_the_key_is_tried() -> None:
    assert set(_OTHER) | {"block_number", "log_index"} == {column.name for column in accreditation.columns}


@pytest.mark.parametrize("field", sorted(_OTHER))
async def test_an_altered_field_is_named(databases: tuple[Database, Database, str], field: str) -> None:
    _, live, _ = databases
    where = (accreditation.c.block_number == 5) & (accreditation.c.log_index == 1)
    async with live.write() as connection:
        await connection.execute(update(accreditation).where(where).values({field: _OTHER[field]}))
    rows, (difference,) = await _compare(databases)
    assert rows == 3
    assert difference == Difference(
        "identity",
        "accreditation",
        "block_number=5, log_index=1",
        field,
        shown(_row(5)[field]),
        shown(_OTHER[field]),
    )
    assert field in difference.sentence()


async def test_a_deleted_row_is_missing(databases: tuple[Database, Database, str]) -> None:
    _, live, _ = databases
    async with live.write() as connection:
        await connection.execute(delete(accreditation).where(accreditation.c.block_number == 9))
    _, (difference,) = await _compare(databases)
    assert (difference.key, difference.field, difference.found) == (
        "block_number=9, log_index=0",
        ROW,
        "missing",
    )


async def test_an_invented_row_is_named(databases: tuple[Database, Database, str]) -> None:
    _, live, _ = databases
    async with live.write() as connection:
        await connection.execute(insert(accreditation), [_row(7)])
    rows, (difference,) = await _compare(databases)
    assert rows == 3
    assert (difference.key, difference.replayed, difference.found) == (
        "block_number=7, log_index=0",
        "absent",
        "present",
    )


async def test_a_moved_row_shows_twice(databases: tuple[Database, Database, str]) -> None:
    _, live, _ = databases
    async with live.write() as connection:
        await connection.execute(
            update(accreditation).where(accreditation.c.block_number == 9).values(block_number=8)
        )
    _, differences = await _compare(databases)
    assert sorted((item.key, item.found) for item in differences) == [
        ("block_number=8, log_index=0", "present"),
        ("block_number=9, log_index=0", "missing"),
    ]


async def test_a_snapshot_cannot_write(databases: tuple[Database, Database, str]) -> None:
    _, _, url = databases
    with pytest.raises(OperationalError, match="readonly"):
        async with snapshot("identity", url) as connection:
            await connection.execute(delete(accreditation))


async def test_a_missing_database_is_unreadable_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnreadable, match="ledger"):
        async with snapshot("ledger", f"sqlite:///{tmp_path / 'none.sqlite3'}"):
            pass
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


def test_databases_are_named_as_pairs() -> None:
    assert Databases.named(["ledger=sqlite:///x"]).urls == (("ledger", "sqlite:///x"),)
    with pytest.raises(ValueError, match="NAME=URL"):
        Databases.named(["sqlite:///x"])


def test_long_values_are_cut_with_their_length() -> None:
    text = shown(bytes(500))
    assert len(text) < 250
    assert "(1002 characters)" in text
