"""Which statements are in the log: a bit map that knows what surely is not, and the index for the rest.

The map has one bit for each value of 28 bits of a statement id: 32 MiB, whatever the size of the log. At 10⁷
statements one new id in twenty-seven needs a look into the index, at 10⁶ one in 270.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.index.lookup import find
from services.ledger.reading.leaves import Leaves
from silkledger.log.index import KEY, RECORD, Kind, hash_key
from silkledger.projections.log_index import index_page, index_segment
from silkledger.projections.statements import parse_entry

_BITS: Final = 28
_PAGES_AT_ONCE: Final = 512


class KnownStatements:
    """One per process. What it says is as of the connection's state of the database."""

    def __init__(self) -> None:
        self._map = bytearray(1 << (_BITS - 3))
        self._end_leaf = 0
        """The map holds every statement below this leaf."""

    async def logged(self, connection: AsyncConnection, ids: Sequence[bytes]) -> dict[bytes, int]:
        """Those of the statement ids that are in the log, each with its leaf."""
        await self._catch_up(connection)
        bits = self._map
        maybe = []
        for item in ids:
            place = int.from_bytes(item[:4], "big") >> (32 - _BITS)
            if bits[place >> 3] & (1 << (place & 7)):
                maybe.append(item)
        if not maybe:
            return {}
        found = {}
        leaves = Leaves(connection)
        candidates = await find(connection, [hash_key(Kind.STATEMENT_ID, item) for item in maybe])
        for item in maybe:
            for position in candidates[hash_key(Kind.STATEMENT_ID, item)]:
                stored = await leaves.at(position.leaf)
                if stored is not None and parse_entry(stored.raw).id == item:
                    found[item] = position.leaf
        return found

    async def _catch_up(self, connection: AsyncConnection) -> None:
        """Take in what was logged since, by whatever process."""
        query = (
            select(index_segment.c.segment, index_segment.c.end_leaf)
            .where(index_segment.c.level >= 0, index_segment.c.end_leaf > self._end_leaf)
            .order_by(index_segment.c.first_leaf)
        )
        for segment, end_leaf in (await connection.execute(query)).all():
            await self._take_in(connection, segment)
            self._end_leaf = max(self._end_leaf, end_leaf)

    async def _take_in(self, connection: AsyncConnection, segment: int) -> None:
        bits, kind = self._map, int(Kind.STATEMENT_ID)
        last = b""
        page = index_page.c
        while True:
            query = select(page.first, page.records).where(page.segment == segment, page.first > last)
            rows = (await connection.execute(query.order_by(page.first).limit(_PAGES_AT_ONCE))).all()
            if not rows:
                return
            for row in rows:
                records = bytes(row.records)
                for at in range(0, len(records), RECORD):
                    if records[at + KEY - 1] == kind:
                        place = int.from_bytes(records[at : at + 4], "big") >> (32 - _BITS)
                        bits[place >> 3] |= 1 << (place & 7)
            last = bytes(rows[-1].first)
