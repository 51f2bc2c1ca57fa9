"""The ledger's AuditService: replays that the service does for who has no access to its database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Final

import grpc

from silkledger.client.channel import Connection
from silkledger.client.errors import from_rpc_error
from silkledger.ledger.v1 import audit_pb2 as pb
from silkledger.ledger.v1 import audit_pb2_grpc as rpc

POLL_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 120.0
"""Deadline of reading a whole report."""


class AuditClient:
    """Thin: each method is one rpc, plus the wait that every user needs.

    What a replay of the service's reports is that service's word. Its state digests can be compared with
    those of a replay of one's own (docs/formats/replay.md).
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = rpc.AuditServiceStub(connection.channel)

    async def start(self, *, upto: int | None = None, request_id: str | None = None) -> pb.ReplayOperation:
        """Returns at once. Raises: `RpcFailed`, REPLAY_RUNNING while another one of the caller's runs."""
        request = pb.StartReplayRequest(request_id=request_id or str(uuid.uuid4()), upto_block=upto)
        response: pb.StartReplayResponse = await self._connection.call(self._stub.StartReplay, request)
        return response.operation

    async def get(self, name: str) -> pb.ReplayOperation:
        response: pb.GetReplayResponse = await self._connection.call(
            self._stub.GetReplay, pb.GetReplayRequest(name=name)
        )
        return response.operation

    async def list_newest(self, count: int = 20) -> list[pb.ReplayOperation]:
        """The caller's own, newest first."""
        response: pb.ListReplaysResponse = await self._connection.call(
            self._stub.ListReplays, pb.ListReplaysRequest(page_size=count)
        )
        return list(response.operations)

    async def cancel(self, name: str) -> pb.ReplayOperation:
        """Asks for its end; it is done some seconds later."""
        response: pb.CancelReplayResponse = await self._connection.call(
            self._stub.CancelReplay, pb.CancelReplayRequest(name=name)
        )
        return response.operation

    async def wait(
        self, name: str, progress: Callable[[int, int], None] = lambda *_: None
    ) -> pb.ReplayOperation:
        """Until it is done, however long; `progress` is told blocks done and in all. Raises: `RpcFailed`."""
        while True:
            operation = await self.get(name)
            progress(operation.metadata.blocks_done, operation.metadata.blocks_total)
            if operation.done:
                return operation
            await asyncio.sleep(POLL_SECONDS)

    async def report(
        self, name: str, report_format: pb.ReportFormat.ValueType = pb.REPORT_FORMAT_JSON
    ) -> bytes:
        """The whole report of a replay that succeeded. Raises: `RpcFailed`."""
        request = pb.ReadReplayReportRequest(name=name, format=report_format)
        pieces: list[bytes] = []
        try:
            async for response in self._stub.ReadReplayReport(request, timeout=REPORT_SECONDS):
                pieces.append(response.piece)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        return b"".join(pieces)
