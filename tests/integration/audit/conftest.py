"""A long chain, served by a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.archive_chain import write_archive

BLOCKS = 120
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12,000 events."""
    path = tmp_path_factory.mktemp("archive") / "chain.bin"
    write_archive(path, BLOCKS)
    return path


@contextmanager
def served(archive: Path, blocks: int, folder: Path) -> Iterator[str]:
    """URL of a node that has this many of the blocks."""
    ready = folder / f"ready-{blocks}"
    arguments = [str(archive), str(blocks), str(ready)]
    process = subprocess.Popen([sys.executable, "-m", "tests.support.archive_chain", *arguments], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield ready.read_text()
    finally:
        process.kill()
        process.wait(10)
        ready.unlink(missing_ok=True)
