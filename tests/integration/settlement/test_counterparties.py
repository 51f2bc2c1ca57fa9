"""Counterparties that never accept, refuse for good, are dead, or are not who they should be."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import view
from silkledger.evm.node import JsonRpcNode
from silkledger.keys.account import Account
from silkledger.runtime.db import parse_url
from silkledger.settlement.v1 import settlement_pb2 as pb
from tests.integration.settlement.conftest import EXPIRY_BLOCKS, SAMPLES, Connect, Stage, enrol
from tests.integration.settlement.test_refusals import PACS, UETR, delivered, later, rid
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import refusal_of
from tests.unit.services.settlement.test_finality import notification

BATCH = (SAMPLES / "pacs.008-batch.xml").read_bytes()
EXPIRED_ON_CHAIN = 8


def fresh(bic: str = "SMPBTHB0XXX") -> tuple[bytes, pb.LegId]:
    """A payment from bank A that no statement of the samples knows, and its leg."""
    uetr = str(uuid.uuid4())
    message = later(PACS.replace(UETR, uetr.encode()).replace(b"SMPBTHB0XXX", bic.encode()))
    return message, pb.LegId(uetr=uetr, role=pb.LEG_ROLE_CUSTOMER)


async def submit(stub: Any, message: bytes) -> None:
    await stub.SubmitPayment(pb.SubmitPaymentRequest(request_id=rid(), message=message))


async def until(stub: Any, leg: pb.LegId, state: int, what: str, evidence: int = 0) -> pb.Payment:
    """The payment, once it is there in this state, and borne out by the chain as far as asked."""
    found = pb.Payment()

    async def there() -> bool:
        try:
            found.CopyFrom((await stub.GetPayment(pb.GetPaymentRequest(leg=leg))).payment)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - absence is the only excuse
            return False
        return found.state == state and found.evidence >= evidence

    await eventually(there, what, timeout_s=120, pause_s=0.1)
    return found


async def letters(stage: Stage, uetr: str) -> list[Any]:
    """Bank A's outbox rows about a payment."""
    engine = create_async_engine(parse_url(stage.a.database_url))
    query = (
        "SELECT o.kind, o.attempts, o.done_ms, o.last_error FROM outbox o "
        "JOIN payment p ON p.payment_id = o.payment_id WHERE p.uetr = :uetr"
    )
    async with engine.connect() as connection:
        rows = list((await connection.execute(text(query), {"uetr": uetr})).all())
    await engine.dispose()
    return rows


async def test_what_nobody_accepts_expires_and_what_was_accepted_does_not(
    stage: Stage, connect: Connect
) -> None:
    a, b = connect(stage.a, stage.a.client), connect(stage.b, stage.b.client)
    (forgotten, left), (taken, kept) = fresh(), fresh()
    await submit(a, forgotten)
    await submit(a, taken)
    opened = await until(a, left, pb.PAYMENT_STATE_VALIDATED, "it is open", chain.EVIDENCE_STAGE_FINAL)
    await until(b, kept, pb.PAYMENT_STATE_VALIDATED, "the other one is delivered")
    await b.AcceptPayment(pb.AcceptPaymentRequest(request_id=rid(), leg=kept))
    await until(a, kept, pb.PAYMENT_STATE_ACCEPTED, "it is accepted on chain", chain.EVIDENCE_STAGE_FINAL)

    node = JsonRpcNode(stage.node_url, FAST)
    stage.mine(EXPIRY_BLOCKS + 1)
    contract = f"eip155:{stage.network.chain_id}:{stage.network.address('SettlementLedger')}"
    for bank in (a, b):
        found = await until(bank, left, pb.PAYMENT_STATE_EXPIRED, "it expires", chain.EVIDENCE_STAGE_FINAL)
        assert found.history[-1].by == contract
        assert found.history[-1].block.number > opened.history[1].block.number + EXPIRY_BLOCKS
    (onchain,) = await view(node, stage.network, "SettlementLedger", "paymentOf", (opened.payment_id,))
    await node.close()
    assert EXPIRED_ON_CHAIN in onchain
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await b.AcceptPayment(pb.AcceptPaymentRequest(request_id=rid(), leg=left))
    assert refusal_of(caught.value).reason == "PAYMENT_STATE"
    await until(a, kept, pb.PAYMENT_STATE_ACCEPTED, "the accepted one is as it was")


async def test_the_institutions_signed_notification_settles_and_a_banks_does_not(
    stage: Stage, connect: Connect
) -> None:
    b = connect(stage.b, stage.b.client)
    uetr = str(uuid.uuid4())
    content, raw = delivered(stage, stage.a.account, uetr=uetr)
    request = pb.DeliverPaymentRequest(request_id=rid(), delivery=content, signed_statement=raw)
    await connect(stage.b, stage.a.client).DeliverPayment(request)
    leg = pb.LegId(uetr=uetr, role=pb.LEG_ROLE_CUSTOMER)
    await b.AcceptPayment(pb.AcceptPaymentRequest(request_id=rid(), leg=leg))
    message = notification().replace(b"SAMPLECNY0001", b"SAMPLECNY0002").replace(b"DBIT", b"CRDT")
    message = message.replace(UETR, uetr.encode())
    for signer, reason in (
        (stage.a.account, "SIGNER_NOT_SETTLEMENT_INSTITUTION"),
        (stage.institution, ""),
    ):
        said = pb.ConfirmSettlementRequest(
            request_id=rid(), message=message, signed_statement=stage.statement(signer, message)
        )
        if reason:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await b.ConfirmSettlement(said)
            assert refusal_of(caught.value).reason == reason
            continue
        (done,) = (await b.ConfirmSettlement(said)).payments
        assert (done.leg, done.state) == (leg, pb.PAYMENT_STATE_SETTLED)
        assert done.history[-1].by == str(stage.did(stage.institution))


async def test_a_delivery_refused_for_good_is_rejected_and_not_repeated(
    stage: Stage, connect: Connect
) -> None:
    """The leg is at bank B already, from another delivery in bank A's name."""
    message, leg = fresh()
    content, raw = delivered(stage, stage.a.account, uetr=leg.uetr)
    request = pb.DeliverPaymentRequest(request_id=rid(), delivery=content, signed_statement=raw)
    await connect(stage.b, stage.a.client).DeliverPayment(request)
    a, b = connect(stage.a, stage.a.client), connect(stage.b, stage.b.client)
    await submit(a, message)
    found = await until(a, leg, pb.PAYMENT_STATE_REJECTED, "bank A knows of the refusal")
    assert (found.reason_code, found.history[-1].by) == ("AM05", str(stage.b.did))
    (letter,) = await letters(stage, leg.uetr)
    assert (letter.attempts, letter.done_ms is None, letter.last_error) == (0, False, "LEG_EXISTS")
    await until(b, leg, pb.PAYMENT_STATE_VALIDATED, "the first delivery stands")


async def test_a_dead_counterparty_holds_up_nobody_else(stage: Stage, connect: Connect) -> None:
    """Bank C's address takes connections and never says a word. Forty payments for it are waiting."""
    silent = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(3600), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    await enrolled(stage, "SMPCTHB0XXX", f"127.0.0.1:{port}")
    a, b = connect(stage.a, stage.a.client), connect(stage.b, stage.b.client)
    for _ in range(10):
        batch = later(BATCH.replace(b"SMPBTHB0XXX", b"SMPCTHB0XXX"))
        for number in range(3, 7):
            old = f"5a3b1e00-0000-4000-8000-{number:012}".encode()
            assert old in batch
            batch = batch.replace(old, str(uuid.uuid4()).encode())
        await submit(a, batch)
    message, leg = fresh()
    await submit(a, message)

    async def there() -> bool:
        page = await b.ListPayments(pb.ListPaymentsRequest(page_size=1000))
        return leg.uetr in {payment.leg.uetr for payment in page.payments}

    await eventually(there, "bank B has its payment", timeout_s=20, pause_s=0.1)
    silent.close()


async def test_details_go_to_nobody_but_the_bank_of_the_certificate(stage: Stage, connect: Connect) -> None:
    """Bank D enrolled bank B's address: TLS alone would take bank B for it."""
    other = await enrolled(stage, "SMPDTHB0XXX", stage.b.address)
    a, before = connect(stage.a, stage.a.client), await stage.b.rows()
    message, leg = fresh("SMPDTHB0XXX")
    await submit(a, message)

    async def tried() -> bool:
        return bool((await letters(stage, leg.uetr))[0].attempts)

    await eventually(tried, "bank A tried to deliver", timeout_s=60, pause_s=0.1)
    (letter,) = await letters(stage, leg.uetr)
    assert letter.last_error == f"the certificate at {stage.b.address} is not that of {other}"
    assert letter.done_ms is None
    assert await stage.b.rows() == before
    await until(a, leg, pb.PAYMENT_STATE_VALIDATED, "it waits")


async def enrolled(stage: Stage, bic: str, endpoint: str) -> str:
    """A bank that has no service of its own; its DID."""
    account = Account.generate()
    await enrol(
        stage.identity_address,
        stage.operator,
        stage.network.chain_id,
        account,
        "Sample Bank",
        "TH",
        bic,
        "bank",
        endpoint,
    )
    return str(stage.did(account))
