"""R0: which statements may be matched. What is faulty is kept, shown, and matched once the fault is gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.settlement.iso20022.camt import Statement
from services.settlement.reconciliation.model import Break, Category


@dataclass(frozen=True, slots=True)
class ImportedStatement:
    """A statement with the digest of the file that it came in."""

    digest: bytes
    statement: Statement


@dataclass(frozen=True, slots=True)
class Gated:
    """A statement (its pages joined) after R0. `faults` empty: it may be matched."""

    digests: tuple[bytes, ...]
    statement: Statement
    faults: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.statement.account}/{self.statement.statement_id}"


def gate(statements: Sequence[ImportedStatement]) -> list[Gated]:
    """All statements, pages joined, in order of account, sequence and name, with what is wrong with each.

    1. pages complete; 2. opening balance + booked entries = closing balance; 3. `ElctrncSeqNb` without gap or
    repetition (where given); 4. this opening balance = the closing balance before it.
    """
    joined = _join_pages(statements)
    before: dict[str, Gated] = {}
    result = []
    for item in joined:
        faults = list(item.faults) + _balance_faults(item.statement)  # (1) (2)
        previous = before.get(item.statement.account)
        if previous is not None:
            faults += _sequence_faults(previous.statement, item.statement)  # (3) (4)
        gated = replace(item, faults=tuple(faults))
        before[item.statement.account] = gated
        result.append(gated)
    return result


def breaks_of(gated: Sequence[Gated]) -> list[Break]:
    """One BALANCE or SEQUENCE_GAP break per fault of a quarantined statement."""
    found = []
    for item in gated:
        for fault in item.faults:
            category = Category.BALANCE if fault.startswith("BALANCE") else Category.SEQUENCE_GAP
            closing = item.statement.balance("CLBD", "ITBD")
            since = closing.on if closing else max(b.on for b in item.statement.balances)
            sentence = f"Statement {item.name} is in quarantine: {fault}."
            key = f"{item.name}#{fault.partition(':')[0]}"
            found.append(Break(category, None, key, item.statement.statement_id, None, None, sentence, since))
    return found


def _join_pages(statements: Sequence[ImportedStatement]) -> list[Gated]:
    groups: dict[tuple[str, int, str], list[ImportedStatement]] = defaultdict(list)
    for item in sorted(statements, key=lambda s: (s.statement.page or 0, s.digest)):
        one = item.statement
        groups[(one.account, one.sequence if one.sequence is not None else -1, one.statement_id)].append(item)
    joined = []
    for key in sorted(groups):
        pages = groups[key]
        first, last = pages[0].statement, pages[-1].statement
        whole = replace(
            first,
            entries=tuple(e for page in pages for e in page.statement.entries),
            balances=tuple(b for page in pages for b in page.statement.balances),
        )
        faults: list[str] = []
        numbers = [page.statement.page for page in pages]
        if first.page is None and len(pages) > 1:
            faults.append(f"SEQUENCE: {len(pages)} different files carry this statement id")
        if first.page is not None and (numbers != list(range(1, len(pages) + 1)) or not last.last_page):
            faults.append(f"SEQUENCE: pages {numbers} are not all of them")
        joined.append(Gated(tuple(page.digest for page in pages), whole, tuple(faults)))
    return joined


def _balance_faults(statement: Statement) -> list[str]:
    opening, closing = statement.balance("OPBD", "PRCD", "ITBD"), statement.balance("CLBD", "ITBD")
    if opening is None or closing is None:
        return ["BALANCE: it names no opening or no closing booked balance"]
    booked = [entry for entry in statement.entries if entry.booked]
    if {opening.currency, closing.currency, *(entry.amount.currency for entry in booked)} != {
        opening.currency
    }:
        return ["BALANCE: entries and balances are in different currencies"]
    total = opening.signed_minor + sum(entry.signed_minor for entry in booked)
    if total != closing.signed_minor:
        off = closing.signed_minor - total
        return [f"BALANCE: opening balance and entries are {off} minor units away from the closing balance"]
    return [
        f"BALANCE: the details of entry {entry.reference} do not sum to it"
        for entry in booked
        if sum(d.amount.amount_minor if d.credit else -d.amount.amount_minor for d in entry.details)
        != entry.signed_minor
    ]


def _sequence_faults(previous: Statement, this: Statement) -> list[str]:
    faults = []
    if previous.sequence is not None and this.sequence is not None and this.sequence != previous.sequence + 1:
        faults.append(f"SEQUENCE: number {this.sequence} follows {previous.sequence}")
    closing, opening = previous.balance("CLBD"), this.balance("OPBD", "PRCD")
    if closing and opening and closing.signed_minor != opening.signed_minor and not faults:
        faults.append("BALANCE: its opening balance is not the closing balance of the statement before it")
    return faults
