"""Where tests keep files: in memory, where the machine has plenty.

Tests write much that is deleted minutes later, and wait for each commit and each block of a chain to be on
disk. They kill processes, never the machine: what a process has written to a file in memory outlives it too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import psutil

_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 10 << 30
"""Bytes of free memory without which files go to the disk; a whole run uses about a quarter."""


def directory_in_memory() -> str | None:
    """A file system in memory with room for a test run; None: there is none here."""
    if not _MEMORY.is_dir():
        return None
    free = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
    return str(_MEMORY) if free > _ROOM else None
