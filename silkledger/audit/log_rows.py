"""The log's rows as a database has them, read leniently: whatever was altered, the rest is still read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.report import Difference
from silkledger.projections.statements import Run, accepted, entry_pack, leaf_run

NO_CALL: Final = -1
"""Stands for the call of leaves that are in no run."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A row of `entry_pack`, with the entries that its bytes hold."""

    call: int
    first_item: int
    width: int
    items: tuple[bytes, ...]
    whole: bool
    """Whether the bytes end where an entry ends."""

    @property
    def key(self) -> str:
        return f"call={self.call}, first_item={self.first_item}"


def split_bundle(data: bytes) -> tuple[tuple[bytes, ...], bool]:
    """The entries of a bundle, as far as there are whole ones; and whether that is all."""
    found: list[bytes] = []
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            return tuple(found), False
        found.append(data[at + 2 : end])
        at = end
    return tuple(found), at == len(data)


@dataclass(slots=True)
class LogRows:
    """Runs of leaves, and the packs of the call that was read last."""

    database: str
    live: AsyncConnection
    size: int
    """Leaves that the log has."""
    runs: list[Run] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    altered: set[tuple[int, int]] = field(default_factory=set)
    """(call, first item) of packs that were named for their bytes."""
    _call: int | None = None
    _packs: list[Pack] = field(default_factory=list)

    async def load(self) -> None:
        """Reads the runs; one that is wider or narrower than its place is named, and read as wide as that."""
        rows = (await self.live.execute(select(leaf_run).order_by(leaf_run.c.first_leaf))).all()
        stored = [Run(*row) for row in rows]
        if self.size and (not stored or stored[0].first_leaf):
            told = "leaf_index=0"
            self.differences.append(
                Difference(self.database, "leaf_run", told, "(row)", "present", "missing")
            )
            stored.insert(0, Run(0, NO_CALL, 0, stored[0].first_leaf if stored else self.size))
        ends = [run.first_leaf for run in stored[1:]] + [self.size]
        for run, end in zip(stored, ends, strict=bool(stored)):
            if run.width != end - run.first_leaf:
                self.differs(run, "width", end - run.first_leaf, run.width)
            if end > run.first_leaf:
                self.runs.append(Run(run.first_leaf, run.call, run.first_item, end - run.first_leaf))

    def differs(self, run: Run, name: str, replayed: object, found: object) -> None:
        key = f"first_leaf={run.first_leaf}"
        self.differences.append(Difference(self.database, "leaf_run", key, name, str(replayed), str(found)))

    def run_of(self, leaf: int) -> Run:
        """The run that the leaf is in. MUST be below `size`."""
        return self.runs[bisect_right(self.runs, leaf, key=lambda run: run.first_leaf) - 1]

    async def packs(self, call: int) -> list[Pack]:
        """Of a call, in order."""
        if call != self._call:
            query = select(entry_pack).where(entry_pack.c.call == call).order_by(entry_pack.c.first_item)
            rows = (await self.live.execute(query)).all()
            self._packs = [
                Pack(row.call, row.first_item, row.width, *split_bundle(bytes(row.entries))) for row in rows
            ]
            self._call = call
        return self._packs

    async def leaves(self) -> AsyncIterator[tuple[int, bytes]]:
        """(leaf index, bytes) of every leaf; no bytes where there are none."""
        for run in self.runs:
            items = {
                pack.first_item + offset: raw
                for pack in await self.packs(run.call)
                for offset, raw in enumerate(pack.items)
            }
            for offset in range(run.width):
                yield run.first_leaf + offset, items.get(run.first_item + offset, b"")

    async def pack_of(self, leaf: int) -> Pack | None:
        """The pack that holds, or should hold, the leaf's bytes."""
        run = self.run_of(leaf)
        item = run.first_item + leaf - run.first_leaf
        below = [pack for pack in await self.packs(run.call) if pack.first_item <= item]
        return below[-1] if below else None

    async def every_pack(self) -> AsyncIterator[Pack]:
        """All packs, in order of calls."""
        query = select(entry_pack).order_by(entry_pack.c.call, entry_pack.c.first_item)
        async with self.live.stream(query) as rows:
            async for row in rows:
                yield Pack(row.call, row.first_item, row.width, *split_bundle(bytes(row.entries)))

    async def accepted_widths(self) -> dict[int, int]:
        """What `accepted` says of each call's number of statements."""
        rows = await self.live.execute(select(accepted.c.call, accepted.c.width))
        return {row.call: row.width for row in rows}

    def runs_with(self, leaves: set[int]) -> Iterator[Run]:
        """Runs that hold any of the leaves."""
        places = {self.run_of(leaf).first_leaf for leaf in leaves}
        return (run for run in self.runs if run.first_leaf in places)
