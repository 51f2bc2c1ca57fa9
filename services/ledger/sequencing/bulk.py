"""Writing many rows at once, in each database's own fastest way that is as durable: the hot path's SQL.

SQLite takes tuples (`executemany`), PostgreSQL takes arrays (`unnest`), both without compiling an expression.
Every function runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.domain import Admitted
from silkledger.runtime.db import POSTGRESQL

_COLUMNS: Final = (
    "statement_id, document_digest, issuer, subject, document_type, supersedes, raw, accepted_ms, log_by_ms, "
    "admission_number, admission_hash"
)

_SQLITE_ENTRIES: Final = (
    f"INSERT INTO entry ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (statement_id) DO NOTHING"
)

# One round trip: insert in the order given, queue what was new, tell its ids.
_POSTGRESQL_ENTRIES: Final = f"""
WITH given AS (
    SELECT * FROM unnest(
        $1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bytea[]
    ) WITH ORDINALITY AS u(
        statement_id, document_digest, issuer, subject, document_type, supersedes, raw, place
    )
), put AS (
    INSERT INTO entry ({_COLUMNS})
    SELECT statement_id, document_digest, issuer, subject, document_type, supersedes, raw,
           $8::bigint, $9::bigint, $10::bigint, $11::bytea
    FROM given ORDER BY place
    ON CONFLICT (statement_id) DO NOTHING
    RETURNING seq, statement_id
), queued AS (
    INSERT INTO pending (seq) SELECT seq FROM put
)
SELECT statement_id FROM put
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the statements of one call have in common."""

    accepted_ms: int
    log_by_ms: int
    admission_number: int
    admission_hash: bytes


async def _run(connection: AsyncConnection, statement: str, parameters: Any = None) -> Sequence[Any]:
    result = await connection.exec_driver_sql(statement, parameters)
    return result.all() if result.returns_rows else ()


async def insert_entries(
    connection: AsyncConnection, items: Sequence[tuple[Admitted, bytes]], terms: Terms
) -> set[bytes]:
    """Insert what is new of (statement, its bytes as received), in order, and queue it for the sequencer.

    Returns the statement ids that were new.
    """
    if not items:
        return set()
    shared = (terms.accepted_ms, terms.log_by_ms, terms.admission_number, terms.admission_hash)
    if connection.dialect.name == POSTGRESQL:
        columns = [list(column) for column in zip(*((*item, raw) for item, raw in items), strict=True)]
        return {bytes(row[0]) for row in await _run(connection, _POSTGRESQL_ENTRIES, (*columns, *shared))}
    # The one writer of the file: what was inserted is what has a higher number than all before.
    ((before,),) = await _run(connection, "SELECT coalesce(max(seq), 0) FROM entry")
    await _run(connection, _SQLITE_ENTRIES, [(*item, raw, *shared) for item, raw in items])
    await _run(connection, "INSERT INTO pending (seq) SELECT seq FROM entry WHERE seq > ?", (before,))
    return {
        bytes(row[0])
        for row in await _run(connection, "SELECT statement_id FROM entry WHERE seq > ?", (before,))
    }


async def pending_entries(connection: AsyncConnection, limit: int) -> list[tuple[int, bytes]]:
    """(seq, raw) of what waits for the sequencer, in order of acceptance."""
    query = (
        f"SELECT p.seq, e.raw FROM pending p JOIN entry e ON e.seq = p.seq ORDER BY p.seq LIMIT {int(limit)}"
    )
    return [(row[0], row[1]) for row in await _run(connection, query)]


async def assign_leaves(connection: AsyncConnection, first: int, seqs: Sequence[int]) -> None:
    """Give the entries consecutive leaves from `first`, and take them off the queue."""
    if connection.dialect.name == POSTGRESQL:
        taken = (list(seqs),)
        await _run(
            connection,
            "INSERT INTO leaf (leaf_index, seq) SELECT $2::bigint + place - 1, seq"
            " FROM unnest($1::bigint[]) WITH ORDINALITY AS u(seq, place)",
            (*taken, first),
        )
        await _run(connection, "DELETE FROM pending WHERE seq = ANY($1::bigint[])", taken)
        return
    leaves = [(first + offset, seq) for offset, seq in enumerate(seqs)]
    await _run(connection, "INSERT INTO leaf (leaf_index, seq) VALUES (?, ?)", leaves)
    await _run(connection, "DELETE FROM pending WHERE seq = ?", [(seq,) for seq in seqs])


async def insert_nodes(connection: AsyncConnection, nodes: Mapping[tuple[int, int], bytes]) -> None:
    """Complete subtrees by (level, position); fastest in that order."""
    if not nodes:
        return
    rows = [(level, position, value) for (level, position), value in nodes.items()]
    if connection.dialect.name == POSTGRESQL:
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        await _run(
            connection,
            "INSERT INTO tree_node (level, node_index, hash)"
            " SELECT * FROM unnest($1::int[], $2::bigint[], $3::bytea[])",
            columns,
        )
    else:
        await _run(connection, "INSERT INTO tree_node (level, node_index, hash) VALUES (?, ?, ?)", rows)
