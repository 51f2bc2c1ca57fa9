"""Times in sentences for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_LATEST: Final = 253_402_300_799
"""9999-12-31T23:59:59Z: the last second that RFC 3339 can write."""


def utc(seconds: int) -> str:
    """RFC 3339 of Unix seconds; the number itself where that cannot write it."""
    if seconds > _LATEST:
        return f"{seconds} s"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
