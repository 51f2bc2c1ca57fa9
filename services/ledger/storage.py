"""The ledger's tables and the SQL it runs. No decision is made here.

Entries, the log's tiles and its index are tables of silkledger.projections; chain facts are the follower's.
Bulk writing on the way from a call to the log is `services.ledger.sequencing.bulk`, reading entries
`services.ledger.reading`. All writing functions run in the caller's transaction: the use case decides what
is one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.reading.documents import has_documents
from services.ledger.reading.entries import EntryRow as EntryRow
from services.ledger.reading.entries import Place as Place
from services.ledger.reading.entries import Search as Search
from services.ledger.reading.entries import entries_by_id as entries_by_id
from services.ledger.reading.entries import logged_entries as logged_entries
from services.ledger.reading.entries import search_entries as search_entries
from silkledger.evm.lane_types import State
from silkledger.evm.tables import CHAIN_BLOCK, INTENT
from silkledger.projections.log_tiles import tile
from silkledger.projections.statements import leaf_run, undocumented
from silkledger.values import BlockHash, BlockRef

own = MetaData()

_SEQUENCE: Final = BigInteger().with_variant(Integer(), "sqlite")

# Every signed checkpoint (C2SP) that was ever published. Kept for ever.
checkpoint = Table(
    "checkpoint",
    own,
    Column("tree_size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column(
        "signatures",
        LargeBinary,
        comment="of receipts under this head: key id and signature over the root, for each key",
    ),
)

# Signed calls that were taken for relay. What became of each is in the chain's projections.
relayed_call = Table(
    "relayed_call",
    own,
    Column("actor", LargeBinary(20), primary_key=True),
    Column("call_id", LargeBinary(32), primary_key=True),
    # EIP-712 digest of the call.
    Column("digest", LargeBinary(32), nullable=False),
    Column("organisation", String(80), nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
)

# Who had what committed. One row per call that wrote something.
audit = Table(
    "audit",
    own,
    Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("organisation", String(80), nullable=False),
    Column("method", String(64), nullable=False),
    Column("request_id", String(36), nullable=False),
    Column("items", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A published checkpoint."""

    tree_size: int
    root: bytes
    note: str
    """Signed by each of the log's keys that counted."""
    signatures: bytes = b""
    """Of receipts: for each of those keys its id and its signature over the root. Empty: none was kept."""


async def load_tiles(
    connection: AsyncConnection, places: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Tiles by (level, number). What is missing is missing in the answer."""
    found: dict[tuple[int, int], bytes] = {}
    for start in range(0, len(places), 250):
        numbers: dict[int, list[int]] = {}
        for level, number in places[start : start + 250]:
            numbers.setdefault(level, []).append(number)
        # By level: SQLite reads the whole table for a list of pairs.
        wanted = [(tile.c.level == level) & tile.c.number.in_(of_it) for level, of_it in numbers.items()]
        for row in (await connection.execute(select(tile).where(or_(*wanted)))).all():
            found[(row.level, row.number)] = bytes(row.hashes)
    return found


async def leaf_count(connection: AsyncConnection) -> int:
    """How many leaves the runs hold."""
    query = select(leaf_run.c.first_leaf, leaf_run.c.width).order_by(leaf_run.c.first_leaf.desc()).limit(1)
    last = (await connection.execute(query)).first()
    return 0 if last is None else int(last.first_leaf) + int(last.width)


_CHECKPOINT: Final = (checkpoint.c.tree_size, checkpoint.c.root, checkpoint.c.note, checkpoint.c.signatures)


def _checkpoint_row(size: int, root: bytes, note: str, signatures: bytes | None) -> CheckpointRow:
    return CheckpointRow(size, bytes(root), note, bytes(signatures or b""))


async def insert_checkpoint(connection: AsyncConnection, row: CheckpointRow, created_ms: int) -> None:
    await connection.execute(
        insert(checkpoint),
        {
            "tree_size": row.tree_size,
            "root": row.root,
            "note": row.note,
            "created_ms": created_ms,
            "signatures": row.signatures,
        },
    )


async def checkpoint_at(connection: AsyncConnection, tree_size: int | None = None) -> CheckpointRow | None:
    """The checkpoint of exactly this size; None asks for the latest."""
    query = select(*_CHECKPOINT)
    if tree_size is None:
        query = query.order_by(checkpoint.c.tree_size.desc()).limit(1)
    else:
        query = query.where(checkpoint.c.tree_size == tree_size)
    row = (await connection.execute(query)).first()
    return None if row is None else _checkpoint_row(*row)


async def first_checkpoint_covering(connection: AsyncConnection, leaf_index: int) -> CheckpointRow | None:
    """The earliest checkpoint whose tree holds the leaf."""
    query = (
        select(*_CHECKPOINT)
        .where(checkpoint.c.tree_size > leaf_index)
        .order_by(checkpoint.c.tree_size)
        .limit(1)
    )
    row = (await connection.execute(query)).first()
    return None if row is None else _checkpoint_row(*row)


async def insert_undocumented(connection: AsyncConnection, manifests: Sequence[bytes]) -> None:
    """Of these manifests, those whose documents are not here."""
    for manifest in manifests:
        if not await has_documents(connection, manifest):
            await connection.execute(insert(undocumented), {"manifest": manifest})


async def delete_undocumented(connection: AsyncConnection, manifests: Sequence[bytes]) -> None:
    """The documents of these manifests have come."""
    if manifests:
        await connection.execute(delete(undocumented).where(undocumented.c.manifest.in_(manifests)))


async def undocumented_count(connection: AsyncConnection) -> int:
    """How many manifests of the log have no documents here."""
    return int((await connection.execute(select(func.count()).select_from(undocumented))).scalar_one())


async def insert_audit(
    connection: AsyncConnection, *, at_ms: int, organisation: str, method: str, request_id: str, items: int
) -> None:
    await connection.execute(
        insert(audit),
        {
            "at_ms": at_ms,
            "organisation": organisation,
            "method": method,
            "request_id": request_id,
            "items": items,
        },
    )


async def relayed_digest(connection: AsyncConnection, actor: bytes, call_id: bytes) -> bytes | None:
    """The EIP-712 digest of the call that was taken under this actor and id."""
    query = select(relayed_call.c.digest).where(
        relayed_call.c.actor == actor, relayed_call.c.call_id == call_id
    )
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else bytes(found)


async def insert_relayed(
    connection: AsyncConnection, *, actor: bytes, call_id: bytes, digest: bytes, organisation: str, at_ms: int
) -> None:
    await connection.execute(
        insert(relayed_call),
        {
            "actor": actor,
            "call_id": call_id,
            "digest": digest,
            "organisation": organisation,
            "accepted_ms": at_ms,
        },
    )


async def block_ref(connection: AsyncConnection, number: int) -> BlockRef:
    """A block that the follower has applied. Raises: NoResultFound."""
    query = select(CHAIN_BLOCK.c.hash, CHAIN_BLOCK.c.time).where(CHAIN_BLOCK.c.number == number)
    row = (await connection.execute(query)).one()
    return BlockRef(number, BlockHash(bytes(row.hash)), row.time)


SETTLED: Final = (State.INCLUDED.value, State.FINAL.value, State.REFUSED.value)
"""States of an intent that has reached a block or never will."""


async def intent_states(connection: AsyncConnection, kind: str, *, open_only: bool = False) -> list[str]:
    """States of the intents of a kind."""
    query = select(INTENT.c.state).where(INTENT.c.kind == kind)
    if open_only:
        query = query.where(INTENT.c.state.not_in(SETTLED))
    return list((await connection.execute(query)).scalars())


async def intent_count(connection: AsyncConnection, kind: str) -> int:
    """How many intents of the kind there ever were."""
    query = select(func.count()).select_from(INTENT).where(INTENT.c.kind == kind)
    return int((await connection.execute(query)).scalar_one())
