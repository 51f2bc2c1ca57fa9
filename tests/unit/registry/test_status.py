"""Document status as of a block: in force and known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silkledger.registry.histories import HistoryRecord, RecordInvalid
from silkledger.registry.status import DocumentStatus as S
from silkledger.registry.status import status_at
from tests.unit.registry.records import document_status as rec

NEW = b"\7" * 32


@pytest.mark.parametrize(
    ("records", "at_block", "known_at", "status"),
    [
        pytest.param([], 10, 10, S.ACTIVE, id="nothing was said"),
        pytest.param([rec(5, 1, 5)], 5, 5, S.REVOKED, id="revoked in its own block"),
        pytest.param([rec(5, 1, 5)], 4, 9, S.ACTIVE, id="not yet in force"),
        pytest.param([rec(5, 1, 2)], 3, 4, S.ACTIVE, id="backdated, not yet known"),
        pytest.param([rec(5, 1, 2)], 3, 5, S.REVOKED, id="backdated, known later"),
        pytest.param([rec(5, 1, 9)], 8, 8, S.ACTIVE, id="announced"),
        pytest.param([rec(5, 1, 9)], 9, 9, S.REVOKED, id="announced and begun"),
        pytest.param([rec(5, 2, 5)], 6, 6, S.SUSPENDED, id="suspended"),
        pytest.param([rec(5, 2, 5), rec(7, 3, 7)], 7, 7, S.ACTIVE, id="reinstated"),
        pytest.param([rec(5, 2, 5), rec(7, 3, 7)], 6, 9, S.SUSPENDED, id="before the reinstatement"),
        pytest.param([rec(5, 2, 9), rec(7, 3, 7)], 8, 8, S.ACTIVE, id="suspension announced, lifted"),
        pytest.param([rec(5, 1, 5), rec(7, 3, 7)], 8, 8, S.REVOKED, id="revoked for ever"),
        pytest.param([rec(5, 4, 5, new_id=NEW)], 5, 5, S.SUPERSEDED, id="superseded"),
        pytest.param([rec(5, 4, 5, new_id=NEW), rec(6, 3, 6)], 7, 7, S.SUPERSEDED, id="for ever too"),
        pytest.param([rec(5, 4, 5, new_id=NEW), rec(6, 1, 6)], 7, 7, S.REVOKED, id="then revoked"),
    ],
)
def test_status(records: list[HistoryRecord], at_block: int, known_at: int, status: S) -> None:
    assert status_at(records, at_block, known_at).status is status


def test_the_deciding_record_and_what_came_later_are_told() -> None:
    state = status_at([rec(5, 2, 5, reason=3), rec(90, 1, 91, reason=4)], 10, 10)
    assert state.change is not None
    assert (state.change.reason, state.change.effective_block, state.change.recorded_at) == (3, 5, 5)
    assert [(c.status, c.effective_block, c.recorded_at) for c in state.later] == [(S.REVOKED, 91, 90)]


def test_a_supersession_names_its_successor() -> None:
    change = status_at([rec(5, 4, 5, new_id=NEW)], 5, 5).change
    assert change is not None
    assert change.new_id == NEW


@pytest.mark.parametrize(
    "record",
    [rec(1, 0, 1), rec(1, 5, 1), rec(1, 4, 1), rec(1, 1, 1, new_id=NEW), HistoryRecord(1, b"\1")],
)
def test_a_record_of_another_shape_is_refused(record: HistoryRecord) -> None:
    with pytest.raises(RecordInvalid):
        status_at([record], 1, 1)


_histories = st.lists(
    st.builds(lambda kind, effective: (kind, effective), st.integers(1, 4), st.integers(0, 12)),
    max_size=6,
).map(
    lambda items: [
        rec(i, kind, eff, new_id=NEW if kind == 4 else bytes(32)) for i, (kind, eff) in enumerate(items)
    ]
)


@given(_histories, st.integers(0, 14), st.integers(0, 8))
def test_what_is_recorded_later_never_changes_what_was_known(
    records: list[HistoryRecord], at_block: int, known_at: int
) -> None:
    seen = [r for r in records if r.block_number <= known_at]
    whole, part = status_at(records, at_block, known_at), status_at(seen, at_block, known_at)
    assert (whole.status, whole.change) == (part.status, part.change)


@given(_histories, st.integers(0, 14), st.integers(0, 14), st.integers(0, 8))
def test_a_revocation_is_for_ever(records: list[HistoryRecord], early: int, late: int, known_at: int) -> None:
    early, late = sorted((early, late))
    if status_at(records, early, known_at).status is S.REVOKED:
        assert status_at(records, late, known_at).status is S.REVOKED
        assert status_at(records, late, known_at + 1).status is S.REVOKED
