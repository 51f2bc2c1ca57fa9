"""A projection as rows: what the follower inserts, and what a replay computes without a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import BlockEvents, ContractEvent
from silkledger.values import BlockRef

Row: TypeAlias = dict[str, Any]
"""Column name to value; every column of the table is named."""


class RowsProjector(ABC):
    """Facts of a block as rows. `rows` is a pure function of its arguments; `apply` inserts what it gives."""

    @property
    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """Tables with a `block_number` column, filled from `rows` only."""

    @abstractmethod
    def rows(self, block: BlockRef, events: Sequence[ContractEvent]) -> Mapping[Table, list[Row]]:
        """The rows of one block by table, in the order of their events."""

    async def apply(self, conn: AsyncConnection, blocks: Sequence[BlockEvents]) -> None:
        """In the follower's commit of `blocks`: one insert a table."""
        gathered: dict[Table, list[Row]] = {}
        for block, events in blocks:
            for table, rows in self.rows(block, events).items():
                gathered.setdefault(table, []).extend(rows)
        for table, rows in gathered.items():
            if rows:
                await conn.execute(insert(table), rows)
