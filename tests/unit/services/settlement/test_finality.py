"""What counts as the settlement institution's word, and what does not."""

from __future__ import annotations

import dataclasses
import re
from zoneinfo import ZoneInfo

import pytest

from services.settlement.domain import Payment, PaymentState, ReconciliationState, terms_of
from services.settlement.errors import SettlementError
from services.settlement.iso20022.pacs import parse_credit_transfer
from services.settlement.payments.finality import Settled, read_finality
from silkledger.values import Address, Did, Digest, Money
from tests.unit.services.settlement.test_sample_reconciliation import SAMPLES

ZONE = ZoneInfo("Asia/Shanghai")
OURS = frozenset({"SAMPLECNY0001"})
PACS_002 = (SAMPLES / "pacs.002-settlement-institution.xml").read_bytes()
CAMT_053 = (SAMPLES / "camt.053-bank-a.xml").read_bytes()
FIRST = "5a3b1e00-0000-4000-8000-000000000001"


def notification(data: bytes = CAMT_053) -> bytes:
    """The sample statement's movements as a camt.054."""
    for old, new in (
        (b"camt.053.001.08", b"camt.054.001.08"),
        (b"BkToCstmrStmt", b"BkToCstmrDbtCdtNtfctn"),
        (b"<Stmt>", b"<Ntfctn>"),
        (b"</Stmt>", b"</Ntfctn>"),
    ):
        assert old in data
        data = data.replace(old, new)
    return re.sub(rb"<Bal>.*</Bal>\s*", b"", data, flags=re.DOTALL)


def payment(outgoing: bool = True) -> Payment:
    message = parse_credit_transfer((SAMPLES / "pacs.008-bank-a-to-bank-b.xml").read_bytes())
    terms = terms_of(message, message.transfers[0], Digest(bytes(32)))
    address = Address(b"\1" * 20)
    return Payment(
        payment_id=bytes(32),
        terms=terms,
        outgoing=outgoing,
        counterparty=Did.of(7317, address),
        endpoint="",
        salt=bytes(16),
        commitment=bytes(32),
        own_address=address,
        counterparty_address=address,
        state=PaymentState.ACCEPTED,
        reconciliation=ReconciliationState.UNRECONCILED,
    )


def first(message: bytes) -> Settled:
    return next(one for one in read_finality(message, OURS, ZONE) if one.uetr == FIRST)


def refusal(message: bytes, accounts: frozenset[str] = OURS) -> tuple[str, str]:
    with pytest.raises(SettlementError) as caught:
        read_finality(message, accounts, ZONE)
    return caught.value.reason, caught.value.violations[0].field


def test_a_status_report_names_payments_without_amounts() -> None:
    found = first(PACS_002)
    assert found.amount is None
    legs = [payment(), payment(outgoing=False)]
    assert found.among(legs) == legs
    assert dataclasses.replace(found, transaction_id="another").among(legs) == []


def test_a_notification_shows_every_booked_movement_with_a_uetr() -> None:
    found = read_finality(notification(), OURS, ZONE)
    assert [one.uetr[-1] for one in found] == ["1", "2", "3", "4", "5", "f"]
    assert first(notification()).amount == Money(125_000_000, "CNY")
    legs = [payment(), payment(outgoing=False)]
    assert first(notification()).among(legs) == legs[:1], "a debit is no receipt"


@pytest.mark.parametrize(("amount", "legs"), [(b">1250000.01<", 1), (b">1250000.00<", 2)])
def test_a_booking_that_fits_no_leg_or_several_settles_nothing(amount: bytes, legs: int) -> None:
    booked = first(notification(CAMT_053.replace(b">1250000.00<", amount)))
    with pytest.raises(SettlementError) as caught:
        booked.among([payment()] * legs)
    assert caught.value.reason == "COMMITMENT_MISMATCH"


def test_what_is_pending_or_reversed_settles_nothing() -> None:
    pending = re.sub(rb"<Cd>BOOK</Cd>", b"<Cd>PDNG</Cd>", notification())
    assert refusal(pending)[0] == "STATUS_NOT_FINAL"
    reversed_ = notification().replace(
        b"<CdtDbtInd>DBIT</CdtDbtInd>", b"<CdtDbtInd>DBIT</CdtDbtInd><RvslInd>true</RvslInd>"
    )
    assert refusal(reversed_)[0] == "STATUS_NOT_FINAL"


def test_other_accounts_and_other_messages_are_refused() -> None:
    assert refusal(notification(), frozenset({"OTHER"})) == (
        "ACCOUNT_NOT_OURS",
        "message/Document/BkToCstmrDbtCdtNtfctn/Ntfctn/Acct/Id",
    )
    assert refusal(CAMT_053) == ("MESSAGE_UNSUPPORTED", "message/Document")
    assert refusal(PACS_002.replace(b"ACSC", b"ACSP"))[0] == "STATUS_NOT_FINAL"
