"""grpc.health.v1 that tells the truth: SERVING only while every check passes.

A check is asked again every `interval_s`, and more often until all pass for the first time; it returns None
when well, else a sentence. A check that raises or does not answer in time counts as failed. Overall status
("") and each service's name move together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio  # type: ignore[attr-defined]

from silkledger.runtime.telemetry import Metrics, logger

HealthCheck = Callable[[], Awaitable[str | None]]
"""None when well, else why not."""

CHECK_TIMEOUT_S: Final = 3.0

STARTING_INTERVAL_S: Final = 0.05
"""Pause between rounds of a service that was never well yet: whoever waits for its start learns it soon."""

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Holds the servicer and keeps its statuses true. `problems` is what the last round found."""

    def __init__(
        self,
        checks: Mapping[str, HealthCheck],
        service_names: Sequence[str],
        metrics: Metrics,
        interval_s: float = 1.0,
    ) -> None:
        self.servicer = aio.HealthServicer()
        self.problems: dict[str, str] = {"start": "not checked yet"}
        self._checks = dict(checks)
        self._names = ("", *service_names)
        self._metrics = metrics
        self._interval_s = interval_s

    async def begin(self) -> None:
        """Before serving: NOT_SERVING until the first round of checks. The library's own start value is
        SERVING.
        """
        await self._publish(_NOT_SERVING)

    async def update(self) -> bool:
        """Ask every check once and publish the result."""
        results = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
        problems = {name: why for name, why in zip(self._checks, results, strict=True) if why is not None}
        for name in self._checks:
            self._metrics.healthy.labels(name).set(0 if name in problems else 1)
        if problems != self.problems:
            logger().info("health_changed", serving=not problems, problems=problems)
        self.problems = problems
        await self._publish(_NOT_SERVING if problems else _SERVING)
        return not problems

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; then NOT_SERVING for good."""
        started = False
        while not stop.is_set():
            started = await self.update() or started
            try:
                await asyncio.wait_for(stop.wait(), self._interval_s if started else STARTING_INTERVAL_S)
            except TimeoutError:
                continue

    async def shut(self) -> None:
        """NOT_SERVING for good: no later update changes it."""
        await self.servicer.enter_graceful_shutdown()

    async def _publish(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in self._names:
            await self.servicer.set(name, status)

    async def _ask(self, check: HealthCheck) -> str | None:
        try:
            return await asyncio.wait_for(check(), CHECK_TIMEOUT_S)
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_S:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises means: not well
            return f"{type(error).__name__}"
