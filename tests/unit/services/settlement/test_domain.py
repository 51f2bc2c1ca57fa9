"""Payments: who may say what, commitments, one-time keys."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from services.settlement.domain import (
    Market,
    Party,
    PaymentState,
    TransitionRefused,
    check_transition,
    market_of,
    one_time_account,
    payment_id,
    terms_of,
)
from services.settlement.iso20022.pacs import parse_credit_transfer
from services.settlement.reconciliation.model import LegKey
from silkledger.values import Digest, Money
from tests.unit.services.settlement.test_sample_reconciliation import SAMPLES

S, P = PaymentState, Party
ALLOWED = {
    (S.VALIDATED, S.ACCEPTED, P.CREDITOR_BANK),
    (S.VALIDATED, S.REJECTED, P.CREDITOR_BANK),
    (S.ACCEPTED, S.SETTLEMENT_REPORTED, P.CREDITOR_BANK),
    (S.ACCEPTED, S.SETTLEMENT_REPORTED, P.DEBTOR_BANK),
    (S.ACCEPTED, S.SETTLED, P.INSTITUTION),
    (S.SETTLEMENT_REPORTED, S.SETTLED, P.INSTITUTION),
    (S.VALIDATED, S.EXPIRED, P.CHAIN),
    (S.ACCEPTED, S.EXPIRED, P.CHAIN),
    (S.SETTLEMENT_REPORTED, S.EXPIRED, P.CHAIN),
}


@pytest.mark.parametrize("step", list(itertools.product(S, S, P)), ids=str)
def test_exactly_these_steps_are_allowed(step: tuple[PaymentState, PaymentState, Party]) -> None:
    state, to, by = step
    if step in ALLOWED:
        check_transition(state, to, by)
    else:
        with pytest.raises(TransitionRefused):
            check_transition(state, to, by)


MESSAGE = parse_credit_transfer((SAMPLES / "pacs.008-bank-a-to-bank-b.xml").read_bytes())
TERMS = terms_of(MESSAGE, MESSAGE.transfers[0], Digest(bytes(32)))
SALT = bytes(range(16))
CHANGES = {
    "leg": LegKey(TERMS.leg.uetr, 2, 0),
    "end_to_end_id": "x",
    "transaction_id": "x",
    "clearing_reference": "x",
    "instructing_bic": "x",
    "instructed_bic": "x",
    "debtor_bic": "x",
    "creditor_bic": "x",
    "amount": Money(125_000_001, "CNY"),
    "market": Market.OFFSHORE,
    "settlement_date": TERMS.settlement_date.replace(day=21),
    "charges_minor": 1,
    "message_digest": Digest(b"\1" * 32),
}


def test_the_commitment_is_pinned() -> None:
    assert payment_id(TERMS.leg, SALT).hex() == PINNED_ID
    assert TERMS.commitment(SALT).hex() == PINNED_COMMITMENT


PINNED_ID = "15e05cc71b1eea63f6937fd02d51248bf5daacf5fbf2e74da4c1b474022d3136"
PINNED_COMMITMENT = "c5ce3f72634a699087de9b2edf2cb0fc9d43de83cb4ab90e153e5f35e5905589"


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(TERMS)])
def test_every_term_is_in_the_commitment(field: str) -> None:
    change: dict[str, Any] = {field: CHANGES[field]}
    changed = dataclasses.replace(TERMS, **change)
    assert changed.commitment(SALT) != TERMS.commitment(SALT)


def test_the_salt_is_in_id_and_commitment() -> None:
    assert TERMS.commitment(SALT) != TERMS.commitment(bytes(16))
    assert payment_id(TERMS.leg, SALT) != payment_id(TERMS.leg, bytes(16))


def test_one_time_accounts_are_repeatable_and_unlike() -> None:
    seeds, ids = (b"\1" * 32, b"\2" * 32), (b"\3" * 32, b"\4" * 32)
    addresses = {one_time_account(seed, key).address for seed in seeds for key in ids}
    assert len(addresses) == 4
    assert one_time_account(seeds[0], ids[0]).address == one_time_account(seeds[0], ids[0]).address


def test_the_market_follows_the_clearing_system() -> None:
    transfer = MESSAGE.transfers[0]
    assert market_of("CIP", transfer) is Market.ONSHORE
    assert market_of("HKL", transfer) is Market.OFFSHORE
    assert market_of("", transfer) is Market.ONSHORE
