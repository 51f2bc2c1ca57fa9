"""A ledger's own log: its stored rows held against each other, and against what is anchored and signed.

1. every leaf's bytes are a signed statement or manifest with a good signature of the key it carries;
2. the tree of those bytes has every anchored root, and every root that the log signed (`checkpoint.note`);
3. the stored hashes (`tile`), runs (`leaf_run`), packs and widths are those of the log;
4. the stored index has exactly the records that entries and runs make; manifests' documents are theirs.

Bytes and stored hashes are two copies of one thing. Where they differ, that one is right whose tree has the
anchored and signed roots; so the row that was altered is named, and not whatever follows from it.
Not compared, because nothing but the service's word determines them: when and against which block a call was
accepted, when a checkpoint was made, and how often the index was merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import shown
from silkledger.audit.databases import tables_of
from silkledger.audit.leaves import CheckedLeaf, LeafSays, checked
from silkledger.audit.log_hashes import HASH, roots_at, tiles_of
from silkledger.audit.log_index import IndexAudit
from silkledger.audit.log_rows import NO_CALL, LogRows, Pack
from silkledger.audit.report import Difference
from silkledger.audit.workers import Workers
from silkledger.log.checkpoint import Checkpoint, LogKeys, NoteError, parse_note, verify_note
from silkledger.log.receipt import ReceiptError, read_root_signatures
from silkledger.log.tree import leaf_hash
from silkledger.projections.log_tiles import tile
from silkledger.projections.statements import Run


@dataclass(frozen=True, slots=True)
class LogAudit:
    """What was found about one log."""

    entries: int
    anchors: int
    differences: tuple[Difference, ...]
    unavailable: tuple[str, ...]


@dataclass(slots=True)
class _Hashes:
    """Leaf hashes by the entries' bytes, and what is wrong with those bytes."""

    of_bytes: bytearray = field(default_factory=bytearray)
    refused: dict[int, str] = field(default_factory=dict)

    def add(self, item: CheckedLeaf) -> None:
        self.of_bytes += item.says.hash
        if item.says.refused is not None:
            self.refused[item.index] = item.says.refused


async def audit_log(
    database: str,
    live: AsyncConnection,
    anchors: Sequence[tuple[int, bytes]],
    workers: Workers,
    log_keys: LogKeys | None = None,
) -> LogAudit:
    """Steps (1) to (4) on the ledger's database. Without the log's keys its checkpoints count for nothing."""
    return await _LogDatabase(database, live, dict(anchors), workers, log_keys).audit()


@dataclass(slots=True)
class _LogDatabase:
    database: str
    live: AsyncConnection
    anchors: Mapping[int, bytes]
    workers: Workers
    log_keys: LogKeys | None
    differences: list[Difference] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    """Of all checkpoints, signed or not."""

    async def audit(self) -> LogAudit:
        signed = await self._checkpoints()
        tiles = {(row.level, row.number): bytes(row.hashes) for row in await self.live.execute(tile.select())}
        stored = b"".join(tiles[key] for key in sorted(key for key in tiles if key[0] == 0))
        size = max(self._sizes) if self._sizes else len(stored) // HASH
        rows = LogRows(self.database, self.live, size)
        await rows.load()
        index = IndexAudit(self.database, self.live)
        hashes = _Hashes()
        says: list[LeafSays] = []
        runs = iter(rows.runs)
        run = next(runs, None)
        async for item in checked(self.workers, rows.leaves()):  # (1)
            hashes.add(item)
            says.append(item.says)
            await index.add_leaf(item)
            while run is not None and item.index + 1 >= run.end_leaf:
                index.add_run(run, says)
                says = []
                run = next(runs, None)
        right, damaged = self._right(hashes, stored, signed, size)  # (2)
        self._name_roots(right, signed)
        self._name_tiles(right, tiles)  # (3)
        damaged = await self._name_entries(rows, damaged, right, hashes)
        await self._name_widths(rows)
        self.differences += rows.differences
        found = await index.compare(rows, damaged)  # (4)
        self.differences += found.differences
        self.unavailable += found.unavailable
        missing = [anchored for anchored in self.anchors if anchored > size]
        if missing:
            self.unavailable.append(
                f"{self.database}: the log's entries {size} to {max(missing) - 1}, which are anchored"
            )
        return LogAudit(size, len(self.anchors), tuple(self.differences), tuple(self.unavailable))

    async def _checkpoints(self) -> dict[int, bytes]:
        """Size and root of every checkpoint that the log signed; those that it did not are named."""
        signed: dict[int, bytes] = {}
        if self.log_keys is None or "checkpoint" not in await tables_of(self.live):
            return signed
        query = text("SELECT tree_size, root, note, signatures FROM checkpoint ORDER BY tree_size")
        for size, root, note, signatures in await self.live.execute(query):
            key = f"tree_size={size}"
            self._sizes.append(size)
            try:
                told = verify_note(note, self.log_keys)
            except NoteError as error:
                self._differs("checkpoint", key, "note", "signed by the log", str(error))
                continue
            if told.size != size:
                self._differs("checkpoint", key, "note", f"of size {size}", f"of size {told.size}")
                continue
            signed[size] = bytes(told.root)
            if bytes(root) != signed[size]:
                self._differs("checkpoint", key, "root", shown(signed[size]), shown(bytes(root)))
            self._check_signatures(key, told, note, bytes(signatures or b""))
        return signed

    def _check_signatures(self, key: str, head: Checkpoint, note: str, kept: bytes) -> None:
        """Of receipts under this head: by the keys of its note, in their order. A head may have none."""
        assert self.log_keys is not None
        lines = [line.key_id for line in parse_note(note).signatures if line.name == head.origin]
        try:
            found = read_root_signatures(kept)
            for signature in found:
                signature.verify(head.root, self.log_keys)
        except ReceiptError as error:
            self._differs("checkpoint", key, "signatures", "signed by the log", str(error))
            return
        if kept and [signature.key_id for signature in found] != lines:
            self._differs("checkpoint", key, "signatures", "by the keys of the note", "by others")

    def _right(
        self, hashes: _Hashes, stored: bytes, signed: Mapping[int, bytes], size: int
    ) -> tuple[bytes, set[int]]:
        """The leaf hashes that have the anchored and signed roots, and the leaves whose bytes have others."""
        ours = bytes(hashes.of_bytes)
        if ours == stored or self._agrees(ours, signed) or len(stored) != size * HASH:
            return ours, set()
        if not self._agrees(stored, signed):
            return ours, set()
        differing = {
            leaf
            for leaf in range(size)
            if ours[leaf * HASH : (leaf + 1) * HASH] != stored[leaf * HASH : (leaf + 1) * HASH]
        }
        return stored, differing

    def _agrees(self, hashes: bytes, signed: Mapping[int, bytes]) -> bool:
        roots = roots_at(hashes, [*signed, *self.anchors])
        told = [*signed.items(), *self.anchors.items()]
        return all(roots[size] == root for size, root in told if size in roots)

    def _name_roots(self, right: bytes, signed: Mapping[int, bytes]) -> None:
        roots = roots_at(right, [*signed, *self.anchors])
        for what, told in (("anchored", self.anchors), ("signed by the log", signed)):
            for size, root in sorted(told.items()):
                if size in roots and roots[size] != root:
                    found = f"the entries have root {shown(roots[size])}"
                    self._differs("leaf", f"tree size {size}", "root", f"{what} {shown(root)}", found)

    def _name_tiles(self, right: bytes, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Each hash that differs, by its place in its tile."""
        surplus = dict(tiles)
        for level, number, expected in tiles_of(right):
            key = f"level={level}, number={number}"
            found = surplus.pop((level, number), None)
            if found is None:
                self._differs("tile", key, "(row)", "present", "missing")
            elif len(found) != len(expected):
                self._differs("tile", key, "hashes", f"{len(expected)} bytes", f"{len(found)} bytes")
            elif found != expected:
                for at in range(0, len(expected), HASH):
                    one, other = expected[at : at + HASH], found[at : at + HASH]
                    if one != other:
                        self._differs("tile", key, f"hashes[{at // HASH}]", shown(one), shown(other))
        for level, number in sorted(surplus):
            self._differs("tile", f"level={level}, number={number}", "(row)", "absent", "present")

    async def _name_entries(
        self, rows: LogRows, damaged: set[int], right: bytes, hashes: _Hashes
    ) -> set[int]:
        """The rows because of which leaves have other bytes than the tree says. Returns all such leaves."""
        for leaf in sorted(hashes.refused.keys() - damaged):
            told = "a signed statement or manifest"
            self._differs("entry", f"leaf_index={leaf}", "raw", told, hashes.refused[leaf])
        moved = await self._moved_runs(rows, damaged, right)
        packs: dict[tuple[int, int], tuple[Pack, int]] = {}
        for leaf in sorted(damaged - moved):
            if rows.run_of(leaf).call == NO_CALL:
                continue  # the missing run is named
            pack = await rows.pack_of(leaf)
            if pack is None:
                self._differs("entry", f"leaf_index={leaf}", "raw", "present", "missing")
            else:
                packs.setdefault((pack.call, pack.first_item), (pack, leaf))
        for pack, leaf in packs.values():
            why = hashes.refused.get(leaf, "other bytes")
            told = f"entries whose hashes are in the tree, from leaf {leaf} on"
            self._differs("entry_pack", pack.key, "entries", told, why)
            rows.altered.add((pack.call, pack.first_item))
        return damaged

    async def _moved_runs(self, rows: LogRows, damaged: set[int], right: bytes) -> set[int]:
        """Leaves whose bytes stand elsewhere than their run says: then the run was altered, and is named."""
        if not damaged:
            return set()
        suspects = list(rows.runs_with(damaged))
        wanted = {right[run.first_leaf * HASH : (run.first_leaf + 1) * HASH]: run for run in suspects}
        moved: set[int] = set()
        async for pack in rows.every_pack():
            for item, raw in enumerate(pack.items, pack.first_item):
                run = wanted.get(leaf_hash(raw))
                if run is not None and (run.call, run.first_item) != (pack.call, item):
                    self._name_run(rows, run, pack.call, item)
                    moved |= set(range(run.first_leaf, run.end_leaf))
        return moved & damaged

    @staticmethod
    def _name_run(rows: LogRows, run: Run, call: int, item: int) -> None:
        if run.call != call:
            rows.differs(run, "call", call, run.call)
        if run.first_item != item:
            rows.differs(run, "first_item", item, run.first_item)

    async def _name_widths(self, rows: LogRows) -> None:
        """Numbers of entries beside the bytes that hold them."""
        held: dict[int, int] = {}
        async for pack in rows.every_pack():
            altered = (pack.call, pack.first_item) in rows.altered
            held[pack.call] = held.get(pack.call, 0) + (pack.width if altered else len(pack.items))
            if not altered and not pack.whole:
                self._differs("entry_pack", pack.key, "entries", "whole entries", "cut short")
            elif not altered and len(pack.items) != pack.width:
                self._differs("entry_pack", pack.key, "width", str(len(pack.items)), str(pack.width))
        for call, width in sorted((await rows.accepted_widths()).items()):
            if call in held and held[call] != width:
                self._differs("accepted", f"call={call}", "width", str(held[call]), str(width))

    def _differs(self, table: str, key: str, name: str, replayed: str, found: str) -> None:
        self.differences.append(Difference(self.database, table, key, name, replayed, found))
