"""R1 to R8 over open legs and entries. Each rule takes what it decides out of the two pools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, TypeVar

from services.settlement.reconciliation.model import (
    Break,
    Category,
    LegKey,
    Match,
    OurLeg,
    Strength,
    TheirEntry,
    same_bic,
)

T = TypeVar("T")
K = TypeVar("K")

MAX_SUM_PARTS: Final = 6
"""R7: at most so many parts of one sum."""
MAX_SUM_GROUP: Final = 16
"""R7: groups with more members are left to people."""
MAX_MANY_PARTS: Final = 3
"""R7, many to many: at most so many on either side."""
MAX_MANY_GROUP: Final = 8
"""R7, many to many: groups with more members on either side are left to people."""
DATE_TOLERANCE_DAYS: Final = 3
"""R6: value dates further apart are not suggested."""
NOT_PROVIDED: Final = "NOTPROVIDED"


@dataclass(slots=True)
class Desk:
    """The state of a run: what is open, what was decided."""

    legs: dict[LegKey, OurLeg]
    entries: dict[str, TheirEntry]
    matches: list[Match] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    confirmed: dict[LegKey, OurLeg] = field(default_factory=dict)
    returned: dict[LegKey, TheirEntry] = field(default_factory=dict)

    def confirm(self, leg: OurLeg, entry: TheirEntry, rule: str, why: str) -> None:
        self.matches.append(Match(leg.key, entry.key, entry.reference, rule, Strength.CONFIRMED, why))
        self.confirmed[leg.key] = leg
        self.legs.pop(leg.key, None)
        del self.entries[entry.key]
        if entry.value_date != leg.settlement_date and rule != "R8":
            late = (
                f"Settlement was due {leg.settlement_date}; {entry.reference} is valued {entry.value_date}."
            )
            self.raise_break(Category.VALUE_DATE, leg, entry, late)

    def suggest(self, leg: OurLeg, entry: TheirEntry, rule: str, why: str) -> None:
        self.matches.append(Match(leg.key, entry.key, entry.reference, rule, Strength.SUGGESTED, why))

    def raise_break(self, category: Category, leg: OurLeg | None, entry: TheirEntry | None, why: str) -> None:
        since = leg.settlement_date if leg else entry.value_date if entry else None
        assert since is not None, "a break is about a leg or an entry"
        self.breaks.append(
            Break(
                category=category,
                leg=leg.key if leg else None,
                entry_key=entry.key if entry else "",
                entry_reference=entry.reference if entry else "",
                ours=leg.amount if leg else None,
                theirs=entry.amount if entry else None,
                explanation=why,
                since=since,
            )
        )

    def close(self, leg: OurLeg | None, entry: TheirEntry | None) -> None:
        """Take both out of the pools: a break tells their story."""
        if leg:
            self.legs.pop(leg.key, None)
        if entry:
            self.entries.pop(entry.key, None)


def directions_agree(leg: OurLeg, entry: TheirEntry) -> bool:
    return leg.outgoing != entry.credit


def veto(leg: OurLeg, entry: TheirEntry) -> bool:
    """R3: both carry a UETR, and not the same: no weaker rule may pair them."""
    return bool(entry.uetr) and entry.uetr != leg.key.uetr


def by_uetr(desk: Desk) -> None:
    """R1 exact, R2 up to charges; otherwise the break that says what differs."""
    legs, entries = _group(desk.legs.values(), lambda leg: leg.key.uetr), _open_by_uetr(desk)
    for uetr in sorted(entries):
        candidates = legs.get(uetr, [])
        for leg in candidates:
            exact = [e for e in entries[uetr] if _exact(leg, e)]
            rivals = [
                other for other in candidates if other is not leg and any(_exact(other, e) for e in exact)
            ]
            if len(exact) == 1 and not rivals:
                why = f"UETR {uetr}, direction and amount {leg.amount} agree with {exact[0].reference}."
                desk.confirm(leg, exact[0], "R1", why)
            elif len(exact) > 1 and not rivals:
                _duplicates(desk, leg, exact)
        remaining = [e for e in entries[uetr] if e.key in desk.entries]
        open_legs = [leg for leg in candidates if leg.key in desk.legs]
        if len(remaining) == 1 and len(open_legs) == 1:
            _nearly(desk, open_legs[0], remaining[0])
        elif remaining and open_legs:
            _ambiguous(desk, open_legs, remaining)


def by_clearing_reference(desk: Desk) -> None:
    """R4: the clearing system's reference, or transaction id and instructing agent."""

    def same(leg: OurLeg, entry: TheirEntry) -> bool:
        if leg.clearing_reference and leg.clearing_reference == entry.clearing_reference:
            return True
        same_agent = same_bic(leg.instructing_bic, entry.instructing_bic)
        return bool(leg.transaction_id) and leg.transaction_id == entry.transaction_id and same_agent

    for leg, entry in _unique_pairs(desk, same):
        if _exact(leg, entry):
            why = f"The clearing reference of {entry.reference} and the amount {leg.amount} agree."
            desk.confirm(leg, entry, "R4", why)
        else:
            _nearly(desk, leg, entry, reference="clearing reference", rule="R4")


def by_end_to_end(desk: Desk) -> None:
    """R5: end-to-end id, amount and agents; confirmed if unique, else suggested."""

    def same(leg: OurLeg, entry: TheirEntry) -> bool:
        if leg.end_to_end_id in ("", NOT_PROVIDED) or leg.end_to_end_id != entry.end_to_end_id:
            return False
        agents = ((leg.debtor_bic, entry.debtor_bic), (leg.creditor_bic, entry.creditor_bic))
        return _exact(leg, entry) and all(not b or same_bic(a, b) for a, b in agents)

    for leg, entry in _unique_pairs(desk, same):
        why = (
            f"End-to-end id {leg.end_to_end_id}, amount {leg.amount} and agents agree with {entry.reference}."
        )
        desk.confirm(leg, entry, "R5", why)
    for leg, entry in _pairs(desk, same):
        why = f"End-to-end id {leg.end_to_end_id} and amount fit {entry.reference}, but not only that one."
        desk.suggest(leg, entry, "R5", why)


def tolerant(desk: Desk) -> None:
    """R6: same amount, date near, nothing contradicts. Only ever a suggestion."""
    suggested = {(m.leg, m.entry_key) for m in desk.matches if m.strength is Strength.SUGGESTED}
    for leg, entry in _pairs(desk, _exact):
        apart = abs((entry.value_date - leg.settlement_date).days)
        if apart <= DATE_TOLERANCE_DAYS and (leg.key, entry.key) not in suggested:
            why = f"Only the amount {leg.amount} and dates {apart} days apart speak for {entry.reference}."
            desk.suggest(leg, entry, "R6", why)


def sums(desk: Desk) -> None:
    """R7: one entry for several legs, or the reverse, within one day, direction and currency."""
    legs = _group(desk.legs.values(), lambda x: (x.settlement_date, not x.outgoing, x.amount.currency))
    silent = [e for e in desk.entries.values() if not e.uetr and not e.returned]
    entries = _group(silent, lambda e: (e.value_date, e.credit, e.amount.currency))
    for key in sorted(set(legs) & set(entries)):
        ours, theirs = legs[key], entries[key]
        if max(len(ours), len(theirs)) > MAX_SUM_GROUP:
            continue
        for entry in theirs:
            for leg in _only_sum(ours, lambda x: x.amount.amount_minor, entry.amount.amount_minor):
                desk.suggest(leg, entry, "R7", f"{entry.reference} is the only sum of payments of that day.")
        for leg in ours:
            for entry in _only_sum(theirs, lambda x: x.amount.amount_minor, leg.amount.amount_minor):
                desk.suggest(leg, entry, "R7", f"{entry.reference} is part of the only sum for the payment.")
        _many_to_many(desk, ours, theirs)


def _many_to_many(desk: Desk, legs: list[OurLeg], entries: list[TheirEntry]) -> None:
    """Several legs for several entries: the only pair of equal sums among what no suggestion explains yet."""
    suggested = [m for m in desk.matches if m.strength is Strength.SUGGESTED]
    taken: set[LegKey | str] = {m.leg for m in suggested} | {m.entry_key for m in suggested}
    ours = [leg for leg in legs if leg.key not in taken]
    theirs = [entry for entry in entries if entry.key not in taken]
    if max(len(ours), len(theirs)) > MAX_MANY_GROUP:
        return
    sums = _group(_parts(theirs), lambda parts: sum(entry.amount.amount_minor for entry in parts))
    found = [
        (legs_of_sum, parts)
        for legs_of_sum in _parts(ours)
        for parts in sums.get(sum(leg.amount.amount_minor for leg in legs_of_sum), ())
    ]
    if len(found) != 1:
        return
    names = ", ".join(entry.reference for entry in found[0][1])
    for leg in found[0][0]:
        for entry in found[0][1]:
            desk.suggest(leg, entry, "R7", f"{names} together are the only sum of payments of that day.")


def _parts(items: list[T]) -> list[tuple[T, ...]]:
    """Every combination of 2 to MAX_MANY_PARTS items."""
    return [parts for size in range(2, MAX_MANY_PARTS + 1) for parts in combinations(items, size)]


def returns(desk: Desk) -> None:
    """R8: money that came back pairs with its payment by UETR, and nets to zero.

    Only with a payment that the statements show, and once: anything else is not zero.
    """
    known = {
        leg.key.uetr: leg for leg in sorted((*desk.legs.values(), *desk.confirmed.values()), key=_leg_order)
    }
    for entry in sorted(desk.entries.values(), key=lambda e: e.key):
        leg = known.get(entry.uetr)
        if not entry.returned or leg is None or directions_agree(leg, entry):
            continue
        name, before = entry.reference, desk.returned.get(leg.key)
        if before is not None:
            why = f"{name} returns the payment that {before.reference} returned before."
            desk.raise_break(Category.DUPLICATE, leg, entry, why)
            desk.close(None, entry)
        elif leg.key not in desk.confirmed:
            why = f"{name} returns {entry.amount} of a payment whose own movement is on no statement."
            desk.raise_break(Category.REFERENCE, leg, entry, why)
            desk.close(None, entry)
        elif leg.amount == entry.amount:
            why = f"{name} returns the payment of {leg.amount}: together they are zero."
            desk.confirm(leg, entry, "R8", why)
            desk.returned[leg.key] = entry
        else:
            why = f"{name} returns {entry.amount} of a payment of {leg.amount}."
            desk.raise_break(Category.AMOUNT, leg, entry, why)
            desk.close(leg, entry)
            desk.returned[leg.key] = entry


def _leg_order(leg: OurLeg) -> LegKey:
    return leg.key


def _exact(leg: OurLeg, entry: TheirEntry) -> bool:
    return leg.amount == entry.amount and directions_agree(leg, entry)


def _group(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    found: dict[K, list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found


def _open_by_uetr(desk: Desk) -> dict[str, list[TheirEntry]]:
    return _group([e for e in desk.entries.values() if e.uetr and not e.returned], lambda e: e.uetr)


def _pairs(desk: Desk, same: Callable[[OurLeg, TheirEntry], bool]) -> list[tuple[OurLeg, TheirEntry]]:
    return [
        (leg, entry)
        for leg in desk.legs.values()
        for entry in desk.entries.values()
        if not entry.returned and not veto(leg, entry) and same(leg, entry)
    ]


def _unique_pairs(desk: Desk, same: Callable[[OurLeg, TheirEntry], bool]) -> list[tuple[OurLeg, TheirEntry]]:
    pairs = _pairs(desk, same)
    of_leg = _group(pairs, lambda pair: pair[0].key)
    of_entry = _group(pairs, lambda pair: pair[1].key)
    return [p for p in pairs if len(of_leg[p[0].key]) == 1 and len(of_entry[p[1].key]) == 1]


def _only_sum(items: list[T], amount: Callable[[T], int], total: int) -> tuple[T, ...]:
    """The only combination of 2 to MAX_SUM_PARTS items that sums to `total`; empty when none or several."""
    found: list[tuple[T, ...]] = []
    for size in range(2, min(MAX_SUM_PARTS, len(items)) + 1):
        for parts in combinations(items, size):
            if sum(map(amount, parts)) == total:
                found.append(parts)
                if len(found) > 1:
                    return ()
    return found[0] if found else ()


def _duplicates(desk: Desk, leg: OurLeg, entries: list[TheirEntry]) -> None:
    names = ", ".join(entry.reference for entry in entries)
    for entry in entries:
        why = f"Entries {names} all carry UETR {leg.key.uetr} and {leg.amount}; we know one payment."
        desk.raise_break(Category.DUPLICATE, leg, entry, why)
        desk.close(leg, entry)


def _ambiguous(desk: Desk, legs: list[OurLeg], entries: list[TheirEntry]) -> None:
    for entry in entries:
        why = f"{entry.reference} carries UETR {entry.uetr} of {len(legs)} of our legs and fits none alone."
        desk.raise_break(Category.REFERENCE, None, entry, why)
        desk.close(None, entry)
    for leg in legs:
        why = f"UETR {leg.key.uetr} stands on {len(entries)} entries, and none fits this leg alone."
        desk.raise_break(Category.REFERENCE, leg, None, why)
        desk.close(leg, None)


def _nearly(desk: Desk, leg: OurLeg, entry: TheirEntry, reference: str = "UETR", rule: str = "R2") -> None:
    """The reference agrees, something else does not: charges explain it, or a break does."""
    name = entry.reference
    if not directions_agree(leg, entry):
        way = "out" if leg.outgoing else "in"
        why = f"The {reference} of {name} is ours, but we booked money {way} and the statement the reverse."
        category = Category.DIRECTION
    elif leg.amount.currency != entry.amount.currency:
        why = f"The {reference} of {name} agrees; we have {leg.amount}, the statement {entry.amount}."
        category = Category.CURRENCY_OR_MARKET
    else:
        apart = abs(entry.amount.amount_minor - leg.amount.amount_minor)
        if apart and apart in (leg.charges_minor, entry.charges_minor):
            why = f"{reference} agrees; {entry.amount} is {leg.amount} and exactly the charges named."
            desk.confirm(leg, entry, rule, why)
            return
        why = (
            f"The {reference} of {name} agrees, but the statement says {entry.amount} where we have "
            f"{leg.amount}, and no charges explain it."
        )
        category = Category.AMOUNT
    desk.raise_break(category, leg, entry, why)
    desk.close(leg, entry)
