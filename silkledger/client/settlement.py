"""The client of one bank's settlement service, for the bank itself."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

from silkledger.client.channel import Connection
from silkledger.client.ledger import NotReached
from silkledger.settlement.v1 import settlement_pb2 as pb
from silkledger.settlement.v1 import settlement_pb2_grpc as rpc


def _id(request_id: str | None) -> str:
    return request_id or str(uuid.uuid4())


class SettlementClient:
    """Thin: each method is one rpc, plus a wait."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = rpc.SettlementServiceStub(connection.channel)

    async def submit(self, message: bytes, *, request_id: str | None = None) -> list[pb.Payment]:
        """A pacs.008 or pacs.009, sent exactly as it is. Raises: `RpcFailed`."""
        request = pb.SubmitPaymentRequest(request_id=_id(request_id), message=message)
        response: pb.SubmitPaymentResponse = await self._connection.call(self._stub.SubmitPayment, request)
        return list(response.payments)

    async def accept(self, leg: pb.LegId, *, request_id: str | None = None) -> pb.Payment:
        request = pb.AcceptPaymentRequest(request_id=_id(request_id), leg=leg)
        response: pb.AcceptPaymentResponse = await self._connection.call(self._stub.AcceptPayment, request)
        return response.payment

    async def reject(self, leg: pb.LegId, reason_code: str, *, request_id: str | None = None) -> pb.Payment:
        request = pb.RejectPaymentRequest(request_id=_id(request_id), leg=leg, reason_code=reason_code)
        response: pb.RejectPaymentResponse = await self._connection.call(self._stub.RejectPayment, request)
        return response.payment

    async def report_settled(self, leg: pb.LegId, *, request_id: str | None = None) -> pb.Payment:
        """This bank's own word. Information, not finality."""
        request = pb.ReportSettledRequest(request_id=_id(request_id), leg=leg)
        response: pb.ReportSettledResponse = await self._connection.call(self._stub.ReportSettled, request)
        return response.payment

    async def confirm(
        self, message: bytes, signed_statement: bytes, *, request_id: str | None = None
    ) -> list[pb.Payment]:
        """The settlement institution's pacs.002 with its signed statement: the only thing that settles."""
        request = pb.ConfirmSettlementRequest(
            request_id=_id(request_id), message=message, signed_statement=signed_statement
        )
        response: pb.ConfirmSettlementResponse = await self._connection.call(
            self._stub.ConfirmSettlement, request
        )
        return list(response.payments)

    async def payment(self, leg: pb.LegId) -> pb.Payment:
        response: pb.GetPaymentResponse = await self._connection.call(
            self._stub.GetPayment, pb.GetPaymentRequest(leg=leg)
        )
        return response.payment

    async def list_payments(self) -> AsyncIterator[pb.Payment]:
        token = ""
        while True:
            page: pb.ListPaymentsResponse = await self._connection.call(
                self._stub.ListPayments, pb.ListPaymentsRequest(page_token=token)
            )
            for payment in page.payments:
                yield payment
            token = page.next_page_token
            if not token:
                return

    async def import_statement(
        self, message: bytes, *, request_id: str | None = None
    ) -> pb.ImportStatementResponse:
        """A camt.053 of one of the bank's accounts."""
        request = pb.ImportStatementRequest(request_id=_id(request_id), message=message)
        response: pb.ImportStatementResponse = await self._connection.call(
            self._stub.ImportStatement, request
        )
        return response

    async def reconcile(self, *, request_id: str | None = None) -> pb.ReconcileResponse:
        response: pb.ReconcileResponse = await self._connection.call(
            self._stub.Reconcile, pb.ReconcileRequest(request_id=_id(request_id))
        )
        return response

    async def list_breaks(self, category: str = "") -> AsyncIterator[pb.Break]:
        token = ""
        while True:
            page: pb.ListBreaksResponse = await self._connection.call(
                self._stub.ListBreaks, pb.ListBreaksRequest(category=category, page_token=token)
            )
            for item in page.breaks:
                yield item
            token = page.next_page_token
            if not token:
                return

    async def wait_for_payment(
        self, leg: pb.LegId, until: Callable[[pb.Payment], bool], *, seconds: float = 60.0
    ) -> pb.Payment:
        """Polls until the payment is known here and `until` holds. Raises: `NotReached`, `RpcFailed`."""
        import grpc

        from silkledger.client.errors import RpcFailed

        loop = asyncio.get_running_loop()
        give_up = loop.time() + seconds
        seen = "unknown here"
        while loop.time() < give_up:
            try:
                payment = await self.payment(leg)
            except RpcFailed as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    raise
            else:
                if until(payment):
                    return payment
                seen = pb.PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")
            await asyncio.sleep(0.2)
        raise NotReached(f"payment {leg.uetr} did not get there in {seconds:.0f} s; it is {seen}")
