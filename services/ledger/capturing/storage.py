"""What was captured: trie nodes by their names, and the blocks as of which they were gathered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, MetaData, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.runtime.db import POSTGRESQL, Database

metadata = MetaData()

# Nodes of state and storage tries. Kept for ever; a node that several proofs share is kept once.
state_node = Table(
    "state_node",
    metadata,
    # keccak-256 of the node.
    Column("name", LargeBinary(32), primary_key=True),
    Column("node", LargeBinary, nullable=False),
)

# Final blocks as of which state was captured. Kept for ever.
state_capture = Table(
    "state_capture",
    metadata,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    # Whether all was captured that evidence may ask for as of the block; if not, the next one goes on.
    Column("whole", Boolean, nullable=False),
    # Unix milliseconds.
    Column("captured_ms", BigInteger, nullable=False),
)

# QBFT contract mode: blocks of which and of whose parents the validators were captured. A verifier can go
# from each to the next.
validator_step = Table(
    "validator_step",
    metadata,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
)

_AT_ONCE: Final = 500
"""Names or rows in one statement."""


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """A block as of which state was captured."""

    block_number: int
    whole: bool


class StoredNodes:
    """Trie nodes of one state of the database (`silkledger.evm.state_nodes.NodeStore`)."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def nodes(self, names: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Those of `names` that are kept."""
        return await _select_nodes(self._connection, list(names))


class LatestNodes:
    """As `StoredNodes`, with a short transaction for every question: for whoever asks a node in between."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nodes(self, names: Iterable[bytes]) -> Mapping[bytes, bytes]:
        """Those of `names` that are kept now. What is kept stays."""
        async with self._database.read() as connection:
            return await _select_nodes(connection, list(names))


async def _select_nodes(connection: AsyncConnection, names: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        rows = await connection.execute(select(state_node).where(state_node.c.name.in_(part)))
        found |= {bytes(row.name): bytes(row.node) for row in rows}
    return found


async def last_capture(connection: AsyncConnection, *, whole: bool = False) -> CaptureRow | None:
    """The newest capture, or the newest whole one."""
    query = select(state_capture.c.block_number, state_capture.c.whole)
    if whole:
        query = query.where(state_capture.c.whole)
    row = (await connection.execute(query.order_by(state_capture.c.block_number.desc()).limit(1))).first()
    return None if row is None else CaptureRow(row.block_number, row.whole)


async def capture_from(connection: AsyncConnection, block: int) -> int | None:
    """The first block from `block` on as of which state was captured."""
    column = state_capture.c.block_number
    query = select(column).where(column >= block).order_by(column).limit(1)
    found = await connection.scalar(query)
    return None if found is None else int(found)


async def steps_between(connection: AsyncConnection, first: int, last: int) -> list[int]:
    """All blocks from `first` to `last`, both included, of which the validators were captured."""
    column = validator_step.c.block_number
    rows = await connection.execute(select(column).where(column.between(first, last)).order_by(column))
    return [int(row.block_number) for row in rows]


async def last_step(connection: AsyncConnection, below: int) -> int | None:
    """The newest block before `below` of which the validators were captured."""
    column = validator_step.c.block_number
    query = select(column).where(column < below).order_by(column.desc()).limit(1)
    found = await connection.scalar(query)
    return None if found is None else int(found)


async def insert_nodes(connection: AsyncConnection, nodes: Mapping[bytes, bytes]) -> None:
    """Keep what is not kept yet."""
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    rows = [{"name": name, "node": nodes[name]} for name in sorted(nodes)]
    for start in range(0, len(rows), _AT_ONCE):
        await connection.execute(
            dialect.insert(state_node).on_conflict_do_nothing(), rows[start : start + _AT_ONCE]
        )


async def insert_steps(connection: AsyncConnection, blocks: Iterable[int]) -> None:
    """Note the blocks that are not noted yet."""
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    rows = [{"block_number": block} for block in sorted(blocks)]
    if rows:
        await connection.execute(dialect.insert(validator_step).on_conflict_do_nothing(), rows)


async def insert_capture(connection: AsyncConnection, row: CaptureRow, captured_ms: int) -> None:
    """Note the block. One that is there already stays as it is."""
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    values = {"block_number": row.block_number, "whole": row.whole, "captured_ms": captured_ms}
    await connection.execute(dialect.insert(state_capture).values(values).on_conflict_do_nothing())
