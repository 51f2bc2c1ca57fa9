"""Strict RLP: an encoding is accepted only if it is the one and only encoding of its items.

Source: Ethereum yellow paper, appendix B. Stricter than what nodes accept from each other, because two
encodings of one item would be two hashes of one thing. Integers are minimal big-endian: zero is the
empty string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason

Item: TypeAlias = bytes | list["Item"]
"""A byte string or a list of items."""

Encodable: TypeAlias = bytes | Sequence["Encodable"]

_MAX_DEPTH: Final = 16
"""Deepest nesting accepted. Headers, receipts and trie nodes need at most four."""

_SHORT: Final = 55
"""Longest payload, in bytes, whose length fits into the prefix byte."""
_STRING_PREFIX: Final = tuple(bytes([0x80 + size]) for size in range(_SHORT + 1))
"""Prefixes of the short strings, by far the most."""


def encode(item: Encodable) -> bytes:
    """The RLP encoding of a byte string or of a (nested) sequence of byte strings."""
    if isinstance(item, bytes):
        size = len(item)
        if size == 1 and item[0] < 0x80:
            return bytes(item)
        if size <= _SHORT:
            return _STRING_PREFIX[size] + item
        return _prefix(0x80, size) + item
    return encode_payload(b"".join([encode(part) for part in item]))


def encode_payload(payload: bytes) -> bytes:
    """The list whose items, already encoded, are joined in `payload`."""
    return _prefix(0xC0, len(payload)) + payload


def payload_start(data: bytes) -> int:
    """Where the payload of the canonical list `data` starts."""
    return 1 + max(0, data[0] - 0xC0 - _SHORT)


def _prefix(offset: int, length: int) -> bytes:
    if length <= _SHORT:
        return bytes([offset + length])
    size = encode_int(length)
    return bytes([offset + _SHORT + len(size)]) + size


def decode(data: bytes) -> Item:
    """The items of `data`, which MUST be their canonical encoding and nothing more.

    Raises:
        EvidenceInvalid: RLP_NOT_CANONICAL for anything that would not be encoded to the same bytes.
    """
    item, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, f"{len(data) - end} bytes after the item")
    return item


def decode_list(data: bytes, what: str) -> list[Item]:
    """Like `decode`, for data that MUST be a list. `what` names it in the error."""
    item = decode(data)
    if not isinstance(item, list):
        raise EvidenceInvalid(Reason.RLP_SHAPE, f"{what} must be a list")
    return item


def _decode(data: bytes, at: int, end: int, depth: int) -> tuple[Item, int]:
    if depth > _MAX_DEPTH:
        raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, f"nested deeper than {_MAX_DEPTH}")
    if at >= end:
        raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, "ends where an item should start")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    start, stop = _payload(data, at, end, first - (0xC0 if is_list else 0x80))
    if not is_list:
        if stop - start == 1 and data[start] < 0x80:
            raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, "a single byte below 0x80 has no prefix")
        return data[start:stop], stop
    return _items(data, start, stop, depth + 1), stop


def _items(data: bytes, at: int, stop: int, depth: int) -> list[Item]:
    """The items of a list's payload. Short strings, by far the most, are read here; the rest by `_decode`."""
    items: list[Item] = []
    while at < stop:
        first = data[at]
        end = at + first - 0x7F
        if first < 0x80:
            items.append(data[at : at + 1])
            at += 1
        elif first <= 0x80 + _SHORT and end <= stop and (first != 0x81 or data[at + 1] >= 0x80):
            items.append(data[at + 1 : end])
            at = end
        else:
            item, at = _decode(data, at, stop, depth)
            items.append(item)
    return items


def _payload(data: bytes, at: int, end: int, marker: int) -> tuple[int, int]:
    """Start and end of the payload whose prefix stands at `at`; `marker` is the prefix without its kind."""
    start = at + 1
    length = marker
    if marker > _SHORT:
        size = marker - _SHORT
        digits = data[start : min(start + size, end)]
        start += size
        if len(digits) != size or digits[0] == 0:
            raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, "a length that is cut short or has leading zeros")
        length = int.from_bytes(digits, "big")
        if length <= _SHORT:
            raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, "a long form for a short payload")
    if start + length > end:
        raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, "an item is longer than the data")
    return start, start + length


def encode_int(value: int) -> bytes:
    """Minimal big-endian bytes of a non-negative integer; zero is the empty string. Not yet prefixed."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def as_bytes(item: Item, what: str, size: int | None = None) -> bytes:
    """`item` as a byte string, of exactly `size` bytes where given."""
    if not isinstance(item, bytes):
        raise EvidenceInvalid(Reason.RLP_SHAPE, f"{what} must be a byte string")
    if size is not None and len(item) != size:
        raise EvidenceInvalid(Reason.RLP_SHAPE, f"{what} must be {size} bytes, has {len(item)}")
    return item


def as_int(item: Item, what: str, max_bytes: int = 32) -> int:
    """`item` as a minimal big-endian integer of at most `max_bytes` bytes."""
    data = as_bytes(item, what)
    if data[:1] == b"\0":
        raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, f"{what} has leading zeros")
    if len(data) > max_bytes:
        raise EvidenceInvalid(Reason.RLP_SHAPE, f"{what} exceeds {max_bytes} bytes")
    return int.from_bytes(data, "big")


def as_list(item: Item, what: str, size: int | None = None) -> list[Item]:
    """`item` as a list, of exactly `size` items where given."""
    if not isinstance(item, list):
        raise EvidenceInvalid(Reason.RLP_SHAPE, f"{what} must be a list")
    if size is not None and len(item) != size:
        raise EvidenceInvalid(Reason.RLP_SHAPE, f"{what} must have {size} items, has {len(item)}")
    return item
