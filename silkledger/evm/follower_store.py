"""What the follower keeps: cursor, blocks with their raw headers and receipts, transactions. One commit per
move.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import CursorResult, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evidence import rlp
from silkledger.evidence.receipts import Receipt, decode_receipt
from silkledger.evm.contracts import Network
from silkledger.evm.port import FullBlock
from silkledger.evm.tables import CHAIN_BLOCK, CHAIN_CURSOR, CHAIN_TX
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockHash, BlockRef, TxHash


class CursorMoved(Exception):
    """Another process moved the cursor. Nothing was written; read it again."""


def archive(block: FullBlock) -> bytes:
    """Receipts with their transaction hashes, to be kept as tomorrow's evidence."""
    pairs = zip(block.tx_hashes, block.receipts, strict=True)
    return rlp.encode([[bytes(tx_hash), receipt.encode()] for tx_hash, receipt in pairs])


def unarchive(data: bytes) -> list[tuple[TxHash, Receipt]]:
    """What `archive` made. Raises: EvidenceInvalid when the bytes are not that."""
    found: list[tuple[TxHash, Receipt]] = []
    for item in rlp.decode_list(data, "receipts"):
        tx_hash, receipt = rlp.as_list(item, "receipt", 2)
        found.append(
            (TxHash(rlp.as_bytes(tx_hash, "hash", 32)), decode_receipt(rlp.as_bytes(receipt, "receipt")))
        )
    return found


class FollowerStore:
    """The follower's part of the database. `projections` are the tables that a rewind also cuts."""

    def __init__(self, database: Database, network: Network, projections: Sequence[Table]) -> None:
        self._database = database
        self._network = network
        self._projections = tuple(projections)

    async def load(self) -> tuple[BlockHash, Address]:
        """Genesis hash and directory that this database follows; ours, if it followed nothing yet."""
        network = self._network
        async with self._database.write() as conn:
            row = (await conn.execute(select(CHAIN_CURSOR))).first()
            if row is not None:
                if row.chain_id != network.chain_id:
                    return BlockHash(bytes(32)), Address(bytes(20))
                return BlockHash(row.genesis_hash), Address(row.directory)
            await conn.execute(
                insert(CHAIN_CURSOR).values(
                    chain_id=network.chain_id,
                    genesis_hash=bytes(network.genesis_hash),
                    directory=bytes(network.directory),
                    number=0,
                    hash=bytes(network.genesis_hash),
                    final_number=0,
                )
            )
        return network.genesis_hash, network.directory

    async def position(self) -> tuple[BlockRef, BlockRef]:
        """Head and final block, as committed."""
        async with self._database.read() as conn:
            cursor = (await conn.execute(select(CHAIN_CURSOR))).one()
            return await self._ref(conn, cursor.number), await self._ref(conn, cursor.final_number)

    async def hash_of(self, number: int) -> BlockHash | None:
        """Hash of our block `number`; None: we have none."""
        if number == 0:
            return self._network.genesis_hash
        async with self._database.read() as conn:
            value = await conn.scalar(select(CHAIN_BLOCK.c.hash).where(CHAIN_BLOCK.c.number == number))
        return None if value is None else BlockHash(value)

    @asynccontextmanager
    async def advance(
        self, head: BlockRef, blocks: Sequence[FullBlock], final: int
    ) -> AsyncIterator[AsyncConnection]:
        """One commit that appends `blocks` to `head`; projections are written inside the `with` block.

        Raises:
            CursorMoved: `head` is not the committed head any more.
        """
        newest = blocks[-1].header
        async with self._database.write() as conn:
            await self._move(conn, head, newest.number, newest.hash, final)
            await conn.execute(insert(CHAIN_BLOCK), [block_row(block) for block in blocks])
            transactions = [row for block in blocks for row in transaction_rows(block)]
            if transactions:
                await conn.execute(insert(CHAIN_TX), transactions)
            yield conn

    async def rewind(self, head: BlockRef, ancestor: int) -> None:
        """One commit that forgets everything above block `ancestor`.

        Raises:
            CursorMoved: `head` is not the committed head any more.
        """
        async with self._database.write() as conn:
            target = await self._ref(conn, ancestor)
            await self._move(conn, head, target.number, target.hash, None)
            for table in (CHAIN_TX, *self._projections):
                await conn.execute(delete(table).where(table.c.block_number > ancestor))
            await conn.execute(delete(CHAIN_BLOCK).where(CHAIN_BLOCK.c.number > ancestor))

    async def _move(
        self, conn: AsyncConnection, head: BlockRef, number: int, block_hash: BlockHash, final: int | None
    ) -> None:
        """Compare and set: of two processes only one moves the cursor from `head`."""
        values: dict[str, object] = {"number": number, "hash": bytes(block_hash)}
        if final is not None:
            values["final_number"] = final
        result: CursorResult[object] = await conn.execute(
            update(CHAIN_CURSOR)
            .where(CHAIN_CURSOR.c.number == head.number, CHAIN_CURSOR.c.hash == bytes(head.hash))
            .values(**values)
        )
        if result.rowcount != 1:
            raise CursorMoved

    async def _ref(self, conn: AsyncConnection, number: int) -> BlockRef:
        if number <= 0:
            return BlockRef(0, self._network.genesis_hash, 0)
        block = CHAIN_BLOCK.c
        row = (await conn.execute(select(block.hash, block.time).where(block.number == number))).one()
        return BlockRef(number, BlockHash(row.hash), row.time)


def block_row(block: FullBlock) -> dict[str, object]:
    """Row of `chain_block`, a pure function of the block."""
    header = block.header
    return {
        "number": header.number,
        "hash": bytes(header.hash),
        "parent_hash": bytes(header.parent_hash),
        "time": header.timestamp,
        "header": header.raw,
        "receipts": archive(block),
    }


def transaction_rows(block: FullBlock) -> list[dict[str, object]]:
    """Rows of `chain_tx`, a pure function of the block."""
    pairs = enumerate(zip(block.tx_hashes, block.receipts, strict=True))
    return [
        {
            "tx_hash": bytes(tx_hash),
            "block_number": block.header.number,
            "tx_index": index,
            "succeeded": receipt.status,
        }
        for index, (tx_hash, receipt) in pairs
    ]
