"""The log's entries as stored, and what can be read off each: for services and replay.

`accepted` is one row for each accepted call, `entry_pack` its statements exactly as received, `leaf_run` says
which of them the log put where. Nothing here changes after it was written, and no column repeats what a
statement says: whoever reads parses the bytes (`parse_entry`), as an auditor who has the leaves does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, SmallInteger, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.log.tiles import encode_bundle
from silkledger.manifest import SignedManifest, is_manifest, parse_manifest
from silkledger.statement import SignedStatement, parse_statement

metadata = MetaData()

# One accepted call, for ever.
accepted = Table(
    "accepted",
    metadata,
    # Order of acceptance.
    Column("call", BigInteger, primary_key=True, autoincrement=False),
    # Statements that the call brought, without those that were known.
    Column("width", SmallInteger, nullable=False),
    # Unix milliseconds of acceptance, and by when they were promised to be logged.
    Column("accepted_ms", BigInteger, nullable=False),
    Column("log_by_ms", BigInteger, nullable=False),
    # The final block against which the issuer was admitted.
    Column("admission_number", BigInteger, nullable=False),
    Column("admission_hash", LargeBinary(32), nullable=False),
)

# The statements (or the one manifest) of a call, COSE_Sign1 exactly as received: these bytes are the leaves.
entry_pack = Table(
    "entry_pack",
    metadata,
    Column("call", BigInteger, primary_key=True, autoincrement=False),
    # Item of the call that comes first in it.
    Column("first_item", SmallInteger, primary_key=True, autoincrement=False),
    # How many; each after its length in two bytes (a C2SP entry bundle).
    Column("width", SmallInteger, nullable=False),
    Column("entries", LargeBinary, nullable=False),
)

# The leaves of a manifest's own tree, one after the other: every document of it. A log's mirror has none.
manifest_pack = Table(
    "manifest_pack",
    metadata,
    # The manifest's statement id.
    Column("manifest", LargeBinary(32), primary_key=True),
    Column("first_document", SmallInteger, primary_key=True, autoincrement=False),
    Column("width", SmallInteger, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
)

# Manifests of the log whose documents are not here: they came from a mirror, and their holder has not
# submitted them again.
undocumented = Table("undocumented", metadata, Column("manifest", LargeBinary(32), primary_key=True))

# Consecutive leaves of the log that are consecutive items of a call. Without gaps from leaf 0 on.
leaf_run = Table(
    "leaf_run",
    metadata,
    Column("first_leaf", BigInteger, primary_key=True, autoincrement=False),
    Column("call", BigInteger, nullable=False),
    Column("first_item", SmallInteger, nullable=False),
    Column("width", SmallInteger, nullable=False),
)
Index("leaf_run_call", leaf_run.c.call, leaf_run.c.first_item, unique=True)

PACK: Final = 128
"""Most entries of a pack: small enough that reading one entry is cheap, large enough to be few."""
DOCUMENT_PACK: Final = 512
"""Most documents of a manifest's pack."""


def parse_entry(raw: bytes) -> SignedStatement | SignedManifest:
    """A leaf's bytes. Raises: StatementError for what is neither."""
    return parse_manifest(raw) if is_manifest(raw) else parse_statement(raw)


def packs(call: int, raws: Sequence[bytes]) -> list[tuple[int, int, int, bytes]]:
    """Rows of `entry_pack` for a call's entries."""
    return [
        (call, start, len(part := raws[start : start + PACK]), encode_bundle(part))
        for start in range(0, len(raws), PACK)
    ]


def manifest_packs(manifest: bytes, leaves: bytes, length: int) -> list[tuple[bytes, int, int, bytes]]:
    """Rows of `manifest_pack` for a manifest's concatenated leaves of `length` bytes each."""
    step = DOCUMENT_PACK * length
    return [
        (manifest, start // length, len(part := leaves[start : start + step]) // length, part)
        for start in range(0, len(leaves), step)
    ]


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `leaf_run`."""

    first_leaf: int
    call: int
    first_item: int
    width: int

    @property
    def end_leaf(self) -> int:
        return self.first_leaf + self.width


async def runs_from(connection: AsyncConnection, leaf: int, limit: int = 64) -> list[Run]:
    """Runs in log order, from the one that holds the leaf (or the first after it)."""
    start = select(leaf_run.c.first_leaf).where(leaf_run.c.first_leaf <= leaf)
    begin = await connection.scalar(start.order_by(leaf_run.c.first_leaf.desc()).limit(1))
    query = select(leaf_run).where(leaf_run.c.first_leaf >= (leaf if begin is None else begin))
    rows = (await connection.execute(query.order_by(leaf_run.c.first_leaf).limit(limit))).all()
    runs = [Run(*row) for row in rows]
    return [run for run in runs if run.end_leaf > leaf]
