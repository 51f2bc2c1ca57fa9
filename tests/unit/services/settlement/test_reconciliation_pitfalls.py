"""What real statements do: batches, reversals, pages, gaps, balances that do not add up."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from services.settlement.iso20022.camt import Balance, Entry, EntryDetail
from services.settlement.reconciliation.gates import ImportedStatement
from services.settlement.reconciliation.run import reconcile
from silkledger.values import Money
from tests.unit.services.settlement.test_reconciliation_rules import (
    DAY,
    U1,
    U2,
    U3,
    detail,
    leg,
    statement,
    told,
)


def balances(opening: int, closing: int) -> tuple[Balance, ...]:
    return Balance("OPBD", opening, "CNY", DAY), Balance("CLBD", closing, "CNY", DAY)


def entry(*details: EntryDetail, minor: int, credit: bool = False, reversal: bool = False) -> Entry:
    return Entry("N", Money(minor, "CNY"), credit, reversal, True, DAY, DAY, details, "/N")


def of(*entries: Entry, **change: Any) -> ImportedStatement:
    total = sum(e.signed_minor for e in entries)
    return statement(**({"entries": entries, "balances": balances(10_000, 10_000 + total)} | change))


def test_each_transaction_of_a_batch_entry_is_matched_by_itself() -> None:
    batch = entry(detail(uetr=U1), detail(500, uetr=U2), detail(250, uetr=U3), minor=1750)
    result = reconcile([leg(U1), leg(U2, 500), leg(U3, 250)], [of(batch)])
    assert told(result) == ([("R1", "confirmed")] * 3, [])
    assert [m.entry_reference for m in result.matches] == ["N/1", "N/2", "N/3"]


def test_a_batch_whose_transactions_do_not_sum_to_it_is_quarantined() -> None:
    batch = entry(detail(uetr=U1), detail(500, uetr=U2), minor=1501)
    assert told(reconcile([leg(U1), leg(U2, 500)], [of(batch)])) == ([], ["BALANCE"])


def test_a_reversal_undoes_its_payment_and_is_no_second_payment() -> None:
    booked = entry(detail(uetr=U1), minor=1000)
    undone = entry(detail(uetr=U1, credit=True), minor=1000, credit=True, reversal=True)
    assert told(reconcile([leg()], [of(booked, undone)])) == ([("R1", "confirmed"), ("R8", "confirmed")], [])
    plain = dataclasses.replace(undone, reversal=False)
    assert "R8" not in {m.rule for m in reconcile([leg()], [of(booked, plain)]).matches}


def pages() -> tuple[ImportedStatement, ImportedStatement]:
    def page(number: int, minor: int, uetr: str, found: tuple[Balance, ...]) -> ImportedStatement:
        made = statement(detail(minor, uetr=uetr), page=number, last_page=number == 2, balances=found)
        return dataclasses.replace(made, digest=bytes([number]) * 32)

    between = Balance("ITBD", 9_000, "CNY", DAY)
    opening, closing = balances(10_000, 8_500)
    return page(1, 1000, U1, (opening, between)), page(2, 500, U2, (between, closing))


def test_the_pages_of_a_statement_are_one_statement() -> None:
    first, second = pages()
    legs = [leg(U1), leg(U2, 500)]
    whole = reconcile(legs, [second, first])
    assert told(whole) == ([("R1", "confirmed")] * 2, [])
    assert whole.manifest == reconcile(legs, [first, second]).manifest


@pytest.mark.parametrize("there", [0, 1])
def test_a_page_alone_is_quarantined(there: int) -> None:
    matches, breaks = told(reconcile([leg(U1), leg(U2, 500)], [pages()[there]]))
    assert matches == []
    assert "SEQUENCE_GAP" in breaks
    assert not {"MISSING_OURS", "MISSING_THEIRS"} & set(breaks), "what is quarantined makes nothing due"


def test_the_missing_file_releases_what_waited_for_it() -> None:
    def numbered(number: int, uetr: str) -> ImportedStatement:
        opening = 11_000 - 1000 * number
        return statement(detail(uetr=uetr), number=number, balances=balances(opening, opening - 1000))

    legs = [leg(U1), leg(U2), leg(U3)]
    first, second, third = numbered(1, U1), numbered(2, U2), numbered(3, U3)
    matches, breaks = told(reconcile(legs, [first, third]))
    assert matches == [("R1", "confirmed")]
    assert breaks == ["MISSING_THEIRS", "MISSING_THEIRS", "SEQUENCE_GAP"]
    assert told(reconcile(legs, [third, first, second])) == ([("R1", "confirmed")] * 3, [])


def test_an_opening_balance_that_is_not_the_closing_one_before_it_is_quarantined() -> None:
    first = statement(detail(uetr=U1), balances=balances(10_000, 9_000))
    other = statement(detail(uetr=U2), number=2, balances=balances(9_001, 8_001))
    assert told(reconcile([leg(U1)], [first, other])) == ([("R1", "confirmed")], ["BALANCE"])
    right = statement(detail(uetr=U2), number=2, balances=balances(9_000, 8_000))
    assert told(reconcile([leg(U1), leg(U2)], [first, right])) == ([("R1", "confirmed")] * 2, [])


def test_pending_entries_move_no_balance_and_match_nothing() -> None:
    pending = dataclasses.replace(entry(detail(uetr=U1), minor=1000), booked=False)
    result = reconcile([leg(U1)], [of(pending, balances=balances(10_000, 10_000))])
    assert told(result) == ([], [])
