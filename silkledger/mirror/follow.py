"""Bringing a mirror up to the log's checkpoint: nothing is believed that does not extend what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from silkledger.log.checkpoint import Checkpoint, LogKeys, NoteError, log_name, verify_note
from silkledger.log.tiles import WIDTH, Bundle, Tile, bundles_between, encode_bundle, tiles_between
from silkledger.log.tree import EMPTY_ROOT, ProofInvalid, verify_consistency
from silkledger.mirror.directory import REFUSED, MirrorDirectory
from silkledger.mirror.edge import EdgeTree
from silkledger.mirror.errors import MirrorError


class LogSource(Protocol):
    """Where the log is read: the ledger service's client, or another mirror."""

    async def checkpoint(self) -> str: ...

    async def consistency(self, old: int, new: int) -> list[bytes]: ...

    def entries(self, start: int) -> AsyncIterator[tuple[int, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Extension:
    """From which size to which checkpoint a mirror was brought."""

    old_size: int
    checkpoint: Checkpoint


def held(directory: MirrorDirectory, keys: LogKeys) -> Checkpoint:
    """The checkpoint of the mirror, verified; size 0 when there is none. Raises: MirrorError."""
    text = directory.checkpoint()
    if text is None:
        return Checkpoint(log_name(keys), 0, EMPTY_ROOT)
    try:
        return verify_note(text, keys)
    except NoteError as error:
        raise MirrorError.of_note(error, "the mirror's checkpoint") from None


async def extend(directory: MirrorDirectory, source: LogSource, keys: LogKeys) -> Extension:
    """Mirror what the log has now.

    1. the mirror's own checkpoint is the log's, and its edge leads to its root; 2. the log's checkpoint is
    signed by one of `keys`, not smaller, and proven consistent; 3. the entries between lead to its root; 4.
    only then the checkpoint is replaced. A checkpoint that fails in (2) is kept in `refused/`.

    Raises:
        MirrorError: LOG_FORKED, LOG_ROLLED_BACK, ENTRIES_MISSING, ENTRIES_WRONG, MIRROR_…, or a note's
            reason.
    """
    # (1)
    old = held(directory, keys)
    growth = _Growth(directory, old.size)
    if growth.tree.root() != old.root:
        raise MirrorError("MIRROR_DAMAGED", f"the tiles do not lead to the mirrored root of size {old.size}")
    # (2)
    text = await source.checkpoint()
    try:
        new = verify_note(text, keys)
    except NoteError as error:
        raise MirrorError.of_note(error, "the log's checkpoint") from None
    try:
        await _check_extends(source, old, new)
    except MirrorError:
        directory.write(f"{REFUSED}/{new.size}-{new.root.hex()[:16]}", text.encode())
        raise
    # (3)
    async for index, entry in source.entries(old.size):
        if index >= new.size:
            break
        growth.append(index, entry)
    growth.check(new)
    # (4)
    growth.finish(text)
    return Extension(old.size, new)


async def _check_extends(source: LogSource, old: Checkpoint, new: Checkpoint) -> None:
    if new.size < old.size:
        raise MirrorError("LOG_ROLLED_BACK", f"the log says {new.size}, {old.size} are mirrored")
    if new.size == old.size:
        if new.root != old.root:
            raise MirrorError("LOG_FORKED", f"two roots are signed for size {new.size}")
        return
    if old.size == 0:
        return
    try:
        path = await source.consistency(old.size, new.size)
        verify_consistency(old.size, new.size, old.root, new.root, path)
    except ProofInvalid as error:
        raise MirrorError(
            "LOG_FORKED", f"the log of {new.size} does not extend the mirrored {old.size} ({error.reason})"
        ) from None


class _Growth:
    """Writes full tiles and bundles as they fill, and the edge at the end."""

    def __init__(self, directory: MirrorDirectory, size: int) -> None:
        self._directory = directory
        self._base = size
        self._entries: list[bytes] = []
        if width := size % WIDTH:
            self._entries = directory.bundle(Bundle(size // WIDTH, width))
        self.tree = EdgeTree(size, directory.tile, self._emit)

    def _emit(self, tile: Tile, data: bytes) -> None:
        self._directory.write(tile.path(), data)

    def append(self, index: int, entry: bytes) -> None:
        if index != self.tree.size:
            raise MirrorError("ENTRIES_MISSING", f"the log gave entry {index} instead of {self.tree.size}")
        self.tree.append(entry)
        self._entries.append(entry)
        if len(self._entries) == WIDTH:
            self._directory.write(Bundle(index // WIDTH).path(), encode_bundle(self._entries))
            self._entries = []

    def check(self, checkpoint: Checkpoint) -> None:
        if self.tree.size != checkpoint.size:
            raise MirrorError(
                "ENTRIES_MISSING", f"the log gave entries up to {self.tree.size} of {checkpoint.size}"
            )
        if self.tree.root() != checkpoint.root:
            raise MirrorError("ENTRIES_WRONG", "the log's entries do not lead to the root that it signed")

    def finish(self, checkpoint: str) -> None:
        size = self.tree.size
        for tile, data in self.tree.partial():
            self._directory.write(tile.path(), data)
        if self._entries:
            bundle = Bundle(size // WIDTH, len(self._entries))
            self._directory.write(bundle.path(), encode_bundle(self._entries))
        self._directory.commit(checkpoint)
        for tile in tiles_between(self._base, size):
            self._directory.drop_partials(tile)
        for bundle in bundles_between(self._base, size):
            self._directory.drop_partials(bundle)
