"""What must be refused: the right code, reason and field, and nothing written."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Awaitable, Callable

import grpc
import pytest

from services.settlement.domain import SALT_SIZE, payment_id, terms_of
from services.settlement.exchange import delivery, statements
from services.settlement.iso20022.pacs import parse_credit_transfer
from silkledger.keys.account import Account
from silkledger.settlement.v1 import settlement_pb2 as pb
from silkledger.values import Digest
from tests.integration.settlement.conftest import SAMPLES, Connect, Stage
from tests.support.anvil import eventually
from tests.support.grpc_clients import Refusal, refusal_of

PACS = (SAMPLES / "pacs.008-bank-a-to-bank-b.xml").read_bytes()
CAMT = (SAMPLES / "camt.053-bank-a.xml").read_bytes()
REPORT = (SAMPLES / "pacs.002-settlement-institution.xml").read_bytes()
UETR = b"5a3b1e00-0000-4000-8000-000000000001"
TX = "message/Document/FIToFICstmrCdtTrf/CdtTrfTxInf"
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Document>&b;</Document>'
)
ENTITY = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Document>&a;</Document>'
)

MESSAGES = {
    "xml bomb": (BOMB, "XML_FORBIDDEN", "message/"),
    "external entity": (ENTITY, "XML_FORBIDDEN", "message/"),
    "not well-formed": (PACS[:-20], "XML_NOT_WELL_FORMED", "message/"),
    "CNH": (PACS.replace(b'Ccy="CNY"', b'Ccy="CNH"'), "CURRENCY_INVALID", f"{TX}/IntrBkSttlmAmt/@Ccy"),
    "five decimals": (
        PACS.replace(b">1250000.00</IntrBk", b">1250000.00000</IntrBk"),
        "AMOUNT_PRECISION",
        f"{TX}/IntrBkSttlmAmt",
    ),
    "upper-case UETR": (PACS.replace(UETR, UETR.upper()), "UETR_INVALID", f"{TX}/PmtId/UETR"),
    "no offset": (
        PACS.replace(b"+08:00", b""),
        "TIME_WITHOUT_OFFSET",
        "message/Document/FIToFICstmrCdtTrf/GrpHdr/CreDtTm",
    ),
    "a camt": (CAMT, "MESSAGE_UNSUPPORTED", "message/Document"),
}


async def refused(
    call: Awaitable[object], rows: Callable[[], Awaitable[dict[str, int]]], before: dict[str, int]
) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert await rows() == before
    return refusal_of(caught.value)


def later(message: bytes) -> bytes:
    """Settled after every statement of the samples: never due in a reconciliation of theirs."""
    return message.replace(b"<IntrBkSttlmDt>2026-11-20<", b"<IntrBkSttlmDt>2026-12-20<")


def rid() -> str:
    return str(uuid.uuid4())


@pytest.mark.parametrize("name", sorted(MESSAGES))
async def test_a_bad_message_is_refused_and_nothing_is_written(
    name: str, stage: Stage, connect: Connect
) -> None:
    data, reason, field = MESSAGES[name]
    stub, before = connect(stage.a, stage.a.client), await stage.a.rows()
    request = pb.SubmitPaymentRequest(request_id=rid(), message=data)
    told = await refused(stub.SubmitPayment(request), stage.a.rows, before)
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert told.violations == ((field, reason),)


async def test_only_the_bank_itself_may_call(stage: Stage, connect: Connect) -> None:
    stub, before = connect(stage.a, stage.b.client), await stage.a.rows()
    leg = pb.LegId(uetr=UETR.decode(), role=pb.LEG_ROLE_CUSTOMER)
    for call in (
        stub.SubmitPayment(pb.SubmitPaymentRequest(request_id=rid(), message=PACS)),
        stub.AcceptPayment(pb.AcceptPaymentRequest(request_id=rid(), leg=leg)),
        stub.GetPayment(pb.GetPaymentRequest(leg=leg)),
        stub.ListPayments(pb.ListPaymentsRequest()),
        stub.ImportStatement(pb.ImportStatementRequest(request_id=rid(), message=CAMT)),
        stub.Reconcile(pb.ReconcileRequest(request_id=rid())),
        stub.ListBreaks(pb.ListBreaksRequest()),
        stub.ConfirmSettlement(
            pb.ConfirmSettlementRequest(
                request_id=rid(), message=REPORT, signed_statement=stage.statement(stage.institution, REPORT)
            )
        ),
    ):
        told = await refused(call, stage.a.rows, before)
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_a_message_that_another_bank_instructs_is_refused(stage: Stage, connect: Connect) -> None:
    stub, before = connect(stage.b, stage.b.client), await stage.b.rows()
    request = pb.SubmitPaymentRequest(request_id=rid(), message=PACS)
    told = await refused(stub.SubmitPayment(request), stage.b.rows, before)
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_OUR_INSTRUCTION")


async def test_a_statement_of_another_account_is_refused(stage: Stage, connect: Connect) -> None:
    stub, before = connect(stage.b, stage.b.client), await stage.b.rows()
    request = pb.ImportStatementRequest(request_id=rid(), message=CAMT)
    told = await refused(stub.ImportStatement(request), stage.b.rows, before)
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_NOT_OURS")
    assert told.violations[0][0] == "message/Document/BkToCstmrStmt/Stmt/Acct/Id"


async def test_a_statement_whose_balances_do_not_add_up_is_kept_in_quarantine(
    stage: Stage, connect: Connect
) -> None:
    stub = connect(stage.b, stage.b.client)
    off = CAMT.replace(b"SAMPLECNY0001", b"SAMPLECNY0002").replace(b">5100613.83<", b">5100613.84<")
    assert off.count(b"5100613.84") == 1
    reply = await stub.ImportStatement(pb.ImportStatementRequest(request_id=rid(), message=off))
    assert [s.quarantined for s in reply.statements] == [True]
    assert "1 minor units away" in reply.statements[0].reasons[0]
    assert (await stage.b.rows())["statement_file"] == 1
    run = await stub.Reconcile(pb.ReconcileRequest(request_id=rid()))
    assert [x.category for x in run.breaks] == ["BALANCE"]
    assert not run.matches


async def test_the_same_request_id_with_other_content_is_a_conflict(stage: Stage, connect: Connect) -> None:
    stub, name = connect(stage.a, stage.a.client), rid()
    before = (await stage.b.rows())["payment"]
    await stub.Reconcile(pb.ReconcileRequest(request_id=name))
    own = later(PACS.replace(UETR, b"7a3b1e00-0000-4000-8000-000000000001"))
    await stub.SubmitPayment(pb.SubmitPaymentRequest(request_id=name, message=own))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SubmitPayment(pb.SubmitPaymentRequest(request_id=name, message=PACS))
    told = refusal_of(caught.value)
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_CONFLICT")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SubmitPayment(pb.SubmitPaymentRequest(request_id=rid(), message=own))
    assert refusal_of(caught.value).reason == "LEG_EXISTS"
    bank = connect(stage.b, stage.b.client)

    async def delivered_too() -> bool:
        return len((await bank.ListPayments(pb.ListPaymentsRequest())).payments) == before + 1

    await eventually(delivered_too, "the delivery has arrived", timeout_s=60, pause_s=0.1)


def delivered(stage: Stage, signer: Account, *, change: str = "", uetr: str = "") -> tuple[bytes, bytes]:
    """A delivery from bank A to bank B, signed by `signer`, with one thing wrong."""
    message = PACS.replace(UETR, (uetr or str(uuid.uuid4())).encode())
    parsed = parse_credit_transfer(message)
    terms = terms_of(parsed, parsed.transfers[0], Digest(hashlib.sha256(message).digest()))
    salt = secrets.token_bytes(SALT_SIZE)
    address = Account.generate().address
    commitment = secrets.token_bytes(32) if change == "commitment" else terms.commitment(salt)
    key = secrets.token_bytes(32) if change == "payment_id" else payment_id(terms.leg, salt)
    content = delivery.encode(delivery.Delivery(message, terms, salt, address, key, commitment))
    bound = Account.generate().address if change == "address" else address
    signatory = statements.Signatory(stage.did(signer), signer)
    raw = signatory.sign(
        content,
        statements.subject_of(key, bound),
        statements.PAYMENT_ORDER,
        "application/cbor",
        1_800_000_000,
        stage.b.did,
    )
    return content, raw


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("commitment", "COMMITMENT_MISMATCH"),
        ("payment_id", "COMMITMENT_MISMATCH"),
        ("address", "COMMITMENT_MISMATCH"),
    ],
)
async def test_a_delivery_whose_commitments_are_not_its_message_is_refused(
    change: str, reason: str, stage: Stage, connect: Connect
) -> None:
    stub, before = connect(stage.b, stage.a.client), await stage.b.rows()
    content, raw = delivered(stage, stage.a.account, change=change)
    request = pb.DeliverPaymentRequest(request_id=rid(), delivery=content, signed_statement=raw)
    told = await refused(stub.DeliverPayment(request), stage.b.rows, before)
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_delivery_must_be_signed_by_the_bank_whose_certificate_calls(
    stage: Stage, connect: Connect
) -> None:
    before = await stage.b.rows()
    content, raw = delivered(stage, stage.institution)
    request = pb.DeliverPaymentRequest(request_id=rid(), delivery=content, signed_statement=raw)
    told = await refused(connect(stage.b, stage.a.client).DeliverPayment(request), stage.b.rows, before)
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SIGNER_NOT_CALLER")
    other = Account.generate()
    content, raw = delivered(stage, other)
    request = pb.DeliverPaymentRequest(request_id=rid(), delivery=content, signed_statement=raw)
    bank = stage.ca.organisation(stage.did(other), "bank")
    told = await refused(connect(stage.b, bank).DeliverPayment(request), stage.b.rows, before)
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SIGNER_NOT_INSTRUCTING_AGENT")
    agency = stage.ca.organisation(stage.did(other), "agency")
    told = await refused(connect(stage.b, agency).DeliverPayment(request), stage.b.rows, before)
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_a_good_delivery_is_taken_and_rejected_once(stage: Stage, connect: Connect) -> None:
    uetr = str(uuid.uuid4())
    content, raw = delivered(stage, stage.a.account, uetr=uetr)
    request = pb.DeliverPaymentRequest(request_id=rid(), delivery=content, signed_statement=raw)
    bank = connect(stage.b, stage.a.client)
    first = await bank.DeliverPayment(request)
    assert await bank.DeliverPayment(request) == first
    own, leg = connect(stage.b, stage.b.client), pb.LegId(uetr=uetr, role=pb.LEG_ROLE_CUSTOMER)
    done = await own.RejectPayment(pb.RejectPaymentRequest(request_id=rid(), leg=leg, reason_code="AC01"))
    assert (done.payment.state, done.payment.reason_code) == (pb.PAYMENT_STATE_REJECTED, "AC01")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await own.AcceptPayment(pb.AcceptPaymentRequest(request_id=rid(), leg=leg))
    told = refusal_of(caught.value)
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_STATE")


async def test_the_institutions_word_before_acceptance_or_not_final_settles_nothing(
    stage: Stage, connect: Connect
) -> None:
    uetr = str(uuid.uuid4())
    content, raw = delivered(stage, stage.a.account, uetr=uetr)
    request = pb.DeliverPaymentRequest(request_id=rid(), delivery=content, signed_statement=raw)
    await connect(stage.b, stage.a.client).DeliverPayment(request)
    own, before = connect(stage.b, stage.b.client), await stage.b.rows()
    for word, reason in ((b"ACSC", "PAYMENT_STATE"), (b"ACSP", "STATUS_NOT_FINAL")):
        message = REPORT.replace(UETR, uetr.encode()).replace(b"ACSC", word)
        said = pb.ConfirmSettlementRequest(
            request_id=rid(), message=message, signed_statement=stage.statement(stage.institution, message)
        )
        told = await refused(own.ConfirmSettlement(said), stage.b.rows, before)
        assert told.reason == reason
