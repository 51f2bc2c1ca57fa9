"""The directory of a mirror: files of C2SP tlog-tiles, each written whole or not at all.

`checkpoint` is written last: what it covers is there. Files beyond it are of an extension that was not
finished, or not believed, and are written again by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from silkledger.log.tiles import WIDTH, Bundle, Tile, TileError, decode_bundle
from silkledger.mirror.errors import MirrorError

CHECKPOINT = "checkpoint"
REFUSED = "refused"
"""Folder for checkpoints that the log signed and that do not extend the mirrored one: proof of its breach."""


class MirrorDirectory:
    """Reads and writes. Decides nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def owned(self) -> Iterator[None]:
        """One writer at a time. Raises: MirrorError (MIRROR_IN_USE)."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MirrorError("MIRROR_IN_USE", f"another process writes {self.root}") from None
            yield

    def checkpoint(self) -> str | None:
        """The note as stored, unverified. None: nothing is mirrored yet."""
        try:
            return (self.root / CHECKPOINT).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise MirrorError("MIRROR_DAMAGED", "the checkpoint is not UTF-8") from None

    def tile(self, tile: Tile) -> bytes:
        """The tile's bytes, cut to its width. Raises: MirrorError (MIRROR_INCOMPLETE)."""
        return self._read(tile, Tile(tile.level, tile.number))[: tile.width * 32]

    def bundle(self, bundle: Bundle) -> list[bytes]:
        """The bundle's entries. Raises: MirrorError (MIRROR_INCOMPLETE, MIRROR_DAMAGED)."""
        try:
            return decode_bundle(self._read(bundle, bundle), bundle.width)
        except TileError as error:
            raise MirrorError("MIRROR_DAMAGED", f"{bundle.path()}: {error.detail}") from None

    def _read(self, wanted: Tile | Bundle, instead: Tile | Bundle) -> bytes:
        for item in (wanted, instead):
            try:
                return (self.root / item.path()).read_bytes()
            except FileNotFoundError:
                continue
        raise MirrorError("MIRROR_INCOMPLETE", f"{wanted.path()} is missing")

    def write(self, path: str, data: bytes) -> None:
        """Whole or not at all; durable from the next `commit` on."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.new")
        fresh.write_bytes(data)
        fresh.replace(target)

    def commit(self, checkpoint: str) -> None:
        """Replace the checkpoint once everything written before is on disk."""
        os.sync()
        self.write(CHECKPOINT, checkpoint.encode())
        os.sync()

    def drop_partials(self, full: Tile | Bundle) -> None:
        """Remove the narrower forms of what is now full, as the specification allows."""
        if full.width == WIDTH:
            shutil.rmtree(self.root / f"{full.path()}.p", ignore_errors=True)
