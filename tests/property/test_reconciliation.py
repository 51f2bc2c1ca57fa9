"""A run is a function of its inputs, not of their order, and loses nothing."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.settlement.reconciliation.model import Strength
from services.settlement.reconciliation.run import reconcile
from silkledger import cbor
from tests.unit.services.settlement.test_reconciliation_rules import detail, leg, statement

UETRS = [f"5a3b1e00-0000-4000-8000-{n:012}" for n in range(4)]
REFERENCES = st.sampled_from(["", "R1", "R2"])
LEGS = st.lists(
    st.builds(
        lambda uetr, minor, reference, outgoing: leg(
            uetr, minor, clearing_reference=reference, end_to_end_id=reference, outgoing=outgoing
        ),
        st.sampled_from(UETRS),
        st.integers(1, 4),
        REFERENCES,
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda one: one.key,
)
DETAILS = st.lists(
    st.builds(
        lambda uetr, minor, reference, credit, returned: detail(
            minor,
            uetr=uetr,
            clearing_reference=reference,
            end_to_end_id=reference,
            credit=credit,
            returned=returned,
        ),
        st.sampled_from(["", *UETRS]),
        st.integers(1, 4),
        REFERENCES,
        st.booleans(),
        st.booleans(),
    ),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(LEGS, DETAILS, DETAILS, st.randoms(use_true_random=False))
def test_order_changes_nothing_and_nothing_is_lost(
    legs: list[Any], one: list[Any], other: list[Any], shuffle: random.Random
) -> None:
    second = statement(*other, number=2)
    second = dataclasses.replace(
        second, statement=dataclasses.replace(second.statement, account="OTHER", sequence=1)
    )
    inputs = [statement(*one), second]
    first = reconcile(legs, inputs)
    mixed_legs, mixed = list(legs), list(inputs)
    shuffle.shuffle(mixed_legs)
    shuffle.shuffle(mixed)
    again = reconcile(mixed_legs, mixed)
    assert (again.results_digest, again.manifest) == (first.results_digest, first.manifest)
    assert cbor.encode(cbor.decode(first.manifest)) == first.manifest

    confirmed = [m for m in first.matches if m.strength is Strength.CONFIRMED]
    entries = [m.entry_key for m in confirmed] + sorted({b.entry_key for b in first.breaks if b.entry_key})
    assert len(set(entries)) == len(one) + len(other), "every entry is matched or a break tells of it"
    assert {m.leg for m in confirmed} <= {item.key for item in legs}
    assert len({m.entry_key for m in confirmed}) == len(confirmed), "an entry is matched once"
    assert all(b.explanation.endswith(".") for b in first.breaks)
    for match in confirmed:
        assert match.rule in {"R1", "R2", "R4", "R5", "R8"}
