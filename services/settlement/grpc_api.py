"""The wire: translates messages to values and back. Decides nothing, catches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.settlement.desk.use_cases import Imported, ReconciliationDesk, Run
from services.settlement.domain import PaymentState
from services.settlement.errors import SettlementError
from services.settlement.payments.incoming import Incoming
from services.settlement.payments.office import Request
from services.settlement.payments.reading import PaymentView
from services.settlement.reconciliation.calendar import age_band
from services.settlement.reconciliation.model import RULE_VERSION, LegKey
from services.settlement.storage import BreakRow
from services.settlement.use_cases import SettlementUseCases
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.runtime.auth import caller
from silkledger.runtime.idempotency import fingerprint_of
from silkledger.runtime.server import Service
from silkledger.settlement.v1 import settlement_pb2 as pb
from silkledger.settlement.v1 import settlement_pb2_grpc as rpc
from silkledger.values import BlockRef, Money

FULL_NAME: Final = "silkledger.settlement.v1.SettlementService"

Context = grpc.aio.ServicerContext[Any, Any]


def service(cases: SettlementUseCases, incoming: Incoming, desk: ReconciliationDesk) -> Service:
    """The gRPC service over these use cases."""
    servicer = SettlementApi(cases, incoming, desk)
    return Service(FULL_NAME, lambda server: rpc.add_SettlementServiceServicer_to_server(servicer, server))


class SettlementApi(rpc.SettlementServiceServicer):
    """One method per RPC. Who calls, and that the shape holds, the interceptor has checked."""

    def __init__(self, cases: SettlementUseCases, incoming: Incoming, desk: ReconciliationDesk) -> None:
        self._cases = cases
        self._incoming = incoming
        self._desk = desk

    async def SubmitPayment(
        self, request: pb.SubmitPaymentRequest, context: Context
    ) -> pb.SubmitPaymentResponse:
        def render(views: Sequence[PaymentView]) -> bytes:
            return pb.SubmitPaymentResponse(payments=[_payment(v) for v in views]).SerializeToString()

        reply = await self._cases.submit(
            caller(), _request("SubmitPayment", request), request.message, render
        )
        return pb.SubmitPaymentResponse.FromString(reply)

    async def DeliverPayment(
        self, request: pb.DeliverPaymentRequest, context: Context
    ) -> pb.DeliverPaymentResponse:
        acknowledgement = await self._incoming.deliver(
            caller(), _request("DeliverPayment", request), request.delivery, request.signed_statement
        )
        return pb.DeliverPaymentResponse(acknowledgement=acknowledgement)

    async def NotifyStatus(
        self, request: pb.NotifyStatusRequest, context: Context
    ) -> pb.NotifyStatusResponse:
        await self._incoming.notify(
            caller(),
            _request("NotifyStatus", request),
            _leg_key(request.leg),
            request.message,
            request.signed_statement,
        )
        return pb.NotifyStatusResponse()

    async def AcceptPayment(
        self, request: pb.AcceptPaymentRequest, context: Context
    ) -> pb.AcceptPaymentResponse:
        reply = await self._decide("AcceptPayment", request, request.leg, PaymentState.ACCEPTED)
        return pb.AcceptPaymentResponse(payment=reply)

    async def RejectPayment(
        self, request: pb.RejectPaymentRequest, context: Context
    ) -> pb.RejectPaymentResponse:
        reply = await self._decide(
            "RejectPayment", request, request.leg, PaymentState.REJECTED, request.reason_code
        )
        return pb.RejectPaymentResponse(payment=reply)

    async def ReportSettled(
        self, request: pb.ReportSettledRequest, context: Context
    ) -> pb.ReportSettledResponse:
        reply = await self._decide("ReportSettled", request, request.leg, PaymentState.SETTLEMENT_REPORTED)
        return pb.ReportSettledResponse(payment=reply)

    async def ConfirmSettlement(
        self, request: pb.ConfirmSettlementRequest, context: Context
    ) -> pb.ConfirmSettlementResponse:
        def render(views: Sequence[PaymentView]) -> bytes:
            return pb.ConfirmSettlementResponse(payments=[_payment(v) for v in views]).SerializeToString()

        reply = await self._cases.confirm(
            caller(),
            _request("ConfirmSettlement", request),
            request.message,
            request.signed_statement,
            render,
        )
        return pb.ConfirmSettlementResponse.FromString(reply)

    async def GetPayment(self, request: pb.GetPaymentRequest, context: Context) -> pb.GetPaymentResponse:
        found = await self._cases.payment(caller(), _leg_key(request.leg))
        return pb.GetPaymentResponse(payment=_payment(found))

    async def ListPayments(
        self, request: pb.ListPaymentsRequest, context: Context
    ) -> pb.ListPaymentsResponse:
        page, after = await self._cases.payments(
            caller(), request.state, request.reconciliation, request.page_size, _token(request.page_token)
        )
        token = f"{after.uetr}/{after.role}/{after.hop}" if after else ""
        return pb.ListPaymentsResponse(payments=[_payment(v) for v in page], next_page_token=token)

    async def ImportStatement(
        self, request: pb.ImportStatementRequest, context: Context
    ) -> pb.ImportStatementResponse:
        reply = await self._desk.import_statement(
            caller(), _request("ImportStatement", request), request.message, _imported
        )
        return pb.ImportStatementResponse.FromString(reply)

    async def Reconcile(self, request: pb.ReconcileRequest, context: Context) -> pb.ReconcileResponse:
        reply = await self._desk.reconcile(caller(), _request("Reconcile", request), _run)
        return pb.ReconcileResponse.FromString(reply)

    async def ListBreaks(self, request: pb.ListBreaksRequest, context: Context) -> pb.ListBreaksResponse:
        page, token = await self._desk.breaks(
            caller(), request.category, request.page_size, request.page_token
        )
        today = self._desk.today()
        return pb.ListBreaksResponse(breaks=[_break(row, today) for row in page], next_page_token=token)

    async def _decide(
        self, method: str, request: Any, leg: pb.LegId, to: PaymentState, reason_code: str = ""
    ) -> pb.Payment:
        def render(views: Sequence[PaymentView]) -> bytes:
            return _payment(views[0]).SerializeToString()

        reply = await self._cases.decide(
            caller(), _request(method, request), _leg_key(leg), to, render, reason_code
        )
        return pb.Payment.FromString(reply)


def _request(method: str, request: Message) -> Request:
    request_id: str = request.request_id  # type: ignore[attr-defined] # every changing request has one
    return Request(method, request_id, fingerprint_of(request))


def _leg_key(leg: pb.LegId) -> LegKey:
    return LegKey(leg.uetr, int(leg.role), leg.hop)


def _token(text: str) -> LegKey | None:
    if not text:
        return None
    parts = text.split("/")
    if len(parts) != 3 or not (parts[1].isdecimal() and parts[2].isdecimal()):
        raise SettlementError("PAGE_TOKEN_INVALID", "is not a token of ours", field="page_token")
    return LegKey(parts[0], int(parts[1]), int(parts[2]))


def _leg(key: LegKey) -> pb.LegId:
    return pb.LegId(uetr=key.uetr, role=pb.LegRole.ValueType(key.role), hop=key.hop)


def _money(money: Money | None) -> pb.Money | None:
    return None if money is None else pb.Money(amount_minor=money.amount_minor, currency=money.currency)


def _time(at_ms: int) -> Timestamp:
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)


def _block(block: BlockRef | None) -> chain.BlockRef | None:
    if block is None:
        return None
    return chain.BlockRef(number=block.number, hash=bytes(block.hash), time=_time(block.time * 1000))


def _payment(view: PaymentView) -> pb.Payment:
    item, terms = view.payment, view.payment.terms
    return pb.Payment(
        leg=_leg(terms.leg),
        end_to_end_id=terms.end_to_end_id,
        transaction_id=terms.transaction_id,
        amount=_money(terms.amount),
        market=pb.Market.ValueType(int(terms.market)),
        settlement_date=terms.settlement_date.isoformat(),
        debtor_agent_bic=terms.debtor_bic,
        creditor_agent_bic=terms.creditor_bic,
        counterparty_did=str(item.counterparty),
        outgoing=item.outgoing,
        state=pb.PaymentState.ValueType(int(item.state)),
        reconciliation=pb.ReconciliationState.ValueType(int(item.reconciliation)),
        evidence=chain.EvidenceStage.ValueType(int(view.stage)),
        payment_id=item.payment_id,
        commitment=item.commitment,
        own_address=bytes(item.own_address),
        counterparty_address=bytes(item.counterparty_address or b""),
        reason_code=item.reason_code,
        history=[
            pb.StateChange(
                state=pb.PaymentState.ValueType(int(c.state)),
                at=_time(c.at_ms),
                by=c.by,
                block=_block(c.block),
            )
            for c in view.changes
        ],
    )


def _imported(done: Imported) -> bytes:
    statements = [
        pb.ImportedStatement(
            statement_id=item.statement.statement_id,
            account=item.statement.account,
            electronic_sequence_number=item.statement.sequence or 0,
            entries=len(item.statement.entries),
            quarantined=bool(item.faults),
            reasons=item.faults,
        )
        for item in done.statements
    ]
    return pb.ImportStatementResponse(digest=done.digest, statements=statements).SerializeToString()


def _run(run: Run) -> bytes:
    result = run.result
    return pb.ReconcileResponse(
        run_id=run.run_id,
        rule_version=RULE_VERSION,
        manifest=result.manifest,
        results_digest=bytes(result.results_digest),
        matches=[
            pb.Match(
                leg=_leg(m.leg),
                entry_reference=m.entry_reference,
                rule=m.rule,
                strength=str(m.strength),
                explanation=m.explanation,
            )
            for m in result.matches
        ],
        breaks=[_break(row, run.today) for row in run.breaks],
    ).SerializeToString()


def _break(row: BreakRow, today: date) -> pb.Break:
    difference = None
    if row.ours and row.theirs and row.ours.currency == row.theirs.currency:
        difference = Money(row.theirs.amount_minor - row.ours.amount_minor, row.ours.currency)
    return pb.Break(
        break_id=row.break_id,
        category=row.category,
        leg=_leg(row.leg) if row.leg else None,
        entry_reference=row.entry_reference,
        ours=_money(row.ours),
        theirs=_money(row.theirs),
        difference=_money(difference),
        explanation=row.explanation,
        opened_at=_time(row.opened_ms),
        age=age_band(row.since, today),
    )
