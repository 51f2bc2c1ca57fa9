"""The bits of a status list: what another implementation wrote is read, nothing else passes."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silkledger.status_bits import MAX_ENTRIES, MIN_ENTRIES, BitsInvalid, IndexOutOfRange, StatusBits

OUTSIDE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "status_list" / "outside.json").read_text()
)["lists"]
PUBLISHED = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"
"""The example of the specification: 16 KiB of zeros."""

INDEXES = st.sets(st.integers(0, MIN_ENTRIES - 1), max_size=20)


def encoded(data: bytes) -> str:
    return "u" + base64.urlsafe_b64encode(gzip.compress(data)).rstrip(b"=").decode()


@pytest.mark.parametrize("case", OUTSIDE, ids=lambda case: str(case["name"]))
def test_lists_of_another_implementation_are_read(case: dict[str, Any]) -> None:
    bits = StatusBits.decode(case["encodedList"])
    assert bits.entries == case["entries"]
    assert [index for index in range(bits.entries) if bits.is_set(index)] == case["set"]
    assert StatusBits.empty(case["entries"]).changed(to_set=case["set"]) == bits


def test_the_published_example_is_an_empty_list() -> None:
    assert StatusBits.decode(PUBLISHED) == StatusBits.empty()


def test_entry_zero_is_the_leftmost_bit() -> None:
    data = StatusBits.empty().changed(to_set=[0, 15]).data
    assert data[:2] == b"\x80\x01"


@given(INDEXES, INDEXES)
def test_what_is_encoded_is_read_back(to_set: set[int], to_clear: set[int]) -> None:
    bits = StatusBits.empty().changed(to_set=to_set).changed(to_clear=to_clear)
    again = StatusBits.decode(bits.encode())
    assert again == bits
    wanted = to_set - to_clear
    assert all(again.is_set(index) == (index in wanted) for index in to_set | to_clear)
    assert int.from_bytes(again.data, "big").bit_count() == len(wanted)


@given(INDEXES, INDEXES)
def test_the_first_entry_that_was_cleared_is_named(before: set[int], after: set[int]) -> None:
    one, other = (StatusBits.empty().changed(to_set=indexes) for indexes in (before, after))
    assert one.first_cleared_in(other) == min(before - after, default=None)
    longer = StatusBits(other.data + bytes(8))
    assert one.first_cleared_in(longer) == min(before - after, default=None)


def test_entries_beyond_the_end_of_a_shorter_list_are_cleared() -> None:
    longer = StatusBits.empty(MIN_ENTRIES + 8).changed(to_set=[MIN_ENTRIES + 3])
    assert longer.first_cleared_in(StatusBits.empty()) == MIN_ENTRIES + 3


@pytest.mark.parametrize("index", [-1, MIN_ENTRIES])
def test_there_are_no_entries_beside_the_list(index: int) -> None:
    bits = StatusBits.empty()
    for use in (bits.is_set, lambda i: bits.changed(to_set=[i]), lambda i: bits.changed(to_clear=[i])):
        with pytest.raises(IndexOutOfRange):
            use(index)


GOOD = encoded(bytes(MIN_ENTRIES // 8))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "u",
        GOOD[1:],
        "z" + GOOD[1:],
        GOOD + "=",
        GOOD + " ",
        "uAAAAA",
        "u" + base64.urlsafe_b64encode(bytes(MIN_ENTRIES // 8)).decode().rstrip("="),
        GOOD[:-12],
        encoded(bytes(MIN_ENTRIES // 8 - 1)),
        encoded(bytes(MAX_ENTRIES // 8 + 1)),
        "u" + base64.urlsafe_b64encode(gzip.compress(bytes(MIN_ENTRIES // 8)) + b"\0\0\0").decode(),
        "u" + base64.urlsafe_b64encode(gzip.compress(bytes(MIN_ENTRIES // 8)) * 3).decode().rstrip("="),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BitsInvalid):
        StatusBits.decode(text)


def test_bits_that_stand_for_nothing_are_refused() -> None:
    """The same bytes would have two texts."""
    text = str(OUTSIDE[1]["encodedList"])
    assert (len(text[1:]) % 4, text[-1]) == (3, "A")
    with pytest.raises(BitsInvalid, match="stand for nothing"):
        StatusBits.decode(text[:-1] + "B")


def test_bounds() -> None:
    assert StatusBits.decode(encoded(bytes(MAX_ENTRIES // 8))).entries == MAX_ENTRIES
    for entries in (MIN_ENTRIES - 1, MAX_ENTRIES + 1):
        with pytest.raises(BitsInvalid):
            StatusBits.empty(entries)


def test_a_bomb_is_not_expanded() -> None:
    bomb = "u" + base64.urlsafe_b64encode(gzip.compress(bytes(64 * 1024 * 1024))).decode().rstrip("=")
    with pytest.raises(BitsInvalid, match="expands to more"):
        StatusBits.decode(bomb)
