"""Looking keys up in the segmented index: one page per segment and key, whatever the size of the log.

What is found are candidates: a key is only a part of a hash. Who asks confirms them in the entries' bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.log.index import KEY, RECORD, Position, pack, unpack
from silkledger.runtime.db import POSTGRESQL

AT_ONCE: Final = 200
"""Keys of one query."""

_PAGES: Final = 64
"""Most pages read at once for a key that many entries may share."""

_LAST: Final = b"\xff" * (RECORD - KEY)

# Every page that can hold a record between low and high: the last that begins at or before low, and those
# that begin up to high. Few keys, few segments, then pages by their index: neither database may take another
# order, so SQLite is held to it by CROSS JOIN, PostgreSQL by a subquery of each pair that OFFSET keeps whole.
_FIRST: Final = """
coalesce((SELECT max(q.first) FROM index_page q WHERE q.segment = s.segment AND q.first <= w.low), w.low)
"""
_SQLITE_PAGES: Final = f"""
SELECT w.low, p.records, s.first_leaf
FROM wanted w CROSS JOIN index_segment s CROSS JOIN index_page p
WHERE s.level >= 0 AND s.end_leaf > {{after}}
 AND p.segment = s.segment AND p.first >= {_FIRST} AND p.first <= w.high {{more}}
"""
_POSTGRESQL_PAGES: Final = f"""
SELECT w.low, p.records, s.first_leaf
FROM wanted w CROSS JOIN index_segment s CROSS JOIN LATERAL (
    SELECT i.first, i.records FROM index_page i
    WHERE i.segment = s.segment AND i.first >= {_FIRST} AND i.first <= w.high OFFSET 0
) p
WHERE s.level >= 0 AND s.end_leaf > {{after}} {{more}}
"""


async def find(connection: AsyncConnection, keys: Sequence[bytes]) -> dict[bytes, list[Position]]:
    """Candidates for each of the keys, in log order. For keys that few entries share."""
    found: dict[bytes, list[Position]] = {key: [] for key in keys}
    unique = list(found)
    for start in range(0, len(unique), AT_ONCE):
        part = [(key + bytes(KEY), key + _LAST) for key in unique[start : start + AT_ONCE]]
        for low, page, _ in await _pages(connection, part, 0, ""):
            key = bytes(low)[:KEY]
            found[key] += _matches(bytes(page), key, bytes(low))
    for key, positions in found.items():
        found[key] = sorted(set(positions))
    return found


async def scan(connection: AsyncConnection, key: bytes, after: Position | None, limit: int) -> list[Position]:
    """Candidates for a key that any number of entries may share: the first `limit` after a position."""
    place = b"\0" * (RECORD - KEY) if after is None else pack(*after)
    low = key + place
    found: list[Position] = []
    leaf = -1 if after is None else after.leaf
    order = f"ORDER BY s.first_leaf, p.first LIMIT {_PAGES}"
    while len(found) < limit:
        pages = await _pages(connection, [(low, key + _LAST)], leaf, order)
        more = [
            item
            for _, page, _ in pages
            for item in _matches(bytes(page), key, low)
            if after is None or item > after
        ]
        if more:
            found += more
            after = more[-1]
            low, leaf = key + pack(*after), after.leaf
        elif len(pages) == _PAGES:  # of as many segments: go on with the last, which may have been cut off
            leaf = pages[-1].first_leaf
        else:
            break
    return found[:limit]


def _matches(page: bytes, key: bytes, low: bytes) -> list[Position]:
    """Positions in a sorted page under the key, from the record `low` on."""
    count = len(page) // RECORD
    at = bisect_left(range(count), low, key=lambda index: page[index * RECORD : (index + 1) * RECORD])
    found = []
    while at < count and page.startswith(key, at * RECORD):
        found.append(unpack(page[at * RECORD + KEY : (at + 1) * RECORD]))
        at += 1
    return found


async def _pages(
    connection: AsyncConnection, wanted: Sequence[tuple[bytes, bytes]], after: int, more: str
) -> Sequence[Any]:
    if connection.dialect.name == POSTGRESQL:
        body = _POSTGRESQL_PAGES.format(after=int(after), more=more)
        query = f"WITH wanted AS (SELECT * FROM unnest($1::bytea[], $2::bytea[]) AS u(low, high)) {body}"
        parameters: Any = ([low for low, _ in wanted], [high for _, high in wanted])
    else:
        body = _SQLITE_PAGES.format(after=int(after), more=more)
        values = ", ".join(["(?, ?)"] * len(wanted))
        query = f"WITH wanted(low, high) AS (VALUES {values}) {body}"
        parameters = tuple(item for pair in wanted for item in pair)
    return (await connection.exec_driver_sql(query, parameters)).all()
