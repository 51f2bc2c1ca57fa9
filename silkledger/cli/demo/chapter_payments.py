"""Payments: submitted, delivered bank to bank, accepted, settled, confirmed, reconciled."""

from __future__ import annotations

import asyncio

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.cli.demo.cast import SAMPLES, Stage
from silkledger.cli.settlements import evidence_of, money_text, sign_message, state_of
from silkledger.client import RpcFailed, SettlementClient
from silkledger.client.channel import wait_until_serving
from silkledger.settlement.v1 import settlement_pb2 as pb

ISO = SAMPLES / "iso20022"
MESSAGES = ("pacs.008-bank-a-to-bank-b.xml", "pacs.009-bank-a-to-bank-b.xml", "pacs.008-batch.xml")

_ACCEPTED_OR_LATER = (
    pb.PAYMENT_STATE_ACCEPTED,
    pb.PAYMENT_STATE_SETTLEMENT_REPORTED,
    pb.PAYMENT_STATE_SETTLED,
)


async def banks_serve(stage: Stage) -> None:
    """Waits for the two settlement services that enrolment made the stack start."""
    await asyncio.gather(*(_serves(stage, alias) for alias in ("bank-a", "bank-b")))


async def _serves(stage: Stage, alias: str) -> None:
    session = stage.session(alias)
    await wait_until_serving(session.organisation.profile.settlement_endpoint, session.credentials)


async def pay(stage: Stage) -> None:
    """Bank A submits; bank B accepts what arrives; both report; the institution's word settles."""
    async with stage.session("bank-a").settlement() as a, stage.session("bank-b").settlement() as b:
        submitted = [
            payment for message in MESSAGES for payment in await a.submit((ISO / message).read_bytes())
        ]
        legs = [payment.leg for payment in submitted]
        await asyncio.gather(*(b.wait_for_payment(leg, lambda _: True) for leg in legs))
        stage.narrator.claim(
            "payments delivered bank to bank; their details are in the two banks' own databases only",
            len(legs) == 6,
            f"{len(legs)} payments",
        )
        await asyncio.gather(*(b.accept(leg) for leg in legs))
        await asyncio.gather(*(_until(a, leg, _ACCEPTED_OR_LATER) for leg in legs))
        await asyncio.gather(*(a.report_settled(leg) for leg in legs))
        await _refuse_a_forged_confirmation(stage, a)
        await _confirm(stage, a, b, legs)
    await _reconcile(stage)


async def _until(
    client: SettlementClient, leg: pb.LegId, states: tuple[pb.PaymentState.ValueType, ...]
) -> pb.Payment:
    return await client.wait_for_payment(leg, lambda payment: payment.state in states)


async def _refuse_a_forged_confirmation(stage: Stage, a: SettlementClient) -> None:
    """Bank B signs the settlement institution's message: its word settles nothing."""
    message = (ISO / "pacs.002-settlement-institution.xml").read_bytes()
    reason = "accepted"
    try:
        await a.confirm(message, sign_message(stage.session("bank-b"), message))
    except RpcFailed as error:
        reason = error.reason or error.code.name
    stage.narrator.claim(
        "a confirmation that the settlement institution did not sign is refused", reason != "accepted", reason
    )


async def _confirm(stage: Stage, a: SettlementClient, b: SettlementClient, legs: list[pb.LegId]) -> None:
    message = (ISO / "pacs.002-settlement-institution.xml").read_bytes()
    signed = sign_message(stage.session("clearing-cn"), message)
    await asyncio.gather(a.confirm(message, signed), b.confirm(message, signed))
    settled = (pb.PAYMENT_STATE_SETTLED, pb.PAYMENT_STATE_CREDITED)
    payments = await asyncio.gather(
        *(
            a.wait_for_payment(leg, lambda p: p.state in settled and p.evidence == chain.EVIDENCE_STAGE_FINAL)
            for leg in legs
        )
    )
    rows = [
        (p.leg.uetr, money_text(p.amount), state_of(p), evidence_of(p), _short(p.commitment))
        for p in payments
    ]
    columns = ("UETR", "amount", "payment", "evidence", "commitment on chain")
    stage.narrator.table("Payments of Sample Bank A", columns, rows)
    stage.narrator.claim(
        "SETTLED only on the settlement institution's signed word; the chain holds salted commitments only",
        all(p.state in settled and len(p.commitment) == 32 for p in payments),
    )


def _short(value: bytes) -> str:
    return f"0x{value.hex()[:12]}…"


async def _reconcile(stage: Stage) -> None:
    async with stage.session("bank-a").settlement() as settlement:
        await settlement.import_statement((ISO / "camt.053-bank-a.xml").read_bytes())
        result = await settlement.reconcile()
    rows = [(b.category, b.leg.uetr or b.entry_reference, b.explanation) for b in result.breaks]
    stage.narrator.say(f"{len(result.matches)} payments matched the statement of Sample Bank A's account.")
    stage.narrator.table("Breaks, each explained", ("category", "about", "why"), rows)
    categories = sorted(item.category for item in result.breaks)
    stage.narrator.claim(
        "the bank reconciled its statement: matches named by rule, every break explained in a sentence",
        categories == ["AMOUNT", "MISSING_OURS", "MISSING_THEIRS"]
        and len(result.matches) == 4
        and all(item.explanation for item in result.breaks),
        ", ".join(categories),
    )
