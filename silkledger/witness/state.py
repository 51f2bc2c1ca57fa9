"""What a witness cosigned last, per origin, in SQLite. Durable before any cosignature leaves."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from silkledger.values import MerkleRoot


@dataclass(frozen=True, slots=True)
class Head:
    """The latest cosigned head of one origin."""

    size: int
    root: MerkleRoot


class WitnessState:
    """One file, one lock: the check of the old head and the writing of the new one are one transaction."""

    def __init__(self, path: Path) -> None:
        self._turn = threading.Lock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS head ("
            "origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL) STRICT"
        )

    def close(self) -> None:
        self._database.close()

    def advance(self, origin: str, note: str, check: Callable[[Head | None], Head]) -> None:
        """Replace the head of `origin` by what `check` returns, given the present one.

        `check` raises to leave everything as it is. Committed when this returns.
        """
        with self._turn:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                new = check(self._head(origin))
                self._database.execute(
                    "INSERT INTO head VALUES (?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE SET "
                    "size = excluded.size, root = excluded.root, note = excluded.note",
                    (origin, new.size, bytes(new.root), note),
                )
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def head(self, origin: str) -> Head | None:
        with self._turn:
            return self._head(origin)

    def note(self, origin: str) -> str | None:
        """The latest cosigned checkpoint, as it was submitted."""
        with self._turn:
            row = self._database.execute("SELECT note FROM head WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else str(row[0])

    def _head(self, origin: str) -> Head | None:
        row = self._database.execute("SELECT size, root FROM head WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else Head(row[0], MerkleRoot(row[1]))
