"""Provable histories: every record that IdentityRegistry, TrustRegistry, DocumentStatus and LogAnchor
appended.

A storage proof of a key's head together with all records of the key proves the list complete, ordered and
dated
(`silkledger.registry.histories.fold_head`). Here the records are kept; whoever proves something folds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import ContractEvent
from silkledger.projections.rows import Row, RowsProjector
from silkledger.registry.histories import HistoryRecord
from silkledger.values import BlockRef

EVENT: Final = "HistoryAppended"

METADATA: Final = MetaData()

HISTORY: Final = Table(
    "history",
    METADATA,
    Column("contract", Text, primary_key=True),
    Column("key", LargeBinary(32), primary_key=True),
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", BigInteger, primary_key=True, autoincrement=False, comment="within the block"),
    Column("head", LargeBinary(32), nullable=False, comment="after this record"),
    Column("record", LargeBinary, nullable=False, comment="as the event carried it"),
)
Index("history_by_block", HISTORY.c.block_number)

TABLES: Final = (HISTORY,)


class HistoriesProjector(RowsProjector):
    """Keeps every `HistoryAppended` event. Does not read what the records say."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return TABLES

    def rows(self, block: BlockRef, events: Sequence[ContractEvent]) -> Mapping[Table, list[Row]]:
        rows: list[Row] = [
            {
                "contract": event.contract,
                "key": event.args["key"],
                "block_number": block.number,
                "log_index": event.log_index,
                "head": event.args["head"],
                "record": event.args["record"],
            }
            for event in events
            if event.name == EVENT
        ]
        return {HISTORY: rows}


class StoredHistories:
    """Reads histories in one transaction, so that all of them are as of one block."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def records(self, contract: str, key: bytes, known_at: int | None = None) -> list[HistoryRecord]:
        """All records of `key` up to block `known_at` (None: all applied), in order. Empty: nothing
        recorded.
        """
        found = await self.many(contract, [key], known_at)
        return found[key]

    async def many(
        self, contract: str, keys: Iterable[bytes], known_at: int | None = None
    ) -> dict[bytes, list[HistoryRecord]]:
        """Histories of several keys of one contract; every key asked for is in the answer."""
        found: dict[bytes, list[HistoryRecord]] = {bytes(key): [] for key in keys}
        query = (
            select(HISTORY.c.key, HISTORY.c.block_number, HISTORY.c.record)
            .where(HISTORY.c.contract == contract, HISTORY.c.key.in_(list(found)))
            .order_by(HISTORY.c.block_number, HISTORY.c.log_index)
        )
        if known_at is not None:
            query = query.where(HISTORY.c.block_number <= known_at)
        for row in await self._conn.execute(query):
            found[bytes(row.key)].append(HistoryRecord(row.block_number, bytes(row.record)))
        return found

    async def nth(self, contract: str, key: bytes, position: int) -> HistoryRecord | None:
        """The record at a position, from 0 on, of all applied; None: there are fewer."""
        query = (
            select(HISTORY.c.block_number, HISTORY.c.record)
            .where(HISTORY.c.contract == contract, HISTORY.c.key == key)
            .order_by(HISTORY.c.block_number, HISTORY.c.log_index)
            .offset(position)
            .limit(1)
        )
        row = (await self._conn.execute(query)).first()
        return None if row is None else HistoryRecord(row.block_number, bytes(row.record))

    async def last(self, contract: str, key: bytes, known_at: int) -> HistoryRecord | None:
        """The last record of `key` up to block `known_at`; None: there is none."""
        query = (
            select(HISTORY.c.block_number, HISTORY.c.record)
            .where(HISTORY.c.contract == contract, HISTORY.c.key == key, HISTORY.c.block_number <= known_at)
            .order_by(HISTORY.c.block_number.desc(), HISTORY.c.log_index.desc())
            .limit(1)
        )
        row = (await self._conn.execute(query)).first()
        return None if row is None else HistoryRecord(row.block_number, bytes(row.record))

    async def head(self, contract: str, key: bytes, known_at: int | None = None) -> bytes:
        """The head that the contract reported last; 32 zero bytes: nothing recorded."""
        query = (
            select(HISTORY.c.head)
            .where(HISTORY.c.contract == contract, HISTORY.c.key == key)
            .order_by(HISTORY.c.block_number.desc(), HISTORY.c.log_index.desc())
            .limit(1)
        )
        if known_at is not None:
            query = query.where(HISTORY.c.block_number <= known_at)
        value = await self._conn.scalar(query)
        return bytes(32) if value is None else bytes(value)
