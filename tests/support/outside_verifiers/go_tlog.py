"""Go's golang.org/x/mod/sumdb/{note,tlog}, in the program that `make install-dev` builds (build.py)."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[3] / ".venv" / "outside" / "tlog"


class OutsideRefused(Exception):
    """The outside verifier said no, and why."""


def _run(*arguments: str) -> str:
    result = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    if result.returncode:
        raise OutsideRefused(result.stderr.strip())
    return result.stdout.strip()


def _encoded(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(item).decode() for item in hashes]


def _head(text: str) -> tuple[int, bytes]:
    size, root = text.split()
    return int(size), base64.b64decode(root)


def open_note(vkey: str, file: Path) -> tuple[int, bytes]:
    """Size and root of a checkpoint signed by `vkey`. Raises: OutsideRefused."""
    return _head(_run("note", vkey, str(file)))


def verify_tiles(vkey: str, directory: Path) -> tuple[int, bytes]:
    """Checkpoint, every tile, every entry and its inclusion proof made from tiles. Raises: OutsideRefused."""
    return _head(_run("tiles", vkey, str(directory)))


def check_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raises: OutsideRefused."""
    _run("inclusion", str(size), str(index), *_encoded((root, leaf, *path)))


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raises: OutsideRefused."""
    _run("consistency", str(old), str(new), *_encoded((old_root, new_root, *path)))
