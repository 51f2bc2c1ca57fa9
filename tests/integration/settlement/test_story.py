"""The whole story between two banks: submitted, delivered, accepted, settled, confirmed, reconciled."""

from __future__ import annotations

import uuid

import grpc
import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import view
from silkledger.evm.node import JsonRpcNode
from silkledger.settlement.v1 import settlement_pb2 as pb
from tests.integration.settlement.conftest import SAMPLES, Connect, Stage
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import refusal_of

STORY = "5a3b1e00-0000-4000-8000-000000000001"


def rid() -> str:
    return str(uuid.uuid4())


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


async def test_from_submission_to_reconciliation(stage: Stage, connect: Connect) -> None:
    a, b = connect(stage.a, stage.a.client), connect(stage.b, stage.b.client)
    legs: list[pb.LegId] = []
    for name in ("pacs.008-bank-a-to-bank-b.xml", "pacs.009-bank-a-to-bank-b.xml", "pacs.008-batch.xml"):
        request = pb.SubmitPaymentRequest(request_id=rid(), message=sample(name))
        first = await a.SubmitPayment(request)
        assert await a.SubmitPayment(request) == first
        legs += [payment.leg for payment in first.payments]
    assert len(legs) == 6

    for leg in legs:

        async def delivered(leg: pb.LegId = leg) -> bool:
            try:
                found = await b.GetPayment(pb.GetPaymentRequest(leg=leg))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - absence is the only excuse
                return False
            return bool(found.payment.state == pb.PAYMENT_STATE_VALIDATED)

        await eventually(delivered, f"{leg.uetr} is delivered", timeout_s=60, pause_s=0.1)
        ours = (await a.GetPayment(pb.GetPaymentRequest(leg=leg))).payment
        theirs = (await b.GetPayment(pb.GetPaymentRequest(leg=leg))).payment
        assert (ours.payment_id, ours.commitment) == (theirs.payment_id, theirs.commitment)
        assert ours.outgoing
        assert not theirs.outgoing
        accepted = await b.AcceptPayment(pb.AcceptPaymentRequest(request_id=rid(), leg=leg))
        assert accepted.payment.state == pb.PAYMENT_STATE_ACCEPTED

    for leg in legs:

        async def told(leg: pb.LegId = leg) -> bool:
            found = await a.GetPayment(pb.GetPaymentRequest(leg=leg))
            return bool(found.payment.state == pb.PAYMENT_STATE_ACCEPTED)

        await eventually(told, "bank A knows of the acceptance", timeout_s=60, pause_s=0.1)

    reported = await a.ReportSettled(pb.ReportSettledRequest(request_id=rid(), leg=legs[0]))
    assert reported.payment.state == pb.PAYMENT_STATE_SETTLEMENT_REPORTED

    message = sample("pacs.002-settlement-institution.xml")
    by_a_bank = pb.ConfirmSettlementRequest(
        request_id=rid(), message=message, signed_statement=stage.statement(stage.b.account, message)
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await a.ConfirmSettlement(by_a_bank)
    assert refusal_of(caught.value).reason == "SIGNER_NOT_SETTLEMENT_INSTITUTION"
    statement = stage.statement(stage.institution, message)
    for bank in (a, b):
        done = await bank.ConfirmSettlement(
            pb.ConfirmSettlementRequest(request_id=rid(), message=message, signed_statement=statement)
        )
        assert {payment.state for payment in done.payments} == {pb.PAYMENT_STATE_SETTLED}
        assert len(done.payments) == 6

    node = JsonRpcNode(stage.node_url, FAST)
    for leg in legs:

        async def final(leg: pb.LegId = leg) -> bool:
            found = await a.GetPayment(pb.GetPaymentRequest(leg=leg))
            return bool(found.payment.evidence == chain.EVIDENCE_STAGE_FINAL)

        await eventually(final, "settlement is final on chain", timeout_s=120, pause_s=0.1)
        ours = (await a.GetPayment(pb.GetPaymentRequest(leg=leg))).payment

        async def settled(key: bytes = ours.payment_id) -> bool:
            (found,) = await view(node, stage.network, "SettlementLedger", "paymentOf", (key,))
            return bool(found[1] == 4)

        await eventually(settled, "the contract says settled", timeout_s=60, pause_s=0.1)
        (onchain,) = await view(node, stage.network, "SettlementLedger", "paymentOf", (ours.payment_id,))
        assert ours.commitment in onchain
        assert [c.state for c in ours.history][:3] == [
            pb.PAYMENT_STATE_RECEIVED,
            pb.PAYMENT_STATE_VALIDATED,
            pb.PAYMENT_STATE_ACCEPTED,
        ]
        assert ours.history[-1].by == str(stage.did(stage.institution))
    await node.close()
    assert len({(await a.GetPayment(pb.GetPaymentRequest(leg=leg))).payment.own_address for leg in legs}) == 6

    imported = await a.ImportStatement(
        pb.ImportStatementRequest(request_id=rid(), message=sample("camt.053-bank-a.xml"))
    )
    assert [(s.quarantined, s.entries) for s in imported.statements] == [(False, 5)]
    result = await a.Reconcile(pb.ReconcileRequest(request_id=rid()))
    assert sorted((m.leg.uetr[-1], m.entry_reference, m.rule) for m in result.matches) == [
        ("1", "E0001", "R1"),
        ("2", "E0002", "R1"),
        ("3", "E0003/1", "R1"),
        ("4", "E0003/2", "R1"),
    ]
    assert sorted((x.category, x.leg.uetr[-1:]) for x in result.breaks) == [
        ("AMOUNT", "5"),
        ("MISSING_OURS", ""),
        ("MISSING_THEIRS", "6"),
    ]
    again = await a.Reconcile(pb.ReconcileRequest(request_id=rid()))
    assert again.results_digest == result.results_digest
    assert again.manifest == result.manifest
    listed = await a.ListBreaks(pb.ListBreaksRequest(category="AMOUNT"))
    assert [x.difference.amount_minor for x in listed.breaks] == [50000]
    state = (await a.GetPayment(pb.GetPaymentRequest(leg=legs[0]))).payment
    assert state.reconciliation == pb.RECONCILIATION_STATE_RECONCILED
    assert state.state == pb.PAYMENT_STATE_SETTLED
