"""Deterministic CBOR: one value, one encoding (RFC 8949 section 4.2.1), and a decoder that accepts no other.

Allowed: integers of 64 bits, byte strings, text strings, arrays, maps, true, false, null. Refused: floats,
tags, undefined, other simple values, indefinite lengths, duplicate keys, keys that are not integers or text.
Map keys are ordered by their encoded bytes, not by length first (that was RFC 7049, and is what most
libraries still call canonical).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NoReturn, TypeAlias

import cbor2

CborValue: TypeAlias = Any
"""int, bytes, str, list, dict (keys int or str), bool or None, nested."""

MAX_DEPTH: Final = 12
"""Deepest nesting of containers accepted. Our deepest format uses five."""

_UINT64: Final = 2**64


class CborError(ValueError):
    """The bytes are not deterministic CBOR of the allowed kinds.

    `reason` is CBOR_TRUNCATED, CBOR_MALFORMED, CBOR_NOT_DETERMINISTIC, CBOR_TRAILING_BYTES or
    CBOR_KIND_REFUSED.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class _Tag(Exception):
    """A tag was met. cbor2 wraps it, so it is only seen as the cause of a decode error."""


def _refuse_tag(*_: object) -> NoReturn:
    raise _Tag


class _EveryTag(dict[int, Any]):
    """A mapping that has a decoder for every tag number: the one that refuses.

    cbor2 would otherwise turn tags into dates, shared references (a decompression bomb on encoding) or
    compiled patterns.
    """

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: int) -> Any:
        return _refuse_tag

    def get(self, key: int, default: Any = None) -> Any:
        return _refuse_tag


_NO_TAGS: Final = _EveryTag()


@lru_cache(maxsize=512, typed=True)
def _key_bytes(key: int | str) -> bytes:
    return cbor2.dumps(key)


def encode(value: CborValue) -> bytes:
    """The one deterministic encoding of `value`.

    Raises:
        CborError: CBOR_KIND_REFUSED if a float, tag or other refused kind is inside.
    """
    return cbor2.dumps(_ordered(value, 0))


def _ordered(value: CborValue, depth: int) -> CborValue:
    kind = type(value)
    if kind is dict and depth < MAX_DEPTH:
        for key in value:
            if type(key) is not int and type(key) is not str:
                raise CborError("CBOR_KIND_REFUSED", f"map key of kind {type(key).__name__}")
        return {k: _ordered(value[k], depth + 1) for k in sorted(value, key=_key_bytes)}
    if (kind is list or kind is tuple) and depth < MAX_DEPTH:
        return [_ordered(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, str):
        return str(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, int) and -_UINT64 <= value < _UINT64:
        return int(value)
    raise CborError("CBOR_KIND_REFUSED", f"{kind.__name__} is not allowed, or is nested too deep")


def decode(data: bytes) -> CborValue:
    """Decode exactly one deterministic item that fills `data`.

    Guarantees that `encode(decode(data)) == data`. Says nothing about meaning.

    Raises:
        CborError: naming whether the bytes are cut short, malformed, another encoding of a good value, or
            of a kind that is refused.
    """
    try:
        value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_NO_TAGS,
        )
    except (cbor2.CBORDecodeError, ValueError, TypeError) as error:
        raise _why(data, error) from None
    _check(value)
    again = cbor2.dumps(value)
    if again != data:
        if data.startswith(again):
            raise CborError("CBOR_TRAILING_BYTES", f"{len(data) - len(again)} bytes after the item")
        raise CborError("CBOR_NOT_DETERMINISTIC", "an integer or length is not in its shortest form")
    return value


_SCALARS: Final = frozenset((int, bytes, str))
"""Kinds that `_check` has nothing to look into."""


def _check(value: CborValue) -> None:
    """Refuse kinds outside the subset, and maps whose keys are out of order."""
    kind = type(value)
    if kind is dict:
        last = b""
        for key, item in value.items():
            if type(key) is not int and type(key) is not str:
                raise CborError("CBOR_KIND_REFUSED", f"map key of kind {type(key).__name__}")
            encoded = _key_bytes(key)
            if encoded <= last:
                raise CborError("CBOR_NOT_DETERMINISTIC", f"map key {str(key)[:32]!r} is out of order")
            last = encoded
            if type(item) not in _SCALARS:
                _check(item)
    elif kind is list:
        for item in value:
            if type(item) not in _SCALARS:
                _check(item)
    elif kind is not int and kind is not bytes and kind is not str and kind is not bool and value is not None:
        raise CborError("CBOR_KIND_REFUSED", f"{kind.__name__} is not allowed")


def _why(data: bytes, error: Exception) -> CborError:
    """Tell a cut from another encoding from plain nonsense. Only reached when refusing anyway."""
    if isinstance(error, cbor2.CBORDecodeEOF):
        return CborError("CBOR_TRUNCATED", "the bytes end inside an item")
    if isinstance(error.__cause__, _Tag):
        return CborError("CBOR_KIND_REFUSED", "a tag stands where none is allowed")
    try:
        cbor2.loads(data, max_depth=MAX_DEPTH, semantic_decoders=_NO_TAGS)
    except cbor2.CBORDecodeEOF:
        return CborError("CBOR_TRUNCATED", "the bytes end inside an item")
    except (cbor2.CBORDecodeError, ValueError, TypeError):
        return CborError("CBOR_MALFORMED", "not well-formed CBOR, or nested too deep")
    return CborError("CBOR_NOT_DETERMINISTIC", "indefinite length or duplicate map key")
