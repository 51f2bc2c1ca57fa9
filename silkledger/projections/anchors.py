"""Anchors of all logs, as the chain tells them: facts per block, undone with their block and never edited.

A statement is *anchored* when a tree head of a size above its leaf index is in a block, and *final* when that
block is final. Its registration block is the block of the first final anchor that covers the leaf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import ContractEvent
from silkledger.projections.rows import Row, RowsProjector
from silkledger.values import BlockRef

CONTRACT = "LogAnchor"

metadata = MetaData()

anchor = Table(
    "anchor",
    metadata,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("tx_hash", LargeBinary(32), nullable=False),
    # keccak-256 of the log's origin.
    Column("origin_id", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("prev_size", BigInteger, nullable=False),
    Column("prev_root", LargeBinary(32), nullable=False),
)
Index("anchor_by_size", anchor.c.origin_id, anchor.c.size)

anchor_refusal = Table(
    "anchor_refusal",
    metadata,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("tx_hash", LargeBinary(32), nullable=False),
    Column("origin_id", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    # LogAnchor's reason: 1 unauthorised, 2 not larger, 3 bad proof, 4 unknown origin, 5 retired.
    Column("reason", Integer, nullable=False),
)
Index("anchor_refusal_by_origin", anchor_refusal.c.origin_id, anchor_refusal.c.reason)

BAD_PROOF = 3
"""The contract found that a head does not extend the anchored one: the log's history was rewritten."""


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """One accepted anchor."""

    block_number: int
    log_index: int
    tx_hash: bytes
    size: int
    root: bytes


class AnchorsProjector(RowsProjector):
    """Writes the anchors and refusals of a block. A pure function of its events."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return anchor, anchor_refusal

    def rows(self, block: BlockRef, events: Sequence[ContractEvent]) -> Mapping[Table, list[Row]]:
        ours = [event for event in events if event.contract == CONTRACT]
        return {
            anchor: [_anchor_row(event) for event in ours if event.name == "Anchored"],
            anchor_refusal: [_refusal_row(event) for event in ours if event.name == "AnchorRefused"],
        }


def _place(event: ContractEvent) -> Row:
    return {
        "block_number": event.block_number,
        "log_index": event.log_index,
        "tx_hash": bytes(event.tx_hash),
        "origin_id": bytes(event.args["originId"]),
        "size": event.args["size"],
        "root": bytes(event.args["root"]),
    }


def _anchor_row(event: ContractEvent) -> Row:
    return _place(event) | {
        "prev_size": event.args["prevSize"],
        "prev_root": bytes(event.args["prevRoot"]),
    }


def _refusal_row(event: ContractEvent) -> Row:
    return _place(event) | {"reason": event.args["reason"]}


_COLUMNS = tuple(anchor.c[name] for name in AnchorRow.__slots__)


async def anchored_head(connection: AsyncConnection, origin_id: bytes) -> AnchorRow | None:
    """The latest anchor of the origin in the blocks that this service has applied."""
    return await _one(
        connection,
        select(*_COLUMNS).where(anchor.c.origin_id == origin_id).order_by(anchor.c.size.desc()).limit(1),
    )


async def final_anchor(connection: AsyncConnection, origin_id: bytes, final: int) -> AnchorRow | None:
    """The latest anchor of the origin in the blocks up to `final`."""
    return await _one(
        connection,
        select(*_COLUMNS)
        .where(anchor.c.origin_id == origin_id, anchor.c.block_number <= final)
        .order_by(anchor.c.size.desc())
        .limit(1),
    )


async def first_covering(connection: AsyncConnection, origin_id: bytes, leaf_index: int) -> AnchorRow | None:
    """The first anchor of the origin whose tree holds the leaf."""
    return await _one(
        connection,
        select(*_COLUMNS)
        .where(anchor.c.origin_id == origin_id, anchor.c.size > leaf_index)
        .order_by(anchor.c.size)
        .limit(1),
    )


async def rewritten(connection: AsyncConnection, origin_id: bytes) -> bool:
    """Whether the contract ever refused a head of this origin for a bad consistency proof."""
    found = await connection.execute(
        select(anchor_refusal.c.block_number)
        .where(anchor_refusal.c.origin_id == origin_id, anchor_refusal.c.reason == BAD_PROOF)
        .limit(1)
    )
    return found.first() is not None


async def _one(connection: AsyncConnection, query: object) -> AnchorRow | None:
    row = (await connection.execute(query)).first()  # type: ignore[call-overload]
    if row is None:
        return None
    return AnchorRow(row[0], row[1], bytes(row[2]), row[3], bytes(row[4]))
