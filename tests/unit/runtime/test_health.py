"""How often health asks its checks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from silkledger.runtime.health import Health
from silkledger.runtime.telemetry import Metrics
from tests.support.anvil import eventually


class Check:
    """Not well for its first so many rounds."""

    def __init__(self, ill: int) -> None:
        self.ill = ill
        self.asked = 0

    async def __call__(self) -> str | None:
        self.asked += 1
        return "starting" if self.asked <= self.ill else None


@asynccontextmanager
async def asked_every_minute(check: Check) -> AsyncIterator[Health]:
    health, stop = Health({"part": check}, (), Metrics(), interval_s=60.0), asyncio.Event()
    running = asyncio.create_task(health.run(stop))
    yield health
    stop.set()
    await running


async def test_a_service_that_becomes_well_is_told_soon() -> None:
    async with asked_every_minute(check := Check(5)) as health:

        async def well() -> bool:
            return not health.problems

        await eventually(well, "it serves")
        assert check.asked == 6


async def test_a_service_that_was_well_is_asked_at_its_interval() -> None:
    async with asked_every_minute(check := Check(0)):
        await asyncio.sleep(0.3)
        assert check.asked == 1
