"""Verifying a mirror offline, and reading entries from it: everything is computed again from the entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from silkledger.log.checkpoint import Checkpoint, LogKeys
from silkledger.log.tiles import WIDTH, Tile, bundles_between
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.edge import EdgeTree
from silkledger.mirror.errors import MirrorError
from silkledger.mirror.follow import held


@dataclass(frozen=True, slots=True)
class Verified:
    """What was recomputed: every entry under the checkpoint, every hash tile of its tree."""

    checkpoint: Checkpoint
    tiles: int


def read_entries(directory: MirrorDirectory, start: int, end: int) -> Iterator[bytes]:
    """Entries [start, end) as stored. This is not a verification. Raises: MirrorError."""
    for bundle in bundles_between(start, end):
        first = bundle.number * WIDTH
        entries = directory.bundle(bundle)
        yield from entries[max(0, start - first) :]


def verify_mirror(directory: MirrorDirectory, keys: LogKeys) -> Verified:
    """Verify that the mirror is a whole log of `keys`, from nothing but its files.

    1. the checkpoint is signed by one of `keys`; 2. every tile is what the entries make it; 3. the entries
    lead to the signed root. Does not say that this is the log's latest head, nor that others are shown the
    same: the anchor contract and witnesses do.

    Raises:
        MirrorError: MIRROR_EMPTY, MIRROR_INCOMPLETE, MIRROR_DAMAGED, or a note's reason.
    """
    # (1)
    checkpoint = held(directory, keys)
    if directory.checkpoint() is None:
        raise MirrorError("MIRROR_EMPTY", f"{directory.root} has no checkpoint")
    # (2)
    checked = 0

    def compare(tile: Tile, computed: bytes) -> None:
        nonlocal checked
        stored = directory.tile(tile)
        if stored != computed:
            at = next((i for i in range(tile.width) if stored[i * 32 :][:32] != computed[i * 32 :][:32]), 0)
            what = "entry" if tile.level == 0 else f"level {tile.level} hash"
            raise MirrorError(
                "MIRROR_DAMAGED", f"{what} {tile.number * WIDTH + at} is not the one in {tile.path()}"
            )
        checked += 1

    tree = EdgeTree(0, directory.tile, compare)
    for entry in read_entries(directory, 0, checkpoint.size):
        tree.append(entry)
    for tile, computed in tree.partial():
        compare(tile, computed)
    # (3)
    if tree.root() != checkpoint.root:
        raise MirrorError("MIRROR_DAMAGED", "the entries do not lead to the signed root")
    return Verified(checkpoint, checked)
