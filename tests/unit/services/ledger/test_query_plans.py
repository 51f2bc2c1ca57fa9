"""What the hot path asks is answered through an index, never by reading a table from end to end. On both
databases: SQLite's plans do not depend on what is stored, PostgreSQL's are made for a full ledger.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.capturing import storage as capturing
from services.ledger.capturing import wanted
from services.ledger.index.lookup import find, scan
from services.ledger.migrations import metadata
from services.ledger.reading.leaves import Leaves
from services.ledger.storage import Place, Search
from silkledger.log.index import Kind, Position, hash_key
from silkledger.projections.anchors import final_anchor
from silkledger.projections.histories import HISTORY
from silkledger.projections.statements import runs_from
from silkledger.runtime.db import POSTGRESQL, Database
from silkledger.runtime.idempotency import RequestKey, replay_all
from tests.support.postgres import *  # noqa: F403

KEYS = [hash_key(Kind.DIGEST, bytes((number,)) * 32) for number in range(3)]
REQUESTS = [RequestKey("did:a", "RegisterStatements", f"{number}") for number in range(3)]

ASKED: dict[str, Callable[[AsyncConnection], Awaitable[Any]]] = {
    "tiles": lambda connection: storage.load_tiles(connection, [(0, 1), (0, 2), (1, 0)]),
    "one tile": lambda connection: storage.load_tiles(connection, [(0, 1)]),
    "requests": lambda connection: replay_all(connection, REQUESTS),
    "keys": lambda connection: find(connection, KEYS),
    "a key": lambda connection: scan(connection, KEYS[0], Position(3, 0), 10),
    "ids": lambda connection: storage.entries_by_id(connection, [bytes(32), bytes(31) + b"1"]),
    "issuer": lambda connection: storage.search_entries(connection, Search(issuer="did:a"), Place(), 10),
    "leaf": lambda connection: Leaves(connection).at(7),
    "item": lambda connection: Leaves(connection).item(3, 7),
    "runs": lambda connection: runs_from(connection, 7),
    "size": storage.leaf_count,
    "checkpoint": storage.checkpoint_at,
    "state nodes": lambda connection: capturing.StoredNodes(connection).nodes([bytes(32), b"1" * 32]),
    "captures": lambda connection: capturing.capture_from(connection, 7),
    "last capture": lambda connection: capturing.last_capture(connection),
    "steps": lambda connection: capturing.last_step(connection, 7),
    "status slots": lambda connection: wanted.status_slots(connection, 19_990, 20_000),
    "undone histories": lambda connection: connection.execute(
        select(HISTORY.c.head).where(HISTORY.c.block_number >= 19_990)
    ),
    "final anchor": lambda connection: final_anchor(connection, bytes(32), 7),
}
SMALL = {"pending", "s", "index_segment"}
"""Tables whose size is bounded: the queue, and the list of segments."""


FULL = """
INSERT INTO idempotency SELECT 'did:a', 'RegisterStatements', n, '\\x00', '' FROM generate_series(1, 20000) n;
INSERT INTO accepted SELECT n, 1, 1, 1, 1, '\\x00' FROM generate_series(1, 20000) n;
INSERT INTO entry_pack SELECT n, 0, 1, '\\x000100' FROM generate_series(1, 20000) n;
INSERT INTO leaf_run SELECT n - 1, n, 0, 1 FROM generate_series(1, 20000) n;
INSERT INTO tile SELECT 0, n, '\\x00' FROM generate_series(0, 20000) n;
INSERT INTO manifest_pack SELECT sha256(n::text::bytea), 0, 1, '\\x00' FROM generate_series(1, 20000) n;
INSERT INTO checkpoint SELECT n, '\\x00', '', 1 FROM generate_series(1, 20000) n;
INSERT INTO index_segment SELECT n, 0, n, n + 1 FROM generate_series(1, 60) n;
INSERT INTO index_page SELECT n % 60 + 1, sha256(n::text::bytea), '\\x00' FROM generate_series(1, 20000) n;
INSERT INTO state_node SELECT sha256(n::text::bytea), '\\x00' FROM generate_series(1, 20000) n;
INSERT INTO state_capture SELECT n, true, 1 FROM generate_series(1, 20000) n;
INSERT INTO validator_step SELECT n FROM generate_series(1, 20000) n;
INSERT INTO history SELECT 'DocumentStatus', sha256(n::text::bytea), n, 0, '\\x00', '\\x00'
 FROM generate_series(1, 20000) n;
INSERT INTO anchor SELECT n, 0, '\\x00', '\\x00', n, '\\x00', n - 1, '\\x00' FROM generate_series(1, 20000) n;
ANALYZE;
"""


@pytest.fixture
async def full(postgres_url: str) -> AsyncIterator[Database]:
    """PostgreSQL with tables whose statistics are a large ledger's."""
    opened = await Database.open(postgres_url)
    async with opened.write() as connection:
        await connection.run_sync(metadata().create_all)
        for statement in FULL.split(";"):
            await connection.exec_driver_sql(statement)
    yield opened
    await opened.close()


async def _plans(database: Database, ask: Callable[[AsyncConnection], Awaitable[Any]]) -> list[str]:
    """The plan of every statement that asking runs."""
    statements: list[tuple[str, Any]] = []
    async with database.read() as connection:

        def before(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            statements.append((statement, parameters))

        engine = connection.sync_connection.engine if connection.sync_connection else None
        assert engine is not None
        event.listen(engine, "before_cursor_execute", before)
        try:
            await ask(connection)
        finally:
            event.remove(engine, "before_cursor_execute", before)
        found = []
        for statement, parameters in statements:
            on_postgres = connection.dialect.name == POSTGRESQL
            explain = "EXPLAIN" if on_postgres else "EXPLAIN QUERY PLAN"
            plan = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
            found += [str(row[-1]) for row in plan.all()]
    return found


@pytest.mark.parametrize("name", ASKED)
async def test_no_large_table_is_read_from_end_to_end(database: Database, name: str) -> None:
    plan = await _plans(database, ASKED[name])
    assert plan
    scans = [step.split()[1] for step in plan if step.startswith("SCAN ") and "CONSTANT" not in step]
    ordered = [step for step in plan if "USING" in step]
    whole = [
        table
        for table in scans
        if table not in SMALL and not any(f"SCAN {table} USING" in s for s in ordered)
    ]
    assert whole == [name for name in whole if name == "w"], plan


async def test_a_list_of_pairs_would_be_noticed(database: Database) -> None:
    async def ask(connection: AsyncConnection) -> Any:
        query = "SELECT * FROM tile WHERE (level, number) IN (VALUES (?, ?), (?, ?))"
        return (await connection.exec_driver_sql(query, (0, 1, 0, 2))).all()

    assert "SCAN tile" in await _plans(database, ask)


async def test_no_large_table_is_read_from_end_to_end_on_postgresql(full: Database) -> None:
    for name, ask in ASKED.items():
        plan = await _plans(full, ask)
        assert plan
        read = {match[1] for step in plan if (match := re.search(r"Seq Scan on (\w+)", step))}
        assert read <= SMALL, f"{name}: {plan}"


async def test_an_index_that_the_planner_joins_whole_would_be_noticed(full: Database) -> None:
    async def ask(connection: AsyncConnection) -> Any:
        query = """
        WITH wanted AS (SELECT * FROM unnest($1::bytea[]) AS u(low))
        SELECT p.first FROM wanted w CROSS JOIN index_segment s CROSS JOIN index_page p
        WHERE p.segment = s.segment AND p.first <= w.low AND p.first >= coalesce(
            (SELECT max(q.first) FROM index_page q WHERE q.segment = s.segment AND q.first <= w.low), w.low)
        """
        return (await connection.exec_driver_sql(query, ([bytes(16)],))).all()

    assert any("Seq Scan on index_page" in step for step in await _plans(full, ask))
