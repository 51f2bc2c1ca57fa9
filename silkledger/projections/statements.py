"""The log's entries and what can be read off each: a pure function of the bytes, for services and replay.

`entry` holds what was accepted, exactly as received; `leaf` says where the log put it. Nothing here changes
after it was written. An auditor who has the entries in leaf order recomputes every `StatementRow` with
`row_of` and compares it with `stored_rows`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.statement import SignedStatement, parse_statement

metadata = MetaData()

_SEQUENCE: Final = BigInteger().with_variant(Integer(), "sqlite")

entry = Table(
    "entry",
    metadata,
    # Order of acceptance.
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("statement_id", LargeBinary(32), nullable=False, unique=True),
    # COSE_Sign1 exactly as received: these bytes are the leaf.
    Column("raw", LargeBinary, nullable=False),
    Column("document_digest", LargeBinary(32), nullable=False),
    Column("issuer", String(80), nullable=False),
    Column("subject", String(512), nullable=False),
    Column("document_type", String(8), nullable=False),
    Column("supersedes", LargeBinary(32)),
    # Unix milliseconds of acceptance, and by when it was promised to be logged.
    Column("accepted_ms", BigInteger, nullable=False),
    Column("log_by_ms", BigInteger, nullable=False),
    # The final block against which the issuer was admitted.
    Column("admission_number", BigInteger, nullable=False),
    Column("admission_hash", LargeBinary(32), nullable=False),
)
Index("entry_by_digest", entry.c.document_digest, entry.c.seq)
Index("entry_by_issuer", entry.c.issuer, entry.c.seq)
Index("entry_by_subject", entry.c.subject, entry.c.seq)

leaf = Table(
    "leaf",
    metadata,
    # Position in the log, from 0 without gaps. Never changes.
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, ForeignKey("entry.seq"), nullable=False, unique=True),
)


@dataclass(frozen=True, slots=True)
class StatementRow:
    """What the log says about one leaf."""

    leaf_index: int
    statement_id: bytes
    document_digest: bytes
    issuer: str
    subject: str
    document_type: str
    supersedes: bytes | None


def search_fields(statement: SignedStatement) -> dict[str, object]:
    """The columns of `entry` that are read off the statement."""
    return {
        "statement_id": bytes(statement.id),
        "raw": statement.raw,
        "document_digest": bytes(statement.digest),
        "issuer": str(statement.issuer),
        "subject": statement.subject,
        "document_type": str(statement.document_type),
        "supersedes": None if statement.supersedes is None else bytes(statement.supersedes),
    }


def row_of(leaf_index: int, raw: bytes) -> StatementRow:
    """What the leaf's bytes say. Raises: StatementError for bytes that are no signed statement."""
    fields = search_fields(parse_statement(raw))
    fields.pop("raw")
    return StatementRow(leaf_index, **fields)  # type: ignore[arg-type]


async def stored_rows(
    connection: AsyncConnection, first: int = 0
) -> AsyncIterator[tuple[StatementRow, bytes]]:
    """What the database says, in log order from `first`, each with the leaf's bytes."""
    columns = [entry.c[name] for name in StatementRow.__slots__[1:]]
    query = (
        select(leaf.c.leaf_index, *columns, entry.c.raw)
        .join(entry, entry.c.seq == leaf.c.seq)
        .where(leaf.c.leaf_index >= first)
        .order_by(leaf.c.leaf_index)
    )
    async with connection.stream(query) as rows:
        async for row in rows:
            yield StatementRow(*row[:-1]), bytes(row[-1])


def differing_fields(stored: StatementRow, recomputed: StatementRow) -> list[str]:
    """Names of the columns in which a stored row is not what its leaf says."""
    pairs = zip(StatementRow.__slots__, astuple(stored), astuple(recomputed), strict=True)
    return [name for name, one, other in pairs if one != other]
