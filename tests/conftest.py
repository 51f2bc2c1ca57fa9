"""What holds for all tests: where their files are (`tests.support.scratch`)."""

from __future__ import annotations

import os

import silkledger as _before_grpc  # noqa: F401 # see there
from tests.support.scratch import directory_in_memory

_directory = directory_in_memory()
if _directory is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _directory)
