"""One ledger service with many lives, each with an order to die at a failpoint."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.runtime.failpoints import Failpoint
from tests.support.anvil import eventually
from tests.support.grpc_clients import channel
from tests.support.nursery import nursery
from tests.support.pki import Identity

from ..conftest import Ledger

LIFE_S = 40.0
"""A service that has not come to its failpoint by then does not do its work: it is wedged."""

SETTINGS = {
    "VERIFY_PROCESSES": "0",
    "SEQUENCE_INTERVAL_MS": "50",
    "ANCHOR_INTERVAL_MS": "100",
    # A dead owner's lease has to end before the next one signs.
    "LANE_LEASE_MS": "500",
    "LOG_LEASE_MS": "500",
}


@dataclass
class Victim:
    """The service, and what a client needs to reach whoever lives now."""

    service: Ledger
    identity: Identity
    kills: Counter[Failpoint] = field(default_factory=Counter)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    born_s: list[float] = field(default_factory=list)
    """How long each start took, until calls were answered."""
    pid: int = 0
    _channel: grpc.aio.Channel | None = None

    @property
    def stub(self) -> rpc.LedgerServiceAsyncStub:
        assert self._channel is not None
        stub: rpc.LedgerServiceAsyncStub = rpc.LedgerServiceStub(self._channel)
        return stub

    async def die_at(self, place: Failpoint, hit: int) -> None:
        """Live until the place is reached for the n-th time. Raises: AssertionError if that does not come."""
        async with self._life(FAILPOINT=f"{place}:{hit}") as ended:
            try:
                code = await asyncio.wait_for(asyncio.shield(ended), LIFE_S)
            except TimeoutError:
                raise AssertionError(
                    f"wedged: {place}:{hit} not reached\n{self.service.log[-4000:]}"
                ) from None
        assert code == -signal.SIGKILL, f"exit code {code} at {place}:{hit}\n{self.service.log[-4000:]}"
        self.kills[place] += 1

    @asynccontextmanager
    async def living(self, **change: str) -> AsyncIterator[None]:
        """A life without an order to die; it serves when the block begins, and is killed at its end."""
        async with self.started(**change):
            await eventually(self.serves, f"serves\n{self.service.log[-4000:]}", LIFE_S, 0.05)
            yield

    @asynccontextmanager
    async def started(self, **change: str) -> AsyncIterator[None]:
        """As `living`, of a service that need not serve."""
        async with self._life(**change) as ended:
            assert not ended.done(), self.service.log[-4000:]
            yield

    async def serves(self) -> bool:
        """Whether health says SERVING."""
        assert self._channel is not None
        health = health_pb2_grpc.HealthStub(self._channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    @asynccontextmanager
    async def _life(self, **order: str) -> AsyncIterator[asyncio.Future[int]]:
        ready = self.service.directory / "ready.json"
        ready.unlink(missing_ok=True)
        began = time.monotonic()
        environment = self.service.environment(**SETTINGS | order)
        log = self.service.directory / "service.log"
        born = await asyncio.to_thread(nursery("services.ledger").start, environment, log)
        self.pid, ended = born.pid, asyncio.wrap_future(born.exit)
        try:
            if await self._answering(ready, ended):
                self.born_s.append(time.monotonic() - began)
                self.up.set()
            yield ended
        finally:
            await self._buried(ended)

    async def _answering(self, ready: Path, ended: asyncio.Future[int]) -> bool:
        """Whether it came to listening; some places are reached before."""
        give_up = time.monotonic() + LIFE_S
        while (told := _told(ready)) is None:
            if ended.done():
                return False
            assert time.monotonic() < give_up, f"wedged: does not listen\n{self.service.log[-4000:]}"
            await asyncio.sleep(0.01)
        self.service.address = told
        self._channel = channel(self.service.address, self.identity)
        return True

    async def _buried(self, ended: asyncio.Future[int]) -> None:
        self.up.clear()
        if not ended.done():
            os.kill(self.pid, signal.SIGKILL)
        opened, self._channel = self._channel, None
        if opened is not None:
            await opened.close(None)
        await ended


def _told(ready: Path) -> str | None:
    """The address that the ready file tells, once there is one."""
    return json.loads(ready.read_text())["address"] if ready.exists() else None
