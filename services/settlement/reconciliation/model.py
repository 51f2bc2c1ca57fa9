"""What a run takes and what it gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from silkledger import cbor
from silkledger.values import Money

RULE_VERSION: Final = "silkledger/reconciliation/2"
"""Names the rules and their order. A change of any outcome is a new version."""


class Category(StrEnum):
    """Break categories of docs/formats/reconciliation.md."""

    MISSING_THEIRS = "MISSING_THEIRS"
    MISSING_OURS = "MISSING_OURS"
    AMOUNT = "AMOUNT"
    CURRENCY_OR_MARKET = "CURRENCY_OR_MARKET"
    VALUE_DATE = "VALUE_DATE"
    DUPLICATE = "DUPLICATE"
    REFERENCE = "REFERENCE"
    DIRECTION = "DIRECTION"
    BALANCE = "BALANCE"
    SEQUENCE_GAP = "SEQUENCE_GAP"


class Strength(StrEnum):
    CONFIRMED = "confirmed"
    SUGGESTED = "suggested"


@dataclass(frozen=True, slots=True, order=True)
class LegKey:
    """Identity of a leg: a cover payment rightly shares its UETR with the payment that it covers."""

    uetr: str
    role: int
    """Number of the wire contract's LegRole."""
    hop: int


@dataclass(frozen=True, slots=True)
class OurLeg:
    """One leg as our ledger has it."""

    key: LegKey
    end_to_end_id: str
    transaction_id: str
    clearing_reference: str
    instructing_bic: str
    debtor_bic: str
    creditor_bic: str
    amount: Money
    outgoing: bool
    settlement_date: date
    charges_minor: int = 0
    """Sum of ChrgsInf in the leg's currency, minor units."""


@dataclass(frozen=True, slots=True)
class TheirEntry:
    """One transaction of a statement: one TxDtls, or an entry without any."""

    key: str
    """Unique over all statements: statement digest, entry and detail position."""
    reference: str
    """What people call it: NtryRef."""
    account: str
    uetr: str
    end_to_end_id: str
    transaction_id: str
    clearing_reference: str
    instructing_bic: str
    debtor_bic: str
    creditor_bic: str
    amount: Money
    credit: bool
    returned: bool
    value_date: date
    charges_minor: int = 0


@dataclass(frozen=True, slots=True)
class Match:
    leg: LegKey
    entry_key: str
    entry_reference: str
    rule: str
    strength: Strength
    explanation: str


@dataclass(frozen=True, slots=True)
class Break:
    category: Category
    leg: LegKey | None
    entry_key: str
    entry_reference: str
    ours: Money | None
    theirs: Money | None
    explanation: str
    since: date
    """The date from which the break ages: settlement or value date."""

    @property
    def break_id(self) -> str:
        """Stable over runs: names the fault, not the run that found it."""
        leg = [self.leg.uetr, self.leg.role, self.leg.hop] if self.leg else []
        named = cbor.encode(["silkledger/break/v1", str(self.category), leg, self.entry_key])
        return hashlib.sha256(named).hexdigest()[:32]

    @property
    def difference(self) -> Money | None:
        """Theirs less ours, where both are known and in one currency."""
        if self.ours is None or self.theirs is None or self.ours.currency != self.theirs.currency:
            return None
        return Money(self.theirs.amount_minor - self.ours.amount_minor, self.ours.currency)


def same_bic(one: str, other: str) -> bool:
    """Whether two BICs name one institution: 8 characters stand for the head office `XXX` (ISO 9362)."""
    return bool(one) and bool(other) and one.ljust(11, "X") == other.ljust(11, "X")
