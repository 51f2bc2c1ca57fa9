"""Deterministic CBOR: one encoding, and a decoder that takes no other."""

from __future__ import annotations

import pytest

from silkledger import cbor


def reason_of(data: bytes) -> str:
    with pytest.raises(cbor.CborError) as caught:
        cbor.decode(data)
    return caught.value.reason


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1000000, "1a000f4240"),
        (18446744073709551615, "1bffffffffffffffff"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (-1, "20"),
        (False, "f4"),
        (True, "f5"),
        (None, "f6"),
        (b"\x01\x02\x03\x04", "4401020304"),
        ("水", "63e6b0b4"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    ],
)
def test_examples_of_rfc_8949_appendix_a(value: object, encoded: str) -> None:
    assert cbor.encode(value).hex() == encoded
    assert cbor.decode(bytes.fromhex(encoded)) == value


def test_keys_are_ordered_by_their_bytes_not_by_length_first() -> None:
    """RFC 8949 section 4.2.1: 10, 100, -1, "z", "aa" in that order."""
    encoded = cbor.encode({"aa": 0, -1: 0, "z": 0, 100: 0, 10: 0})
    assert encoded.hex() == "a50a001864002000617a0062616100"
    length_first = bytes.fromhex("a50a002000186400617a0062616100")
    assert reason_of(length_first) == "CBOR_NOT_DETERMINISTIC"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "CBOR_TRUNCATED"),
        ("82", "CBOR_TRUNCATED"),
        ("4401", "CBOR_TRUNCATED"),
        ("5b7fffffffffffffff", "CBOR_TRUNCATED"),
        ("9b7fffffffffffffff", "CBOR_TRUNCATED"),
        ("1c", "CBOR_MALFORMED"),
        ("ff", "CBOR_MALFORMED"),
        ("61ff", "CBOR_MALFORMED"),
        ("81" * 40 + "00", "CBOR_MALFORMED"),
        ("1800", "CBOR_NOT_DETERMINISTIC"),
        ("5801ff", "CBOR_NOT_DETERMINISTIC"),
        ("9800", "CBOR_NOT_DETERMINISTIC"),
        ("5f4101ff", "CBOR_NOT_DETERMINISTIC"),
        ("9f01ff", "CBOR_NOT_DETERMINISTIC"),
        ("a201010100", "CBOR_NOT_DETERMINISTIC"),
        ("a202000100", "CBOR_NOT_DETERMINISTIC"),
        ("0000", "CBOR_TRAILING_BYTES"),
        ("f90000", "CBOR_KIND_REFUSED"),
        ("fb3ff8000000000000", "CBOR_KIND_REFUSED"),
        ("f7", "CBOR_KIND_REFUSED"),
        ("e0", "CBOR_KIND_REFUSED"),
        ("c101", "CBOR_KIND_REFUSED"),
        ("c24101", "CBOR_KIND_REFUSED"),
        ("d81c8101", "CBOR_KIND_REFUSED"),
        ("d81d00", "CBOR_KIND_REFUSED"),
        ("d9010080", "CBOR_KIND_REFUSED"),
        ("a1f500", "CBOR_KIND_REFUSED"),
        ("a1410000", "CBOR_KIND_REFUSED"),
        ("a18000", "CBOR_KIND_REFUSED"),
    ],
)
def test_everything_else_is_refused_with_its_reason(data: str, reason: str) -> None:
    assert reason_of(bytes.fromhex(data)) == reason


@pytest.mark.parametrize("value", [1.0, {1.0: 0}, {True: 0}, {b"k": 0}, {1}, 2**64, object()])
def test_other_kinds_are_not_encoded(value: object) -> None:
    with pytest.raises(cbor.CborError, match="CBOR_KIND_REFUSED"):
        cbor.encode(value)


def test_a_value_containing_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(cbor.CborError, match="CBOR_KIND_REFUSED"):
        cbor.encode(loop)
