"""Who empties the outbox. Every counterparty has rounds of its own: a dead one holds up nobody else."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy.exc import DBAPIError

from services.settlement.payments import outbox
from services.settlement.payments.incoming import Incoming
from services.settlement.payments.office import Office
from services.settlement.peers.channels import CALL_S, Channels, PeerRefused
from silkledger.runtime.errors import ERROR_DOMAIN
from silkledger.runtime.telemetry import logger
from silkledger.settlement.v1 import settlement_pb2 as pb
from silkledger.settlement.v1 import settlement_pb2_grpc as rpc
from silkledger.statement import StatementError
from silkledger.values import Did

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
_POLL_S: Final = 0.3
_BATCH: Final = 16
"""Most letters to one bank under way at a time."""

_FOR_GOOD: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)
"""With a reason of ours, these answers stay what they are: the same letter is never sent again."""

_ISO_REASONS: Final = {
    "LEG_EXISTS": "AM05",
    "NOT_OUR_INSTRUCTION": "RC01",
    "SIGNER_NOT_CALLER": "AG01",
    "SIGNER_NOT_INSTRUCTING_AGENT": "AG01",
    "PERMISSION_DENIED": "AG01",
}
"""ISO 20022 ExternalStatusReason1Code: duplication, bank identifier incorrect, transaction forbidden."""
_OTHER_REASON: Final = "FF01"
"""Invalid file format: the other bank cannot read or does not accept the message."""


class Postman:
    """Sends what is due to other banks until they took it or refused it for good. The request id follows from
    the row, so that a repetition after a crash or a lost reply is the same request.
    """

    name = "outbox"

    def __init__(self, office: Office, incoming: Incoming, channels: Channels) -> None:
        self._office = office
        self._incoming = incoming
        self._channels = channels
        self._rounds: dict[Did, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped. What is under way then is sent again after the next start."""
        try:
            while not stop.is_set():
                try:
                    await self._start_rounds()
                except DBAPIError as error:
                    logger().warning("outbox_database", why=type(error).__name__)
                try:
                    await asyncio.wait_for(stop.wait(), _POLL_S)
                except TimeoutError:
                    continue
        finally:
            rounds = list(self._rounds.values())
            for one in rounds:
                one.cancel()
            await asyncio.gather(*rounds, return_exceptions=True)

    async def _start_rounds(self) -> None:
        """A round for every counterparty that something is due to and that has none under way."""
        for did, task in list(self._rounds.items()):
            if task.done():
                del self._rounds[did]
                task.result()
        async with self._office.database.read() as conn:
            counterparties = await outbox.counterparties_due(conn, self._office.now_ms())
        for did in counterparties - set(self._rounds):
            self._rounds[did] = asyncio.create_task(self._round(did))

    async def _round(self, counterparty: Did) -> None:
        try:
            async with self._office.database.read() as conn:
                rows = await outbox.due(conn, counterparty, self._office.now_ms(), _BATCH)
            for endpoint in sorted({row.endpoint for row in rows}):
                await self._visit(counterparty, endpoint, [row for row in rows if row.endpoint == endpoint])
        except DBAPIError as error:
            logger().warning("outbox_database", why=type(error).__name__)

    async def _visit(self, counterparty: Did, endpoint: str, rows: list[outbox.OutboxRow]) -> None:
        try:
            stub = rpc.SettlementServiceStub(await self._channels.to_bank(endpoint, counterparty))
        except PeerRefused as error:
            for row in rows:
                await self._later(row, str(error))
            return
        await asyncio.gather(*(self._send(stub, counterparty, row) for row in rows))

    async def _send(self, stub: Any, counterparty: Did, row: outbox.OutboxRow) -> None:
        try:
            if row.kind == outbox.DELIVER:
                await self._deliver(stub, row)
            else:
                await self._notify(stub, row)
        except grpc.aio.AioRpcError as error:
            refusal = _refusal(error)
            if refusal is not None:
                await self._refused(row, refusal, counterparty)
            else:
                await self._later(row, f"{error.code().name}: {error.details()}")
        except StatementError as error:
            await self._later(row, error.reason)

    async def _deliver(self, stub: Any, row: outbox.OutboxRow) -> None:
        request = pb.DeliverPaymentRequest(
            request_id=_request_id(row), delivery=row.content, signed_statement=row.statement
        )
        reply = await stub.DeliverPayment(request, timeout=CALL_S)
        await self._incoming.acknowledged(row, bytes(reply.acknowledgement))

    async def _notify(self, stub: Any, row: outbox.OutboxRow) -> None:
        report = pb.NotifyStatusRequest(
            request_id=_request_id(row),
            leg=pb.LegId(uetr=row.leg.uetr, role=pb.LegRole.ValueType(row.leg.role), hop=row.leg.hop),
            message=row.content,
            signed_statement=row.statement,
        )
        await stub.NotifyStatus(report, timeout=CALL_S)
        async with self._office.database.write() as conn:
            await outbox.sent(conn, row.id, self._office.now_ms())

    async def _refused(self, row: outbox.OutboxRow, reason: str, by: Did) -> None:
        """Never sent again. A delivery's payment is REJECTED: it was never opened on chain."""
        logger().warning("outbox_refused", kind=row.kind, reason=reason, by=str(by))
        await self._incoming.refused(row, reason, _ISO_REASONS.get(reason, _OTHER_REASON), by)

    async def _later(self, row: outbox.OutboxRow, why: str) -> None:
        """Try again, more and more slowly."""
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(row.attempts, 16), _LONGEST_PAUSE_S)
        next_ms = self._office.now_ms() + int(pause_s * 1000)
        logger().warning("outbox_retry", kind=row.kind, why=why, attempts=row.attempts + 1)
        async with self._office.database.write() as conn:
            await outbox.failed(conn, row.id, row.attempts + 1, next_ms, why)


def _request_id(row: outbox.OutboxRow) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{row.payment_id.hex()}/{row.kind}"))


def _refusal(error: grpc.aio.AioRpcError) -> str | None:
    """The reason with which the other bank's service refuses for good; None: it may come to take it, or it
    was not that service that spoke.
    """
    if error.code() not in _FOR_GOOD:
        return None
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # AioRpcError has the same accessors
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == ERROR_DOMAIN:
            return str(info.reason)
    return None
