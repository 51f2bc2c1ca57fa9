"""A server with a service that does what a test says, and its callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from silkledger.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from silkledger.runtime.auth import caller
from silkledger.runtime.server import Server, Service
from silkledger.runtime.settings import ServerSettings
from tests.support.grpc_clients import channel, refusal_of
from tests.support.pki import TestCa

DID = "did:ethr:0x1c95:0x" + "11" * 20
NAME = "silkledger.ledger.v1.LedgerService"


class Probe(ledger_pb2_grpc.LedgerServiceServicer):
    """Answers with the caller, or raises what the test put in."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.registering = 0
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()

    async def GetCheckpoint(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.entered.set()
        await self.release.wait()
        if self.error is not None:
            raise self.error
        identity = caller()
        return ledger_pb2.GetCheckpointResponse(checkpoint=f"{identity.did} {sorted(identity.roles)}")

    async def RegisterStatements(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.registering += 1
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return ledger_pb2.RegisterStatementsResponse()

    async def GetReceipt(self, request: Any, context: Any) -> Any:  # noqa: N802
        return ledger_pb2.GetReceiptResponse()

    async def Subscribe(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            yield ledger_pb2.SubscribeResponse(gap=ledger_pb2.Gap(reason=request.start.consumer))


@asynccontextmanager
async def running(
    ca: TestCa, directory: Path, probe: Probe, limits: dict[str, Any] | None = None, **parts: Any
) -> AsyncIterator[Server]:
    cert, key, authority = ca.server().write(directory)
    settings = ServerSettings(
        database_url="sqlite:///unused",
        tls_cert=cert,
        tls_key=key,
        tls_ca=authority,
        ready_file=directory / "ready.json",
        **(limits or {}),
    )
    add: Callable[[grpc.aio.Server], None] = lambda server: (  # noqa: E731
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(probe, server)
    )
    server = await Server.start(
        settings, [Service(NAME, add, large_requests=("RegisterStatements",))], **parts
    )
    try:
        yield server
    finally:
        await server.stop(grace_s=2)


def stub(server: Server, identity: Any) -> tuple[grpc.aio.Channel, Any]:
    opened = channel(f"127.0.0.1:{server.port}", identity)
    return opened, ledger_pb2_grpc.LedgerServiceStub(opened)


async def refused(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


async def outcome(call: Any) -> Any:
    """None for OK, else how it was refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
