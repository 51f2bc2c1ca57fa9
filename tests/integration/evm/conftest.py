"""A real chain, and databases on both engines."""

from __future__ import annotations

from tests.support.anvil import *  # noqa: F403
from tests.support.postgres import *  # noqa: F403
