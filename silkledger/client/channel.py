"""mTLS connections with honest retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, cast

import grpc

from silkledger.client.errors import RpcFailed, from_rpc_error

MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""The services' message cap, both ways."""

PATIENCE_SECONDS: Final = 20.0
"""How long a call is tried again, in all, before its last error is raised."""

CALL_SECONDS: Final = 30.0
"""Deadline of one attempt."""

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 2.0

Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)


class Method(Protocol[Request_contra, Response_co]):
    """A unary-unary method of a generated stub, as grpc.aio really behaves."""

    def __call__(self, request: Request_contra, *, timeout: float) -> Awaitable[Response_co]: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files: whom we trust, who we are. The certificate names our DID and roles."""

    ca: Path
    certificate: Path
    key: Path

    def load(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca.read_bytes(),
            private_key=self.key.read_bytes(),
            certificate_chain=self.certificate.read_bytes(),
        )


class Connection:
    """One channel to one service. An async context manager.

    Guarantees of `call`: the identical request is repeated on UNAVAILABLE, RESOURCE_EXHAUSTED and CANCELLED
    (said by a server that stops), and on nothing else, until `patience` is used up; a RetryInfo delay is
    honoured. A deadline that passed is not repeated: ask for the state instead.
    """

    def __init__(
        self,
        target: str,
        credentials: Credentials | None,
        *,
        patience: float = PATIENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.enable_retries", 0),  # ours are the only retries: they are counted and bounded
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        self.target = target
        self.channel = (
            grpc.aio.secure_channel(target, credentials.load(), options=options)
            if credentials is not None
            else grpc.aio.insecure_channel(target, options=options)
        )
        self._patience = patience
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.channel.close(None)

    async def call(self, method: Any, request: Any, *, deadline: float = CALL_SECONDS) -> Any:
        """`deadline`: seconds for one attempt. Raises: `RpcFailed`."""
        bound = cast("Method[Any, Any]", method)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience
        wait = _FIRST_WAIT
        while True:
            try:
                return await bound(request, timeout=deadline)
            except grpc.aio.AioRpcError as error:
                failed = from_rpc_error(error)
            pause = max(failed.retry_after_s or 0.0, wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            if not failed.retryable or loop.time() + pause > give_up:
                raise failed
            await self._sleep(pause)
            wait = min(wait * 2, _LONGEST_WAIT)


@asynccontextmanager
async def connect(target: str, credentials: Credentials, **options: Any) -> AsyncIterator[Connection]:
    """A connection that is closed at the end of the block."""
    async with Connection(target, credentials, **options) as connection:
        yield connection


async def wait_until_serving(
    target: str, credentials: Credentials, *, seconds: float = 60.0, service: str = ""
) -> None:
    """Polls gRPC health until SERVING. Raises: `TimeoutError`, naming the last answer."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    last = "no answer"
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while loop.time() < give_up:
        async with Connection(target, credentials, patience=0.0) as connection:
            stub = health_pb2_grpc.HealthStub(connection.channel)
            try:
                answer = await connection.call(
                    stub.Check, health_pb2.HealthCheckRequest(service=service), deadline=2.0
                )
            except RpcFailed as error:
                last = str(error)
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
                last = str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{target} is not serving after {seconds:.0f} s: {last}")
