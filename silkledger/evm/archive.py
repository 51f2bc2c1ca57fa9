"""The follower's archive as a source of blocks: raw headers and receipts as verified when first seen.

What the archive says is its database's word: whoever makes evidence of it verifies the evidence.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evm.follower_store import unarchive
from silkledger.evm.port import Block, FullBlock, NodeLied, NodeUnavailable
from silkledger.evm.tables import CHAIN_BLOCK


class Archive:
    """The blocks that a follower has applied, read in one transaction. Genesis is not among them."""

    def __init__(self, connection: AsyncConnection, kind: EngineKind) -> None:
        self._connection = connection
        self._kind = kind

    async def block(self, number: int) -> Block:
        """Raises: as `full_blocks`."""
        (block,) = await self.full_blocks(number, number)
        return Block(block.header, block.tx_hashes)

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        """Blocks `first` to `last`, both included, with their receipts.

        Raises:
            NodeUnavailable: the follower has not applied all of them.
            NodeLied: a row does not hold what the follower wrote.
        """
        columns = CHAIN_BLOCK.c
        rows = await self._connection.execute(
            select(columns.number, columns.header, columns.receipts)
            .where(columns.number.between(first, last))
            .order_by(columns.number)
        )
        blocks = [self._full_block(*row) for row in rows]
        if [block.header.number for block in blocks] != list(range(first, last + 1)):
            raise NodeUnavailable(f"the archive has {len(blocks)} of the blocks {first} to {last}")
        return blocks

    def _full_block(self, number: int, header: bytes, receipts: bytes) -> FullBlock:
        try:
            decoded, pairs = decode_header(header, self._kind), unarchive(receipts)
        except EvidenceInvalid as error:
            raise NodeLied(f"the archive's block {number} does not decode: {error}") from error
        return FullBlock(
            decoded, tuple(tx_hash for tx_hash, _ in pairs), tuple(receipt for _, receipt in pairs)
        )
