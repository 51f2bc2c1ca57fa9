"""One run of reconciliation and its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from services.settlement.iso20022.camt import Entry, EntryDetail
from services.settlement.reconciliation import rules
from services.settlement.reconciliation.gates import Gated, ImportedStatement, breaks_of, gate
from services.settlement.reconciliation.model import (
    RULE_VERSION,
    Break,
    Category,
    LegKey,
    Match,
    OurLeg,
    Strength,
    TheirEntry,
)
from silkledger import cbor
from silkledger.values import Digest, Money


@dataclass(frozen=True, slots=True)
class Result:
    matches: tuple[Match, ...]
    breaks: tuple[Break, ...]
    results_digest: Digest
    manifest: bytes
    """Deterministic CBOR, docs/formats/reconciliation.md: who has the inputs can replay it byte for byte."""


def reconcile(legs: Sequence[OurLeg], statements: Sequence[ImportedStatement]) -> Result:
    """Match everything that can be matched. The order of the inputs changes nothing.

    Legs whose settlement date lies after the newest matched statement are not due: neither match nor break.
    """
    gated = gate(statements)
    entries = [e for item in gated if not item.faults for e in _entries(item)]
    desk = rules.Desk(
        {leg.key: leg for leg in sorted(legs, key=lambda leg: leg.key)},
        {entry.key: entry for entry in sorted(entries, key=lambda e: e.key)},
    )
    horizon = max((e.value_date for e in entries), default=None)
    for rule in (rules.by_uetr, rules.by_clearing_reference, rules.by_end_to_end):
        rule(desk)
    rules.tolerant(desk)
    rules.sums(desk)
    rules.returns(desk)
    _leftovers(desk, horizon)
    breaks = sorted((*desk.breaks, *breaks_of(gated)), key=lambda b: b.break_id)
    matches = sorted(desk.matches, key=lambda m: (m.leg, m.entry_key, m.rule))
    return _result(tuple(matches), tuple(breaks), legs, statements)


def _leftovers(desk: rules.Desk, horizon: date | None) -> None:
    hints: dict[LegKey | str, str] = {}
    for match in desk.matches:
        if match.strength is Strength.SUGGESTED:
            hints[match.leg] = f" Suggested: {match.entry_reference} ({match.rule})."
            hints[match.entry_key] = f" Suggested: payment {match.leg.uetr} ({match.rule})."
    for leg in list(desk.legs.values()):
        if horizon is not None and leg.settlement_date <= horizon:
            why = (
                f"Our payment {leg.key.uetr} of {leg.amount}, due {leg.settlement_date}, is on no statement."
            )
            desk.raise_break(Category.MISSING_THEIRS, leg, None, why + hints.get(leg.key, ""))
    for entry in list(desk.entries.values()):
        side = "credit" if entry.credit else "debit"
        named = f" with UETR {entry.uetr}" if entry.uetr else ""
        why = f"The statement's {side} {entry.reference} of {entry.amount}{named} is no payment that we know."
        desk.raise_break(Category.MISSING_OURS, None, entry, why + hints.get(entry.key, ""))


def _entries(item: Gated) -> list[TheirEntry]:
    found = []
    for number, entry in enumerate(item.statement.entries):
        if not entry.booked:
            continue
        for part, detail in enumerate(entry.details):
            found.append(_entry(item, entry, detail, f"{item.name}/{number}/{part}", part))
    return found


def _entry(item: Gated, entry: Entry, detail: EntryDetail, key: str, part: int) -> TheirEntry:
    closing = item.statement.balance("CLBD", "ITBD")
    on = entry.value_date or entry.booking_date or (closing.on if closing else None)
    assert on is not None, "a statement without closing balance is in quarantine"
    several = len(entry.details) > 1
    return TheirEntry(
        key=key,
        reference=f"{entry.reference}/{part + 1}" if several else entry.reference,
        account=item.statement.account,
        uetr=detail.uetr,
        end_to_end_id=detail.end_to_end_id,
        transaction_id=detail.transaction_id,
        clearing_reference=detail.clearing_reference,
        instructing_bic=detail.instructing.bic,
        debtor_bic=detail.debtor_agent.bic,
        creditor_bic=detail.creditor_agent.bic,
        amount=detail.amount,
        credit=detail.credit,
        returned=detail.returned or entry.reversal,
        value_date=on,
        charges_minor=detail.charges_minor,
    )


def _amount(money: Money | None) -> list[object]:
    return [money.amount_minor, money.currency] if money else []


def _leg_key(key: LegKey | None) -> list[object]:
    return [key.uetr, key.role, key.hop] if key else []


def _result(
    matches: tuple[Match, ...],
    breaks: tuple[Break, ...],
    legs: Sequence[OurLeg],
    statements: Sequence[ImportedStatement],
) -> Result:
    told: list[object] = [
        [[_leg_key(m.leg), m.entry_key, m.rule, str(m.strength)] for m in matches],
        [
            [b.break_id, str(b.category), _leg_key(b.leg), b.entry_key, _amount(b.ours), _amount(b.theirs)]
            for b in breaks
        ],
    ]
    digest = Digest(hashlib.sha256(cbor.encode(told)).digest())
    manifest: dict[object, object] = {
        1: RULE_VERSION,
        2: sorted({bytes(s.digest) for s in statements}),
        3: bytes(legs_digest(legs)),
        4: {
            "legs": len(legs),
            "statements": len(statements),
            "confirmed": sum(m.strength is Strength.CONFIRMED for m in matches),
            "suggested": sum(m.strength is Strength.SUGGESTED for m in matches),
            "breaks": len(breaks),
        },
        5: bytes(digest),
    }
    return Result(matches, breaks, digest, cbor.encode(manifest))


def legs_digest(legs: Sequence[OurLeg]) -> Digest:
    """SHA-256 over all that the rules read of our legs, in order of their keys."""
    told: list[object] = [
        [
            _leg_key(leg.key),
            [leg.end_to_end_id, leg.transaction_id, leg.clearing_reference],
            [leg.instructing_bic, leg.debtor_bic, leg.creditor_bic],
            _amount(leg.amount),
            leg.outgoing,
            leg.settlement_date.isoformat(),
            leg.charges_minor,
        ]
        for leg in sorted(legs, key=lambda leg: leg.key)
    ]
    return Digest(hashlib.sha256(cbor.encode(told)).digest())
