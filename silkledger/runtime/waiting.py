"""Waiting for whichever of several events comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


async def first_of(events: Sequence[asyncio.Event], seconds: float | None) -> None:
    """Return once one of the events is set, or after so many seconds; None waits for an event."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
