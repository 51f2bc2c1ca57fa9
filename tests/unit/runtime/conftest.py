"""Databases of both kinds."""

from tests.support.postgres import *  # noqa: F403
