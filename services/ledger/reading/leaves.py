"""One leaf, or a run of them, out of the packs: each pack is read and taken apart once per reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.log.tiles import decode_bundle
from silkledger.projections.statements import Run, accepted, entry_pack, leaf_run

_KEPT: Final = 8
"""Packs that one reader keeps at hand."""


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """An entry's bytes, where it is, and what was promised when it was accepted."""

    leaf_index: int
    raw: bytes
    accepted_ms: int
    log_by_ms: int
    run: Run


@dataclass(frozen=True, slots=True)
class _Terms:
    accepted_ms: int
    log_by_ms: int


class Leaves:
    """Reads leaves by index from one state of the database."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._run: Run | None = None
        self._terms: dict[int, _Terms] = {}
        self._packs: dict[tuple[int, int], list[bytes]] = {}

    async def at(self, leaf: int) -> StoredLeaf | None:
        """The leaf, or None where the log does not reach (or the database is damaged)."""
        run = await self.run_at(leaf)
        if run is None:
            return None
        raw = await self.item(run.call, run.first_item + leaf - run.first_leaf)
        terms = await self.terms(run.call)
        if raw is None or terms is None:
            return None
        return StoredLeaf(leaf, raw, terms.accepted_ms, terms.log_by_ms, run)

    async def run_at(self, leaf: int) -> Run | None:
        """The run that holds the leaf."""
        if self._run is None or not self._run.first_leaf <= leaf < self._run.end_leaf:
            query = select(leaf_run).where(leaf_run.c.first_leaf <= leaf)
            query = query.order_by(leaf_run.c.first_leaf.desc()).limit(1)
            row = (await self._connection.execute(query)).first()
            self._run = None if row is None else Run(*row)
        return self._run if self._run is not None and leaf < self._run.end_leaf else None

    async def item(self, call: int, item: int) -> bytes | None:
        """An item of an accepted call, as received."""
        pack = entry_pack.c
        for (known, first), pack_entries in self._packs.items():
            if known == call and 0 <= item - first < len(pack_entries):
                return pack_entries[item - first]
        query = select(pack.first_item, pack.width, pack.entries).where(
            pack.call == call, pack.first_item <= item
        )
        row = (await self._connection.execute(query.order_by(pack.first_item.desc()).limit(1))).first()
        if row is None or item >= row.first_item + row.width:
            return None
        entries: list[bytes] = decode_bundle(bytes(row.entries), row.width)
        if len(self._packs) >= _KEPT:
            self._packs.pop(next(iter(self._packs)))
        self._packs[(call, row.first_item)] = entries
        return entries[item - int(row.first_item)]

    async def terms(self, call: int) -> _Terms | None:
        """When the call was accepted, and by when it was promised to be logged."""
        if call not in self._terms:
            query = select(accepted.c.accepted_ms, accepted.c.log_by_ms).where(accepted.c.call == call)
            row = (await self._connection.execute(query)).first()
            if row is None:
                return None
            self._terms[call] = _Terms(*row)
        return self._terms[call]
