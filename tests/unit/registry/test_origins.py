"""The keys of a log's origin, each from the block of its addition to the block of its end."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from silkledger.registry.histories import HistoryRecord, RecordInvalid
from silkledger.registry.origins import origin_history

CONTROLLER = b"\x0c" * 20
A, B, C = (b"\x01" + bytes([number]) * 32 for number in (1, 2, 3))


def registered(block: int, key: bytes = A, origin: bytes = b"log.example/1") -> HistoryRecord:
    types = ["uint8", "bytes", "address", "bytes", "bytes32"]
    return HistoryRecord(block, encode(types, [1, origin, CONTROLLER, key, bytes(32)]))


def change(block: int, kind: int, key: bytes) -> HistoryRecord:
    return HistoryRecord(block, encode(["uint8", "bytes"], [kind, key]))


def test_nothing_recorded_is_no_origin() -> None:
    assert origin_history([]) is None


def test_the_registration_says_who_controls_the_origin() -> None:
    found = origin_history([registered(4)])
    assert found is not None
    assert (found.origin, bytes(found.controller), found.recorded_at) == ("log.example/1", CONTROLLER, 4)
    assert found.predecessor == bytes(32)
    assert (found.counting(3), found.counting(4), found.counting(2**64 - 1)) == ((), (A,), (A,))


def test_a_key_counts_in_the_block_of_its_addition_and_in_that_of_its_end() -> None:
    found = origin_history([registered(4), change(10, 2, B), change(12, 3, A), change(12, 2, C)])
    assert found is not None
    counting = {block: found.counting(block) for block in (9, 10, 11, 12, 13)}
    assert counting == {9: (A,), 10: (A, B), 11: (A, B), 12: (A, B, C), 13: (B, C)}
    assert [(key.added_at, key.ended_at) for key in found.keys] == [(4, 12), (10, None), (12, None)]


@pytest.mark.parametrize(
    ("records", "why"),
    [
        pytest.param([change(4, 2, A)], "the first record", id="no registration"),
        pytest.param([registered(4), registered(5)], "registered once", id="registered twice"),
        pytest.param([registered(4), change(5, 4, B)], "unknown kind", id="unknown kind"),
        pytest.param([registered(4), change(5, 2, A)], "added once", id="counts already"),
        pytest.param(
            [registered(4), change(5, 2, B), change(6, 3, B), change(7, 2, B)], "added once", id="was ended"
        ),
        pytest.param([registered(4), change(5, 3, B)], "does not count", id="ended and never added"),
        pytest.param(
            [registered(4), change(5, 2, B), change(6, 3, A), change(7, 3, A)],
            "does not count",
            id="ended twice",
        ),
        pytest.param([registered(4, origin=b"\xff")], "not UTF-8", id="no text"),
        pytest.param([registered(4), HistoryRecord(5, b"\x02")], "uint8", id="short"),
        pytest.param(
            [registered(4), HistoryRecord(5, change(5, 2, B).record + bytes(32))], "canonical", id="longer"
        ),
    ],
)
def test_what_the_contract_never_records_is_refused(records: list[HistoryRecord], why: str) -> None:
    with pytest.raises(RecordInvalid, match=why):
        origin_history(records)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), max_size=24))
def test_the_fold_is_what_a_set_of_keys_would_be(acts: list[tuple[bool, int, int]]) -> None:
    """Of all acts those that the contract allows; then the keys at every block are those of a plain set."""
    keys = [b"\x01" + bytes([number]) * 32 for number in range(5)]
    block, counting, over = 4, {keys[0]}, set[bytes]()
    records, seen = [registered(4, keys[0])], {4: {keys[0]}}
    for adds, number, wait in acts:
        key = keys[number]
        if adds is (key in counting) or key in over or (not adds and len(counting) == 1):
            continue
        block += wait
        before = set(seen.get(block, counting))
        records.append(change(block, 2 if adds else 3, key))
        if adds:
            counting.add(key)
        else:
            counting.remove(key)
            over.add(key)
        seen[block] = before | counting  # an ended key still counts in the block of its end
        seen[block + 1] = set(counting)
    found = origin_history(records)
    assert found is not None
    for at, expected in seen.items():
        assert set(found.counting(at)) == expected
