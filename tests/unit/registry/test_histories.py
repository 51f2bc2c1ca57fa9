"""Heads, keys and strict decoding of provable histories."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from silkledger.registry import histories as h
from silkledger.values import Address, CountryCode, DocumentType, StatementId

ISSUER = Address(bytes(range(20)))


def test_the_head_of_an_empty_history_is_zero() -> None:
    assert h.fold_head([]) == bytes(32)


def test_a_head_is_the_solidity_formula() -> None:
    first, second = h.HistoryRecord(5, b"one"), h.HistoryRecord(9, b"two")
    head = keccak(encode(["bytes32", "uint64", "bytes32"], [bytes(32), 5, keccak(b"one")]))
    assert h.fold_head([first]) == head
    head = keccak(encode(["bytes32", "uint64", "bytes32"], [head, 9, keccak(b"two")]))
    assert h.fold_head([first, second]) == head
    assert h.fold_head([second], start=h.fold_head([first])) == head


@given(
    st.lists(st.tuples(st.integers(0, 50), st.binary(max_size=8)), min_size=1, max_size=5),
    st.data(),
)
def test_any_omission_or_alteration_changes_the_head(
    items: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    records = [h.HistoryRecord(block, record) for block, record in sorted(items, key=lambda i: i[0])]
    head = h.fold_head(records)
    at = data.draw(st.integers(0, len(records) - 1))
    assert h.fold_head(records[:at] + records[at + 1 :]) != head
    changed = h.HistoryRecord(records[at].block_number, records[at].record + b"\0")
    assert h.fold_head([*records[:at], changed, *records[at + 1 :]]) != head
    later = [h.HistoryRecord(r.block_number + 1, r.record) for r in records[at:]]
    assert h.fold_head([*records[:at], *later]) != head


@pytest.mark.parametrize("blocks", [(5, 4), (-1,), (2**64,)])
def test_impossible_dates_are_refused(blocks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="block numbers"):
        h.fold_head([h.HistoryRecord(block, b"") for block in blocks])


def test_keys_are_the_solidity_formulas() -> None:
    country, doc_type = CountryCode("CN"), DocumentType("705")
    bytes8 = b"705" + bytes(5)
    assert h.identity_key(ISSUER) == bytes(12) + bytes(ISSUER)
    assert h.country_key(country) == keccak(encode(["string", "bytes2"], ["country", b"CN"]))
    assert h.accreditation_key(ISSUER, doc_type) == keccak(
        encode(["string", "address", "bytes8"], ["accreditation", bytes(ISSUER), bytes8])
    )
    assert h.accreditation_status_key(bytes(32)) == keccak(
        encode(["string", "bytes32"], ["status", bytes(32)])
    )
    assert h.recognition_key(CountryCode("TH"), country, doc_type) == keccak(
        encode(["string", "bytes2", "bytes2", "bytes8"], ["recognition", b"TH", b"CN", bytes8])
    )
    assert h.document_status_key(ISSUER, StatementId(bytes(32))) == keccak(
        bytes(12) + bytes(ISSUER) + bytes(32)
    )
    assert h.origin_id("example.org/log") == keccak(b"example.org/log")
    assert h.history_slot(bytes(32)) == keccak(bytes(64))


def test_different_questions_have_different_keys() -> None:
    th, cn, doc_type = CountryCode("TH"), CountryCode("CN"), DocumentType("705")
    assert h.recognition_key(th, cn, doc_type) != h.recognition_key(cn, th, doc_type)
    assert h.accreditation_key(ISSUER, doc_type) != h.accreditation_key(ISSUER, DocumentType("70"))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        bytes(31),
        encode(["uint8", "uint64"], [1, 2]) + bytes(32),
        encode(["uint8", "uint64"], [1, 2])[:-1],
        b"\1" + encode(["uint8", "uint64"], [1, 2])[1:],
        encode(["uint8"], [1]) + b"\1" + bytes(31),
    ],
)
def test_a_record_that_is_not_canonical_is_refused(record: bytes) -> None:
    with pytest.raises(h.RecordInvalid):
        h.decode_record(["uint8", "uint64"], record)


def test_a_displaced_dynamic_value_is_refused() -> None:
    """Decoders that follow the pointer would read the same value from other bytes."""
    good = encode(["uint8", "bytes"], [1, b"abc"])
    moved = good[:63] + b"\x60" + bytes(32) + good[64:]
    assert h.decode_record(["uint8", "bytes"], good) == (1, b"abc")
    with pytest.raises(h.RecordInvalid):
        h.decode_record(["uint8", "bytes"], moved)


def test_what_was_recorded_later_is_not_visible() -> None:
    records = [h.HistoryRecord(5, b"a"), h.HistoryRecord(6, b"b")]
    assert h.visible(records, 5) == records[:1]
    assert h.visible(records, 4) == []


def test_the_kind_is_a_uint8() -> None:
    assert h.record_kind(encode(["uint8"], [3])) == 3
    with pytest.raises(h.RecordInvalid):
        h.record_kind(encode(["uint16"], [256]))
