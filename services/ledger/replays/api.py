"""silkledger.ledger.v1.AuditService: translation between the wire and the operations. Decides nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from services.ledger.errors import REASONS, FieldRefused
from services.ledger.replays.operations import Operations
from services.ledger.replays.storage import ReplayRow, ReplayState
from services.ledger.wire.messages import timestamp
from silkledger.ledger.v1 import audit_pb2 as pb
from silkledger.ledger.v1 import audit_pb2_grpc as rpc
from silkledger.runtime.auth import caller
from silkledger.runtime.idempotency import fingerprint_of
from silkledger.runtime.server import Service

FULL_NAME: Final = "silkledger.ledger.v1.AuditService"

PREFIX: Final = "replays/"
PIECE: Final = 256 * 1024
"""Bytes of one piece of a report."""
PAGE: Final = 20

Context = grpc.aio.ServicerContext[Any, Any]


class AuditApi(rpc.AuditServiceServicer):
    """silkledger.ledger.v1.AuditService."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def service(self) -> Service:
        """For the server to add."""
        return Service(FULL_NAME, lambda server: rpc.add_AuditServiceServicer_to_server(self, server))

    async def StartReplay(self, request: pb.StartReplayRequest, context: Context) -> pb.StartReplayResponse:
        upto = request.upto_block if request.HasField("upto_block") else None
        response = await self._operations.start(
            caller(),
            request.request_id,
            fingerprint_of(request),
            upto,
            lambda row: pb.StartReplayResponse(operation=_operation(row)).SerializeToString(),
        )
        return pb.StartReplayResponse.FromString(response)

    async def GetReplay(self, request: pb.GetReplayRequest, context: Context) -> pb.GetReplayResponse:
        row = await self._operations.get(caller(), _id(request.name))
        return pb.GetReplayResponse(operation=_operation(row))

    async def ListReplays(self, request: pb.ListReplaysRequest, context: Context) -> pb.ListReplaysResponse:
        before = _read_token(request.page_token)
        rows, following = await self._operations.page(caller(), before, request.page_size or PAGE)
        return pb.ListReplaysResponse(
            operations=[_operation(row) for row in rows],
            next_page_token="" if following is None else _token(following),
        )

    async def CancelReplay(
        self, request: pb.CancelReplayRequest, context: Context
    ) -> pb.CancelReplayResponse:
        row = await self._operations.cancel(caller(), _id(request.name))
        return pb.CancelReplayResponse(operation=_operation(row))

    async def ReadReplayReport(
        self, request: pb.ReadReplayReportRequest, context: Context
    ) -> AsyncIterator[pb.ReadReplayReportResponse]:
        html = request.format == pb.REPORT_FORMAT_HTML
        content = await self._operations.report(caller(), _id(request.name), html=html)
        for first in range(0, len(content), PIECE):
            yield pb.ReadReplayReportResponse(piece=content[first : first + PIECE])


def _id(name: str) -> str:
    return name.removeprefix(PREFIX)


def _operation(row: ReplayRow) -> pb.ReplayOperation:
    made = pb.ReplayOperation(
        name=PREFIX + row.id,
        done=row.state is not ReplayState.RUNNING,
        metadata=pb.ReplayMetadata(
            create_time=timestamp(row.created_ms),
            update_time=timestamp(row.updated_ms),
            blocks_done=row.done,
            blocks_total=row.total,
            runs=row.runs,
            upto_block=row.upto_block,
        ),
    )
    if row.state is ReplayState.SUCCEEDED:
        made.response.CopyFrom(
            pb.ReplayResult(
                verdict=pb.ReplayVerdict.Value(f"REPLAY_VERDICT_{row.verdict}"),
                report_digest=row.digest or "",
                last_block=row.last_block or 0,
                differences=row.differences or 0,
                unavailable=row.unavailable or 0,
            )
        )
    elif row.state is ReplayState.FAILED:
        reason = row.reason or ""
        made.error.CopyFrom(
            pb.ReplayError(code=REASONS[reason].value, reason=reason, message=row.message or "")
        )
    return made


def _token(place: tuple[int, str]) -> str:
    created, name = place
    return base64.urlsafe_b64encode(f"{created}/{name}".encode()).decode()


def _read_token(token: str) -> tuple[int, str] | None:
    """Raises: FieldRefused PAGE_TOKEN_INVALID."""
    if not token:
        return None
    try:
        created, name = base64.urlsafe_b64decode(token.encode()).decode().split("/")
        return int(created), name
    except (binascii.Error, UnicodeError, ValueError):
        raise FieldRefused("PAGE_TOKEN_INVALID", "page_token", "not a token that this service gave") from None
