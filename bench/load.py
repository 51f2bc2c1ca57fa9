"""The load on a service: prepared bytes on few connections, so that it costs as little as it can.

It shares the machine with what it measures. Requests are neither built nor parsed while the clock runs, and
responses are left as bytes; uvloop drives it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
import uvloop
from grpc_health.v1 import health_pb2

from bench.rig import DEADLINE_S, Service
from silkledger.ledger.v1 import ledger_pb2 as pb
from tests.support.grpc_clients import refusal_of

T = TypeVar("T")

CONNECTIONS: Final = 2
IN_FLIGHT: Final = 16
"""Calls under way at once."""
_POLL_S: Final = 0.02


class Caller:
    """Calls of LedgerService on one connection, bytes to bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._methods: dict[str, Any] = {}

    async def call(self, method: str, request: bytes) -> bytes:
        """Raises: grpc.aio.AioRpcError."""
        made = self._methods.get(method)
        if made is None:
            made = self._channel.unary_unary(f"/silkledger.ledger.v1.LedgerService/{method}", None, None)
            self._methods[method] = made
        response: bytes = await made(request, timeout=DEADLINE_S)
        return response

    async def log_size(self) -> int:
        """How many leaves the log has, by its latest checkpoint."""
        raw = await self.call("GetCheckpoint", b"")
        return int(pb.GetCheckpointResponse.FromString(raw).checkpoint.split("\n")[1])

    async def serving(self) -> bool:
        """Whether health says SERVING: the chain is followed and the log is open."""
        check: Any = self._channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        answer = health_pb2.HealthCheckResponse.FromString(await check(b"", timeout=DEADLINE_S))
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def callers(running: Service, count: int = CONNECTIONS) -> AsyncIterator[list[Caller]]:
    """Connections of their own, when the service accepts."""
    async with AsyncExitStack() as stack:
        made = [Caller(await stack.enter_async_context(running.connect())) for _ in range(count)]
        deadline = time.monotonic() + DEADLINE_S
        while not await made[0].serving():
            if time.monotonic() > deadline:
                raise TimeoutError("the service does not serve")
            await asyncio.sleep(0.05)
        yield made


@dataclass(slots=True)
class Sent:
    """What became of the calls: every one ends with OK, some after refusals for a full queue."""

    refused: int = 0
    """RESOURCE_EXHAUSTED with RetryInfo. Any other refusal ends the measurement."""


async def send(caller: Caller, method: str, request: bytes, sent: Sent) -> bytes:
    """Until OK, again after each refusal when RetryInfo says so. Raises: AioRpcError for any other."""
    while True:
        try:
            return await caller.call(method, request)
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
            if refusal.code is not grpc.StatusCode.RESOURCE_EXHAUSTED or refusal.retry_after_s is None:
                raise
            sent.refused += 1
            await asyncio.sleep(refusal.retry_after_s)


async def send_all(
    callers: Sequence[Caller],
    requests: Sequence[bytes],
    *,
    method: str = "RegisterStatements",
    in_flight: int = IN_FLIGHT,
) -> Sent:
    """Until every call has its OK, with so many calls under way."""
    waiting, sent = iter(requests), Sent()

    async def one_after_the_other(number: int) -> None:
        for request in waiting:
            await send(callers[number % len(callers)], method, request, sent)

    await asyncio.gather(*(one_after_the_other(number) for number in range(in_flight)))
    return sent


async def drained(caller: Caller, size: int) -> None:
    """Wait until the log has this many leaves."""
    deadline = time.monotonic() + DEADLINE_S
    while (reached := await caller.log_size()) < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the log has {reached} leaves and does not reach {size}")
        await asyncio.sleep(_POLL_S)


def drive(load: Coroutine[Any, Any, T]) -> T:
    """Run a load to its end."""
    return uvloop.run(load)
