"""Fixtures: a database on SQLite, and one on a real PostgreSQL."""

from tests.support.postgres import *  # noqa: F403
