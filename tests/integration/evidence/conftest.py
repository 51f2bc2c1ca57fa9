"""A real chain with the contracts on it."""

from __future__ import annotations

from tests.support.anvil import *  # noqa: F403
