"""The log's index: every record made again from the entries and their runs, and held against the pages.

Records are balanced in a temporary SQLite file, one up for each that must be there, one down for each that
is: so the memory that it takes does not grow with the log. A page that holds what it must not, or lacks what
it must hold, is named; so is a segment whose bounds are not those of its records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import ROW, shown
from silkledger.audit.databases import tables_of
from silkledger.audit.leaves import CheckedLeaf, LeafSays
from silkledger.audit.log_rows import LogRows
from silkledger.audit.manifests import Documents, documents_of
from silkledger.audit.report import Difference
from silkledger.log.index import KEY, RECORD, Kind, absolute, run_records, split, unpack
from silkledger.projections.log_index import index_page, index_segment
from silkledger.projections.statements import Run, undocumented

_RUN_KINDS: Final = (Kind.ISSUER, Kind.ISSUER_AND_TYPE)
_BATCH: Final = 10_000


class _Balance:
    """Counts of records, on disk once they are many."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("")
        self._file.execute("CREATE TABLE balance (record BLOB NOT NULL, n INTEGER NOT NULL)")
        self._waiting: list[tuple[bytes, int]] = []

    def add(self, records: Iterable[bytes], n: int) -> None:
        self._waiting += [(record, n) for record in records]
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._file.executemany("INSERT INTO balance VALUES (?, ?)", self._waiting)
        self._waiting = []

    def unbalanced(self) -> list[tuple[bytes, int]]:
        """(record, how many too few (positive) or too many (negative) are stored), in order."""
        self._flush()
        query = "SELECT record, sum(n) FROM balance GROUP BY record HAVING sum(n) != 0 ORDER BY record"
        return self._file.execute(query).fetchall()

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class IndexFindings:
    """What was found about index and manifests' documents."""

    differences: list[Difference] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Segment:
    number: int
    first_leaf: int
    end_leaf: int


class IndexAudit:
    """Told of every leaf and run in log order, then compared with what is stored."""

    def __init__(self, database: str, live: AsyncConnection) -> None:
        self._database = database
        self._live = live
        self._balance = _Balance()
        self._found = IndexFindings()
        self._missing: set[bytes] = set()
        """Manifests without their documents."""
        self._manifests: dict[int, Documents] = {}
        """By leaf: those whose documents do not lead to their manifests' roots."""

    async def add_leaf(self, item: CheckedLeaf) -> None:
        """What the index must say of an entry."""
        self._balance.add(absolute(item.says.records, [item.index]), 1)
        if item.says.manifest:
            documents = await documents_of(self._database, self._live, item.raw)
            self._balance.add(absolute(documents.records, [item.index]), 1)
            self._found.differences += documents.differences
            if documents.missing:
                self._missing.add(documents.manifest)
            if documents.wrong:
                self._manifests[item.index] = documents

    def add_run(self, run: Run, says: Sequence[LeafSays]) -> None:
        """What the index must say of a run, whose entries say this."""
        issuers = [one.issuer for one in says if one.issuer]
        if issuers:
            types = [one.document_type for one in says if one.issuer]
            self._balance.add(run_records(run.first_leaf, issuers[-1], types), 1)

    async def compare(self, rows: LogRows, damaged: set[int]) -> IndexFindings:
        """Leaves whose bytes are not the log's (`damaged`) have no records that anything could be held
        against: those are left out.
        """
        query = select(index_segment).where(index_segment.c.level >= 0).order_by(index_segment.c.first_leaf)
        segments = [
            _Segment(row.segment, row.first_leaf, row.end_leaf) for row in await self._live.execute(query)
        ]
        ends: dict[int, tuple[int, int]] = {}
        for segment in segments:
            async for _, page in self._pages(segment.number):
                self._balance.add(split(page), -1)
                ends[segment.number] = _bounds(page, ends.get(segment.number))
        unbalanced = self._balance.unbalanced()
        self._balance.close()
        runs = {run.first_leaf for run in rows.runs_with(damaged)} if damaged else set()
        wrong = [one for one in unbalanced if not _left_out(one[0], damaged, runs)]
        wrong = [one for one in wrong if not self._of_a_manifest(one[0])]
        if wrong:
            await self._name_pages(segments, wrong)
        else:
            self._name_bounds(segments, ends, rows.size)
        for documents in self._manifests.values():
            self._found.differences += documents.named()
        await self._name_missing(damaged)
        return self._found

    async def _name_missing(self, damaged: set[int]) -> None:
        """What came from a mirror without its documents MUST be listed as such, and nothing else. While
        leaves are damaged nobody knows whether one of them is a manifest that is listed: those are let be.
        """
        if self._missing:
            told = f"{self._database}: the documents of {len(self._missing)} manifest(s) of the log"
            self._found.unavailable.append(told)
        if undocumented.name not in await tables_of(self._live):
            return
        listed = {bytes(row.manifest) for row in await self._live.execute(undocumented.select())}
        for manifest in sorted(self._missing ^ listed):
            if manifest not in self._missing and damaged:
                continue
            words = ("present", "missing") if manifest in self._missing else ("absent", "present")
            self._differs(undocumented.name, f"manifest={shown(manifest)}", ROW, *words)

    def _of_a_manifest(self, record: bytes) -> bool:
        """Whether altered documents explain the record; then their pack is known by it."""
        place = unpack(record[KEY:]) if len(record) == RECORD else None
        if place is None or not place.document or place.leaf not in self._manifests:
            return False
        self._manifests[place.leaf].point_at(place.document - 1)
        return True

    async def _pages(self, segment: int) -> AsyncIterator[tuple[bytes, bytes]]:
        query = select(index_page.c.first, index_page.c.records).where(index_page.c.segment == segment)
        async with self._live.stream(query.order_by(index_page.c.first)) as rows:
            async for row in rows:
                yield bytes(row.first), bytes(row.records)

    async def _name_pages(self, segments: Sequence[_Segment], wrong: Sequence[tuple[bytes, int]]) -> None:
        """One difference for each page that holds or lacks any of the records."""
        surplus = {record for record, n in wrong if n < 0}
        missing = {record for record, n in wrong if n > 0}
        for segment in segments:
            here = {record for record in missing if _within(record, segment)}
            previous: tuple[bytes, bytes] | None = None
            async for first, page in self._pages(segment.number):
                if previous is not None:
                    self._name_page(segment, previous, surplus, here, before=first)
                previous = first, page
            if previous is not None:
                self._name_page(segment, previous, surplus, here, before=None)
        covered = {record for record in missing if any(_within(record, one) for one in segments)}
        for record in sorted(missing - covered):
            key = f"leaf_index={unpack(record[KEY:]).leaf}"
            self._differs("index_segment", key, "(row)", "present", "missing")

    def _name_page(
        self,
        segment: _Segment,
        page: tuple[bytes, bytes],
        surplus: set[bytes],
        missing: set[bytes],
        before: bytes | None,
    ) -> None:
        first, content = page
        records = split(content)
        lacking = [one for one in missing if first <= one and (before is None or one < before)]
        too_much = [one for one in records if one in surplus]
        if lacking or too_much:
            key = f"segment={segment.number}, first={shown(first)}"
            replayed = ", ".join(shown(one) for one in sorted(lacking)[:3]) or "nothing more"
            found = ", ".join(shown(one) for one in too_much[:3]) or "missing"
            self._differs("index_page", key, "records", replayed, found)

    def _name_bounds(self, segments: Sequence[_Segment], ends: dict[int, tuple[int, int]], size: int) -> None:
        """With all records in place, a segment's bounds are those of its leaves, without gaps."""
        for segment in segments:
            first, end = ends.get(segment.number, (segment.first_leaf, segment.end_leaf))
            key = f"segment={segment.number}"
            if segment.first_leaf != first:
                self._differs("index_segment", key, "first_leaf", str(first), str(segment.first_leaf))
            if segment.end_leaf != min(end, size):
                self._differs("index_segment", key, "end_leaf", str(end), str(segment.end_leaf))

    def _differs(self, table: str, key: str, name: str, replayed: str, found: str) -> None:
        self._found.differences.append(Difference(self._database, table, key, name, replayed, found))


def _bounds(page: bytes, so_far: tuple[int, int] | None) -> tuple[int, int]:
    """First and end of the leaves that have a record of their own id."""
    first, end = so_far or (1 << 48, 0)
    for record in split(page):
        if len(record) == RECORD and record[KEY - 1] == Kind.STATEMENT_ID:
            leaf = unpack(record[KEY:]).leaf
            first, end = min(first, leaf), max(end, leaf + 1)
    return first, end


def _within(record: bytes, segment: _Segment) -> bool:
    return segment.first_leaf <= unpack(record[KEY:]).leaf < segment.end_leaf


def _left_out(record: bytes, damaged: set[int], runs: set[int]) -> bool:
    if len(record) != RECORD:
        return False
    leaf = unpack(record[KEY:]).leaf
    return leaf in damaged or (leaf in runs and record[KEY - 1] in _RUN_KINDS)
