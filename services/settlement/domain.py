"""Payments: identity, terms, commitments and the state machine. Pure.

Three axes that are never merged: `PaymentState` here, `ReconciliationState` from the reconciliation, and the
evidence stage from the chain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.settlement.iso20022.pacs import CreditTransfer, CreditTransferMessage
from services.settlement.reconciliation.model import LegKey, OurLeg
from silkledger import cbor
from silkledger.keys import KeyShapeError
from silkledger.keys.account import Account
from silkledger.values import Address, Did, Digest, Money

SALT_SIZE: Final = 16
"""Bytes of the salt in payment id and commitments: 128 bits, so that nothing on chain can be guessed."""


class PaymentState(IntEnum):
    """The payment axis; numbers of the wire contract, ISO status codes beneath."""

    RECEIVED = 1
    """RCVD"""
    VALIDATED = 2
    """ACTC"""
    ACCEPTED = 3
    """ACSP: the creditor's bank said so."""
    SETTLEMENT_REPORTED = 6
    """A bank says that the money moved. Information, not finality."""
    SETTLED = 7
    """ACSC, said by the settlement institution. Final."""
    REJECTED = 9
    """RJCT"""
    EXPIRED = 13
    """Nobody accepted it on chain in time, so nothing counts that was said about it. The chain says so."""


class ReconciliationState(IntEnum):
    """The reconciliation axis; numbers of the wire contract."""

    UNRECONCILED = 1
    RECONCILED = 3
    BREAK = 5


class LegRole(IntEnum):
    """Numbers of the wire contract."""

    CUSTOMER = 1
    COVER = 2
    INSTITUTION = 3


class Market(IntEnum):
    ONSHORE = 1
    OFFSHORE = 2


class ChainState(IntEnum):
    """States and entries of SettlementLedger's `PaymentStateChanged`."""

    OPEN = 1
    ACCEPTED = 2
    REPORTED = 3
    SETTLED = 4
    REJECTED = 6
    CANCELLED = 7
    EXPIRED = 8
    CONFIRMED = 13


CAN_EXPIRE: Final = frozenset(
    {PaymentState.VALIDATED, PaymentState.ACCEPTED, PaymentState.SETTLEMENT_REPORTED}
)
"""An acceptance that did not reach the chain in time is none: the payment expires all the same."""

_NEXT: Final = {
    PaymentState.VALIDATED: {PaymentState.ACCEPTED, PaymentState.REJECTED, PaymentState.EXPIRED},
    PaymentState.ACCEPTED: {
        PaymentState.SETTLEMENT_REPORTED,
        PaymentState.SETTLED,
        PaymentState.EXPIRED,
    },
    PaymentState.SETTLEMENT_REPORTED: {PaymentState.SETTLED, PaymentState.EXPIRED},
}

EVIDENCED_BY: Final = {
    PaymentState.VALIDATED: {ChainState.OPEN},
    PaymentState.ACCEPTED: {ChainState.ACCEPTED},
    PaymentState.SETTLEMENT_REPORTED: {ChainState.REPORTED},
    PaymentState.SETTLED: {ChainState.SETTLED, ChainState.CONFIRMED},
    PaymentState.REJECTED: {ChainState.REJECTED},
    PaymentState.EXPIRED: {ChainState.EXPIRED},
}
"""Which entry on chain is evidence for which state."""


class TransitionRefused(ValueError):
    """The payment cannot go there, or this party cannot say so."""

    def __init__(self, state: PaymentState, to: PaymentState, why: str) -> None:
        super().__init__(f"{state.name} to {to.name}: {why}")
        self.state = state
        self.to = to


class Party(IntEnum):
    """Who speaks about a payment."""

    DEBTOR_BANK = 1
    CREDITOR_BANK = 2
    INSTITUTION = 3
    CHAIN = 4
    """The contract, in a final block."""


_MAY_SAY: Final = {
    PaymentState.ACCEPTED: {Party.CREDITOR_BANK},
    PaymentState.REJECTED: {Party.CREDITOR_BANK},
    PaymentState.SETTLEMENT_REPORTED: {Party.DEBTOR_BANK, Party.CREDITOR_BANK},
    PaymentState.SETTLED: {Party.INSTITUTION},
    PaymentState.EXPIRED: {Party.CHAIN},
}


def check_transition(state: PaymentState, to: PaymentState, by: Party) -> None:
    """Whether `by` may move a payment from `state` to `to`.

    Raises:
        TransitionRefused.
    """
    if by not in _MAY_SAY.get(to, set()):
        raise TransitionRefused(state, to, f"the {by.name.lower().replace('_', ' ')} cannot say so")
    if to not in _NEXT.get(state, set()):
        raise TransitionRefused(state, to, "is not a step of the payment")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the two banks commit to. Every field is in the commitment."""

    leg: LegKey
    end_to_end_id: str
    transaction_id: str
    clearing_reference: str
    instructing_bic: str
    instructed_bic: str
    debtor_bic: str
    creditor_bic: str
    amount: Money
    market: Market
    settlement_date: date
    charges_minor: int
    message_digest: Digest

    def commitment(self, salt: bytes) -> bytes:
        """SHA-256 of the deterministic CBOR of the terms with the salt (docs/formats/settlement.md)."""
        told: list[cbor.CborValue] = [
            "silkledger/terms/v1",
            salt,
            [self.leg.uetr, self.leg.role, self.leg.hop],
            [self.end_to_end_id, self.transaction_id, self.clearing_reference],
            [self.instructing_bic, self.instructed_bic, self.debtor_bic, self.creditor_bic],
            [self.amount.amount_minor, self.amount.currency, int(self.market)],
            self.settlement_date.isoformat(),
            self.charges_minor,
            bytes(self.message_digest),
        ]
        return hashlib.sha256(cbor.encode(told)).digest()


@dataclass(frozen=True, slots=True)
class Payment:
    """One leg as this bank has it."""

    payment_id: bytes
    terms: Terms
    outgoing: bool
    counterparty: Did
    endpoint: str
    salt: bytes
    commitment: bytes
    own_address: Address
    counterparty_address: Address | None
    """None until the counterparty has acknowledged."""
    state: PaymentState
    reconciliation: ReconciliationState
    reason_code: str = ""


def payment_id(leg: LegKey, salt: bytes) -> bytes:
    """Key of the payment on chain: SHA-256("silkledger/payment/v1" ‖ salt ‖ CBOR([uetr, role, hop]))."""
    named = cbor.encode([leg.uetr, leg.role, leg.hop])
    return hashlib.sha256(b"silkledger/payment/v1" + salt + named).digest()


def salted(purpose: str, salt: bytes, content: bytes) -> bytes:
    """What an act on chain carries: SHA-256("silkledger/<purpose>/v1" ‖ salt ‖ content)."""
    return hashlib.sha256(f"silkledger/{purpose}/v1".encode() + salt + content).digest()


def terms_of(message: CreditTransferMessage, transfer: CreditTransfer, digest: Digest) -> Terms:
    """The terms of one transaction of a message whose bytes have this digest."""
    institution = LegRole.COVER if transfer.cover else LegRole.INSTITUTION
    role = LegRole.CUSTOMER if message.customer else institution
    charges = [
        c.amount.amount_minor for c in transfer.charges if c.amount.currency == transfer.amount.currency
    ]
    return Terms(
        leg=LegKey(transfer.uetr, int(role), transfer.hop),
        end_to_end_id=transfer.end_to_end_id,
        transaction_id=transfer.transaction_id,
        clearing_reference=transfer.clearing_reference,
        instructing_bic=transfer.instructing.bic,
        instructed_bic=transfer.instructed.bic,
        debtor_bic=transfer.debtor_agent.bic,
        creditor_bic=transfer.creditor_agent.bic,
        amount=transfer.amount,
        market=market_of(message.clearing_system, transfer),
        settlement_date=transfer.settlement_date,
        charges_minor=sum(charges),
        message_digest=digest,
    )


def market_of(clearing_system: str, transfer: CreditTransfer) -> Market:
    """RMB CHATS is offshore, CIPS onshore; where none is named, two banks outside CN make it offshore."""
    if clearing_system == "HKL":
        return Market.OFFSHORE
    countries = {transfer.instructing.bic[4:6], transfer.instructed.bic[4:6]}
    return Market.ONSHORE if clearing_system == "CIP" or "CN" in countries else Market.OFFSHORE


def one_time_account(seed: bytes, payment: bytes) -> Account:
    """This bank's account for one payment: HKDF-SHA256 (RFC 5869) of the seed; next counter if out of range.

    Who has no seed cannot link two such addresses, nor one to the bank.
    """
    for counter in range(256):
        derive = HKDF(
            algorithm=hashes.SHA256(),
            length=32,
            salt=b"silkledger/one-time/v1",
            info=payment + bytes([counter]),
        )
        try:
            return Account.from_secret(derive.derive(seed))
        except KeyShapeError:
            continue
    raise ArithmeticError("256 keys out of range: the seed is no seed")


def our_leg(payment: Payment) -> OurLeg:
    """The payment as the reconciliation rules read it."""
    terms = payment.terms
    return OurLeg(
        key=terms.leg,
        end_to_end_id=terms.end_to_end_id,
        transaction_id=terms.transaction_id,
        clearing_reference=terms.clearing_reference,
        instructing_bic=terms.instructing_bic,
        debtor_bic=terms.debtor_bic,
        creditor_bic=terms.creditor_bic,
        amount=terms.amount,
        outgoing=payment.outgoing,
        settlement_date=terms.settlement_date,
        charges_minor=terms.charges_minor,
    )
