"""Blocks that the follower applied: readers of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.receipts import Receipt
from silkledger.evm.follower_store import unarchive
from silkledger.evm.tables import CHAIN_BLOCK, CHAIN_CURSOR, CHAIN_TABLES, CHAIN_TX
from silkledger.values import BlockHash, BlockRef, TxHash

TABLES: Final = CHAIN_TABLES


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """How far the projections go. Both are None before the first block."""

    head: BlockRef | None
    final: BlockRef | None


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """An archived block: what evidence is made of."""

    header: Header
    tx_hashes: tuple[TxHash, ...]
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a transaction is. `final` as of the follower's position in the same transaction."""

    block: BlockRef
    tx_index: int
    succeeded: bool
    final: bool


async def position(conn: AsyncConnection) -> ChainPosition:
    """Head and final block, as of this transaction."""
    cursor = (await conn.execute(select(CHAIN_CURSOR.c.number, CHAIN_CURSOR.c.final_number))).first()
    if cursor is None:
        return ChainPosition(None, None)
    return ChainPosition(await block_at(conn, cursor.number), await block_at(conn, cursor.final_number))


async def block_at(conn: AsyncConnection, number: int) -> BlockRef | None:
    """Block `number`; None: not applied (block 0, the genesis, never is: it holds no transaction)."""
    return _ref((await conn.execute(_refs().where(CHAIN_BLOCK.c.number == number))).first())


async def blocks_at(conn: AsyncConnection, numbers: Sequence[int]) -> dict[int, BlockRef]:
    """The blocks of those numbers that are applied."""
    rows = await conn.execute(_refs().where(CHAIN_BLOCK.c.number.in_(sorted(set(numbers)))))
    return {row.number: BlockRef(row.number, BlockHash(row.hash), row.time) for row in rows}


async def newest_at_time(conn: AsyncConnection, unix_s: int) -> BlockRef | None:
    """The newest applied block whose header time is at most `unix_s`. Reads as many blocks as halvings need:
    times never fall with the number, and have no index.
    """
    number = CHAIN_BLOCK.c.number
    low, high = (await conn.execute(select(func.min(number), func.max(number)))).one()
    found: BlockRef | None = None
    while low is not None and low <= high:
        middle = (low + high) // 2
        block = await block_at(conn, middle)
        if block is None or block.time > unix_s:
            high = middle - 1
        else:
            found, low = block, middle + 1
    return found


async def stored_block(conn: AsyncConnection, number: int, kind: EngineKind) -> StoredBlock | None:
    """Block `number` from the archive, decoded strictly; None: not applied.

    Raises:
        EvidenceInvalid: the archived bytes were altered.
    """
    rows = await archived_blocks(conn, number, number)
    return rows[0].decode(kind) if rows else None


@dataclass(frozen=True, slots=True)
class ArchivedBlock:
    """A block's bytes as the follower kept them."""

    header: bytes
    receipts: bytes

    def decode(self, kind: EngineKind) -> StoredBlock:
        """Strictly. Raises: EvidenceInvalid, when the bytes were altered."""
        pairs = unarchive(self.receipts)
        hashes, receipts = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
        return StoredBlock(decode_header(self.header, kind), hashes, receipts)


async def archived_blocks(conn: AsyncConnection, first: int, last: int) -> list[ArchivedBlock]:
    """The applied blocks among `first` … `last`, in order, undecoded."""
    block = CHAIN_BLOCK.c
    query = select(block.header, block.receipts).where(block.number.between(first, last))
    rows = await conn.execute(query.order_by(block.number))
    return [ArchivedBlock(bytes(row.header), bytes(row.receipts)) for row in rows]


async def where_is(conn: AsyncConnection, tx_hash: TxHash) -> Inclusion | None:
    """The block that holds a transaction; None: none of those applied."""
    query = (
        select(CHAIN_TX, CHAIN_BLOCK.c.hash, CHAIN_BLOCK.c.time)
        .join(CHAIN_BLOCK, CHAIN_BLOCK.c.number == CHAIN_TX.c.block_number)
        .where(CHAIN_TX.c.tx_hash == bytes(tx_hash))
    )
    row = (await conn.execute(query)).first()
    if row is None:
        return None
    final = await conn.scalar(select(CHAIN_CURSOR.c.final_number))
    block = BlockRef(row.block_number, BlockHash(row.hash), row.time)
    return Inclusion(block, row.tx_index, row.succeeded, final is not None and block.number <= final)


def _refs() -> Select[Any]:
    return select(CHAIN_BLOCK.c.number, CHAIN_BLOCK.c.hash, CHAIN_BLOCK.c.time)


def _ref(row: Any) -> BlockRef | None:
    return None if row is None else BlockRef(row.number, BlockHash(row.hash), row.time)
