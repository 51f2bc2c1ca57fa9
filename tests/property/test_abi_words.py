"""Arguments read word by word are those that a general ABI decoder reads, for good and for damaged data."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st

from silkledger.evm.abi_words import word_value, words_values
from silkledger.values import Address

STATIC = {
    "uint8": st.integers(0, 2**8 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "uint256": st.integers(0, 2**256 - 1),
    "bytes2": st.binary(min_size=2, max_size=2),
    "bytes8": st.binary(min_size=8, max_size=8),
    "bytes32": st.binary(min_size=32, max_size=32),
    "address": st.binary(min_size=20, max_size=20),
    "bool": st.booleans(),
}


def plain(value: Any) -> Any:
    """As eth_abi gives it."""
    return "0x" + bytes(value).hex() if isinstance(value, Address) else value


@st.composite
def arguments(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    kinds = tuple(draw(st.lists(st.sampled_from(sorted(STATIC)), max_size=6)))
    return kinds, encode(kinds, [draw(STATIC[kind]) for kind in kinds])


@given(arguments())
def test_good_words_are_read_alike(given_data: tuple[tuple[str, ...], bytes]) -> None:
    kinds, data = given_data
    values = words_values(kinds, data)
    assert values is not None
    assert tuple(map(plain, values)) == decode(kinds, data)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_records_are_read_alike(head: bytes, record: bytes) -> None:
    kinds = ("bytes32", "bytes")
    assert words_values(kinds, encode(kinds, [head, record])) == [head, record]


@given(st.sampled_from([*sorted(STATIC), "bytes", "string", "uint8[]"]), st.binary(max_size=200))
def test_what_is_read_of_any_bytes_is_what_the_general_decoder_reads(kind: str, data: bytes) -> None:
    for kinds in ((kind,), ("bytes32", "bytes")):
        values = words_values(kinds, data)
        if values is not None:
            assert tuple(map(plain, values)) == decode(kinds, data)


@given(st.sampled_from(["uint8", "uint64", "bytes2", "bytes8", "address", "bool"]), st.data())
def test_dirty_padding_is_not_read_here(kind: str, data: st.DataObject) -> None:
    word = bytearray(encode([kind], [data.draw(STATIC[kind])]))
    padding = 31 if kind.startswith("bytes") else 0
    word[padding] |= 1 << data.draw(st.integers(0, 7))
    assert word_value(kind, bytes(word)) is None
    with pytest.raises(DecodingError):
        decode([kind], bytes(word))
