"""Merging the index's segments, so that a lookup reads few of them: eight of a level become one of the next.

Done in slices by the log's one writer, between batches: each slice reads and sorts a part of the keys outside
of any writing transaction and then writes its pages. A segment under construction is not read by anybody; one
that was merged is dropped in slices as well. A crash leaves a segment that the next slice drops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.sequencing.bulk import insert_rows
from silkledger.log.index import PAGE, RECORD, pages, split
from silkledger.projections.log_index import BUILDING, index_page, index_segment
from silkledger.runtime.db import Database
from silkledger.runtime.failpoints import Failpoint, reach

FAN_IN: Final = 8
"""Segments of one level that become one of the next."""
SLICE_RECORDS: Final = 50_000
"""About how many records one slice sorts."""
MANY_SEGMENTS: Final = 16
"""For each so many segments there are, a round merges a slice more, so that under any load their number stays
within bounds: every lookup reads a page of each.
"""
DROPPED: Final = -2
"""Level of a segment that was merged into another; its pages are being deleted."""

_KEY_SPACE: Final = 1 << 64
Writing = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@dataclass(slots=True)
class _Job:
    target: int
    level: int
    sources: tuple[int, ...]
    parts: int
    part: int = 0
    carry: list[bytes] = field(default_factory=list)
    """Records that did not fill a page yet."""

    def bounds(self) -> tuple[bytes, bytes | None]:
        """First record of the part, and of the next; None: there is none."""
        low, high = (_KEY_SPACE * n // self.parts for n in (self.part, self.part + 1))
        end = None if high == _KEY_SPACE else high.to_bytes(8, "big") + bytes(8)
        return low.to_bytes(8, "big") + bytes(8), end


class Merging:
    """The merge under way. `writing` opens the one writer's transactions, fenced as its others are."""

    def __init__(self, database: Database, writing: Writing) -> None:
        self._database = database
        self._writing = writing
        self._job: _Job | None = None
        self._segments = 0
        """How many there were when a merge was last looked for."""

    async def round(self) -> bool:
        """As many slices as the number of segments asks for; False when there was nothing to do."""
        slices = 1 + self._segments // MANY_SEGMENTS
        for done in range(slices):
            if not await self.step():
                return done > 0
        return True

    async def step(self) -> bool:
        """One slice; False when there is nothing to merge or to drop."""
        if self._job is not None:
            await self._merge(self._job)
            return True
        async with self._database.read() as connection:
            over = select(index_segment.c.segment).where(index_segment.c.level < 0).limit(FAN_IN)
            dropped = (await connection.execute(over)).scalars().all()
            job = None
            if not dropped:
                self._segments, job = await _due(connection)
        if dropped:
            await self._drop(dropped)
        elif job is not None:
            await self._begin(job)
        return bool(dropped) or job is not None

    async def _drop(self, segments: Sequence[int]) -> None:
        """Of these, as many as make up a slice, at least one."""
        deleted = 0
        async with self._writing() as connection:
            for segment in segments:
                gone = await connection.execute(delete(index_page).where(index_page.c.segment == segment))
                await connection.execute(delete(index_segment).where(index_segment.c.segment == segment))
                deleted += gone.rowcount
                if deleted >= SLICE_RECORDS // (PAGE // RECORD):
                    break
            reach(Failpoint.INTEGRATE_DROPPED)

    async def _begin(self, job: _Job) -> None:
        async with self._writing() as connection:
            job.target = await next_segment(connection)
            row = {"segment": job.target, "level": BUILDING, "first_leaf": 0, "end_leaf": 0}
            await connection.execute(insert(index_segment), row)
        self._job = job

    async def _merge(self, job: _Job) -> None:
        async with self._database.read() as connection:
            records = job.carry + await _part(connection, job)
        last = job.part + 1 == job.parts
        full = len(records) if last else len(records) - len(records) % (PAGE // RECORD)
        async with self._writing() as connection:
            rows = [(job.target, first, page) for first, page in pages(records[:full])]
            await insert_rows(connection, "index_page", rows)
            if last:
                await _replace(connection, job)
            reach(Failpoint.INTEGRATE_MERGED)
        job.carry, job.part = records[full:], job.part + 1
        if last:
            self._job = None


async def _due(connection: AsyncConnection) -> tuple[int, _Job | None]:
    """How many segments there are, and a merge of the lowest level that has enough, oldest first."""
    segment = index_segment.c
    query = select(segment.level, segment.segment).where(segment.level >= 0)
    rows = (await connection.execute(query.order_by(segment.level, segment.first_leaf))).all()
    for level, group in groupby(rows, key=lambda row: int(row.level)):
        sources = tuple(int(row.segment) for row in group)[:FAN_IN]
        if len(sources) == FAN_IN:
            count = select(func.count()).select_from(index_page).where(index_page.c.segment.in_(sources))
            records = int(await connection.scalar(count) or 0) * (PAGE // RECORD)
            return len(rows), _Job(0, level, sources, max(1, -(-records // SLICE_RECORDS)))
    return len(rows), None


async def _part(connection: AsyncConnection, job: _Job) -> list[bytes]:
    """The records of all sources within the bounds of the job's next part, sorted."""
    low, high = job.bounds()
    page = index_page.c
    found: list[bytes] = []
    for source in job.sources:
        before = select(func.max(page.first)).where(page.segment == source, page.first <= low)
        start = await connection.scalar(before)
        query = select(page.records).where(page.segment == source, page.first >= (start or low))
        if high is not None:
            query = query.where(page.first < high)
        for (data,) in (await connection.execute(query.order_by(page.first))).all():
            records = split(bytes(data))
            if records[0] < low or (high is not None and records[-1] >= high):
                records = [item for item in records if low <= item and (high is None or item < high)]
            found += records
    found.sort()
    return found


async def _replace(connection: AsyncConnection, job: _Job) -> None:
    """From now on readers use the target instead of its sources."""
    segment = index_segment.c
    query = select(func.min(segment.first_leaf), func.max(segment.end_leaf)).where(
        segment.segment.in_(job.sources)
    )
    first, end = (await connection.execute(query)).one()
    await connection.execute(
        update(index_segment)
        .where(segment.segment == job.target)
        .values(level=job.level + 1, first_leaf=first, end_leaf=end)
    )
    await connection.execute(
        update(index_segment).where(segment.segment.in_(job.sources)).values(level=DROPPED)
    )


async def next_segment(connection: AsyncConnection) -> int:
    """A number that no segment has."""
    newest = await connection.scalar(select(func.max(index_segment.c.segment)))
    return int(newest or 0) + 1


async def add_segment(
    connection: AsyncConnection, first_leaf: int, end_leaf: int, records: list[bytes]
) -> None:
    """A new segment of these records, for the leaves from `first_leaf` to before `end_leaf`."""
    number = await next_segment(connection)
    row = {"segment": number, "level": 0, "first_leaf": first_leaf, "end_leaf": end_leaf}
    await connection.execute(insert(index_segment), row)
    rows = [(number, first, page) for first, page in pages(sorted(records))]
    await insert_rows(connection, "index_page", rows)
