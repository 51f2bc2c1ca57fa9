"""Each rule with the case that it decides and the one that it must not."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest

from services.settlement.iso20022.camt import Balance, Entry, EntryDetail, Statement
from services.settlement.iso20022.fields import Agent
from services.settlement.reconciliation.gates import ImportedStatement, gate
from services.settlement.reconciliation.model import LegKey, OurLeg, Strength
from services.settlement.reconciliation.rules import MAX_MANY_GROUP, MAX_SUM_GROUP, MAX_SUM_PARTS
from services.settlement.reconciliation.run import Result, reconcile
from silkledger.values import Money

DAY = date(2026, 11, 20)


def u(number: int) -> str:
    return f"5a3b1e00-0000-4000-8000-{number:012x}"


U1, U2, U3 = u(10), u(11), u(12)


def leg(uetr: str = U1, minor: int = 1000, **change: Any) -> OurLeg:
    base = OurLeg(
        key=LegKey(uetr, 1, 0),
        end_to_end_id="E2E",
        transaction_id="TX",
        clearing_reference="",
        instructing_bic="SMPACNB0XXX",
        debtor_bic="SMPACNB0XXX",
        creditor_bic="SMPBTHB0XXX",
        amount=Money(minor, "CNY"),
        outgoing=True,
        settlement_date=DAY,
    )
    return dataclasses.replace(base, **change)


def detail(minor: int = 1000, **change: Any) -> EntryDetail:
    base = EntryDetail("", "", "", "", "", Money(minor, "CNY"), False, 0, Agent(), Agent(), Agent(), False)
    return dataclasses.replace(base, **change)


def statement(
    *details: EntryDetail, number: int | None = 1, on: date = DAY, **change: Any
) -> ImportedStatement:
    entries = tuple(
        Entry(f"N{i}", d.amount, d.credit, False, True, on, on, (d,), f"/{i}")
        for i, d in enumerate(details, 1)
    )
    total = sum(e.signed_minor for e in entries)
    balances = (Balance("OPBD", 10_000, "CNY", on), Balance("CLBD", 10_000 + total, "CNY", on))
    base = Statement(f"S{number}", number, None, True, "ACCOUNT", "CNY", balances, entries, "/S")
    return ImportedStatement(bytes([number or 0]) * 32, dataclasses.replace(base, **change))


def told(result: Result) -> tuple[list[tuple[str, str]], list[str]]:
    matches = sorted((m.rule, str(m.strength)) for m in result.matches)
    return matches, sorted(str(b.category) for b in result.breaks)


CASES: dict[str, tuple[list[OurLeg], list[EntryDetail], list[tuple[str, str]], list[str]]] = {
    "R1 exact": ([leg()], [detail(uetr=U1)], [("R1", "confirmed")], []),
    "R1 twice on the statement": ([leg()], [detail(uetr=U1)] * 2, [], ["DUPLICATE", "DUPLICATE"]),
    "R1 other direction": ([leg()], [detail(uetr=U1, credit=True)], [], ["DIRECTION"]),
    "R1 other currency": (
        [leg()],
        [detail(uetr=U1), detail(uetr=U2, amount=Money(5, "CNY"))],
        [("R1", "confirmed")],
        ["MISSING_OURS"],
    ),
    "R2 our charges explain": ([leg(charges_minor=30)], [detail(970, uetr=U1)], [("R2", "confirmed")], []),
    "R2 their charges explain": (
        [leg()],
        [detail(970, uetr=U1, charges_minor=30)],
        [("R2", "confirmed")],
        [],
    ),
    "R2 nothing explains": ([leg(charges_minor=29)], [detail(970, uetr=U1)], [], ["AMOUNT"]),
    "R3 vetoes a clearing reference": (
        [leg(clearing_reference="C1")],
        [detail(uetr=U2, clearing_reference="C1")],
        [],
        ["MISSING_OURS", "MISSING_THEIRS"],
    ),
    "R3 vetoes an amount": ([leg()], [detail(uetr=U2)], [], ["MISSING_OURS", "MISSING_THEIRS"]),
    "R4 another agent": (
        [leg(end_to_end_id="")],
        [detail(transaction_id="TX", instructing=Agent(bic="SMPXCNB0"))],
        [("R6", "suggested")],
        ["MISSING_OURS", "MISSING_THEIRS"],
    ),
    "R6 another amount": ([leg()], [detail(999)], [], ["MISSING_OURS", "MISSING_THEIRS"]),
    "R2 charges of another sum": ([leg(charges_minor=31)], [detail(970, uetr=U1)], [], ["AMOUNT"]),
    "R2 charges on both sides are not added": (
        [leg(charges_minor=10)],
        [detail(970, uetr=U1, charges_minor=20)],
        [],
        ["AMOUNT"],
    ),
    "R3 veto": (
        [leg()],
        [detail(uetr=U2, end_to_end_id="E2E")],
        [],
        ["MISSING_OURS", "MISSING_THEIRS"],
    ),
    "R4 clearing reference": (
        [leg(clearing_reference="C1")],
        [detail(clearing_reference="C1")],
        [("R4", "confirmed")],
        [],
    ),
    "R4 transaction id and agent": (
        [leg()],
        [detail(transaction_id="TX", instructing=Agent(bic="SMPACNB0"))],
        [("R4", "confirmed")],
        [],
    ),
    "R4 amount differs": (
        [leg(clearing_reference="C1")],
        [detail(999, clearing_reference="C1")],
        [],
        ["AMOUNT"],
    ),
    "R5 end-to-end id": ([leg()], [detail(end_to_end_id="E2E")], [("R5", "confirmed")], []),
    "R5 other agent": (
        [leg()],
        [detail(end_to_end_id="E2E", debtor_agent=Agent(bic="SMPXCNB0"))],
        [("R6", "suggested")],
        ["MISSING_OURS", "MISSING_THEIRS"],
    ),
    "R5 ambiguous": (
        [leg()],
        [detail(end_to_end_id="E2E")] * 2,
        [("R5", "suggested"), ("R5", "suggested")],
        ["MISSING_OURS", "MISSING_OURS", "MISSING_THEIRS"],
    ),
    "R5 not provided": (
        [leg(end_to_end_id="NOTPROVIDED")],
        [detail(end_to_end_id="NOTPROVIDED")],
        [("R6", "suggested")],
        ["MISSING_OURS", "MISSING_THEIRS"],
    ),
    "R7 one entry for two legs": (
        [leg(), leg(U2, 500)],
        [detail(1500)],
        [("R7", "suggested"), ("R7", "suggested")],
        ["MISSING_OURS", "MISSING_THEIRS", "MISSING_THEIRS"],
    ),
    "R7 the reverse": (
        [leg(minor=1500)],
        [detail(900), detail(600)],
        [("R7", "suggested"), ("R7", "suggested")],
        ["MISSING_OURS", "MISSING_OURS", "MISSING_THEIRS"],
    ),
    "R7 two sums fit": (
        [leg(), leg(U2, 500), leg(U3, 1000)],
        [detail(1500)],
        [],
        ["MISSING_OURS", *["MISSING_THEIRS"] * 3],
    ),
    "R7 another direction": (
        [leg(), leg(U2, 500)],
        [detail(1500, credit=True)],
        [],
        ["MISSING_OURS", "MISSING_THEIRS", "MISSING_THEIRS"],
    ),
    "R7 a UETR of its own": (
        [leg(), leg(U2, 500)],
        [detail(1500, uetr=U3)],
        [],
        ["MISSING_OURS", "MISSING_THEIRS", "MISSING_THEIRS"],
    ),
    "R7 two entries for two legs": (
        [leg(), leg(U2, 500)],
        [detail(900), detail(600)],
        [("R7", "suggested")] * 4,
        ["MISSING_OURS", "MISSING_OURS", "MISSING_THEIRS", "MISSING_THEIRS"],
    ),
    "R7 two pairs of sums fit": (
        [leg(), leg(U2, 500)],
        [detail(900), detail(600), detail(800), detail(700)],
        [],
        [*["MISSING_OURS"] * 4, "MISSING_THEIRS", "MISSING_THEIRS"],
    ),
    "R7 more parts than allowed": (
        [leg(u(n), 1000 + n) for n in range(MAX_SUM_PARTS + 1)],
        [detail(sum(1000 + n for n in range(MAX_SUM_PARTS + 1)))],
        [],
        ["MISSING_OURS", *["MISSING_THEIRS"] * (MAX_SUM_PARTS + 1)],
    ),
    "R7 more members than allowed": (
        [leg(u(n), 1 << n) for n in range(MAX_SUM_GROUP + 1)],
        [detail(3)],
        [],
        ["MISSING_OURS", *["MISSING_THEIRS"] * (MAX_SUM_GROUP + 1)],
    ),
    "R7 many to many, more members than allowed": (
        [leg(u(n), 100 << n) for n in range(MAX_MANY_GROUP + 1)],
        [detail(150), detail(150)],
        [],
        ["MISSING_OURS", "MISSING_OURS", *["MISSING_THEIRS"] * (MAX_MANY_GROUP + 1)],
    ),
    "R7 many to many, as many as allowed": (
        [leg(u(n), 100 << n) for n in range(MAX_MANY_GROUP)],
        [detail(150), detail(150)],
        [("R7", "suggested")] * 4,
        ["MISSING_OURS", "MISSING_OURS", *["MISSING_THEIRS"] * MAX_MANY_GROUP],
    ),
    "R8 a return": (
        [leg()],
        [detail(uetr=U1), detail(uetr=U1, credit=True, returned=True)],
        [("R1", "confirmed"), ("R8", "confirmed")],
        [],
    ),
    "R8 a return that is booked twice": (
        [leg()],
        [detail(uetr=U1), *[detail(uetr=U1, credit=True, returned=True)] * 2],
        [("R1", "confirmed"), ("R8", "confirmed")],
        ["DUPLICATE"],
    ),
    "R8 a return without the payment": (
        [leg()],
        [detail(uetr=U1, credit=True, returned=True)],
        [],
        ["MISSING_THEIRS", "REFERENCE"],
    ),
    "R8 a return in the payment's own direction": (
        [leg()],
        [detail(uetr=U1), detail(uetr=U1, returned=True)],
        [("R1", "confirmed")],
        ["MISSING_OURS"],
    ),
    "R8 a return of another amount": (
        [leg()],
        [detail(uetr=U1), detail(900, uetr=U1, credit=True, returned=True)],
        [("R1", "confirmed")],
        ["AMOUNT"],
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_rule_decides_this_and_not_that(name: str) -> None:
    legs, details, matches, breaks = CASES[name]
    assert told(reconcile(legs, [statement(*details)])) == (matches, breaks)


def test_a_late_value_date_is_a_match_with_a_break() -> None:
    late = date(2026, 11, 23)
    assert told(reconcile([leg()], [statement(detail(uetr=U1), on=late)])) == (
        [("R1", "confirmed")],
        ["VALUE_DATE"],
    )


def test_a_leg_that_is_not_due_is_no_break() -> None:
    later = leg(settlement_date=date(2026, 11, 24))
    assert told(reconcile([later], [statement(detail(uetr=U2))])) == ([], ["MISSING_OURS"])


def test_a_timing_break_closes_when_the_statement_arrives() -> None:
    first = statement(detail(uetr=U2))
    before = reconcile([leg(), leg(U2)], [first])
    assert told(before)[1] == ["MISSING_THEIRS"]
    second = statement(
        detail(uetr=U1),
        number=2,
        balances=(
            Balance("OPBD", 9_000, "CNY", DAY),
            Balance("CLBD", 8_000, "CNY", DAY),
        ),
    )
    assert told(reconcile([leg(), leg(U2)], [first, second]))[1] == []


def test_a_gap_is_quarantined_until_the_missing_file_arrives() -> None:
    def numbered(number: int) -> ImportedStatement:
        balances = tuple(Balance(c, 10_000, "CNY", DAY) for c in ("OPBD", "CLBD"))
        return statement(number=number, balances=balances)

    assert [bool(g.faults) for g in gate([numbered(1), numbered(3)])] == [False, True]
    assert [bool(g.faults) for g in gate([numbered(3), numbered(2), numbered(1)])] == [False, False, False]


def test_one_bad_statement_does_not_stop_the_desk() -> None:
    bad = statement(
        detail(uetr=U2),
        number=2,
        balances=(
            Balance("OPBD", 9_000, "CNY", DAY),
            Balance("CLBD", 9_000, "CNY", DAY),
        ),
    )
    result = reconcile([leg()], [statement(detail(uetr=U1)), bad])
    assert told(result) == ([("R1", "confirmed")], ["BALANCE"])
    assert result.matches[0].strength is Strength.CONFIRMED
