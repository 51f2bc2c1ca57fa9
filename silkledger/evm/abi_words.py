"""Event arguments read word by word: the common shapes, many times faster than a general ABI decoder.

Guarantee: where an answer is given it is the one the general decoder gives. Anything unusual (other types,
dirty padding, short data) is answered with None, and the general decoder decides what it is.
Source: Solidity ABI specification, "Formal Specification of the Encoding".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from silkledger.values import Address

_WORD: Final = 32
_ADDRESS_PADDING: Final = bytes(_WORD - Address.SIZE)
_UINT: Final = re.compile(r"uint(\d+)")
_BYTES: Final = re.compile(r"bytes(\d+)")
_HISTORY: Final = ("bytes32", "bytes")
"""What `HistoryAppended` carries: by far the most frequent data with a dynamic part."""


@cache
def _shape(kind: str) -> tuple[str, int]:
    """(`uint`, bits), (`bytes`, size), (`address` or `bool`, 0), or an empty name for anything else."""
    if kind in ("address", "bool"):
        return kind, 0
    if found := _UINT.fullmatch(kind):
        return "uint", int(found[1])
    if found := _BYTES.fullmatch(kind):
        return "bytes", int(found[1])
    return "", 0


def word_value(kind: str, word: bytes) -> Any | None:
    """The value of one word of a static type; None: not read here."""
    name, size = _shape(kind)
    if name == "bytes":
        return word[:size] if size == _WORD or not any(word[size:]) else None
    if name == "address":
        return Address(word[_WORD - Address.SIZE :]) if word.startswith(_ADDRESS_PADDING) else None
    number = int.from_bytes(word, "big")
    if name == "uint":
        return number if number >> size == 0 else None
    if name == "bool" and number < 2:
        return bool(number)
    return None


def words_values(kinds: Sequence[str], data: bytes) -> list[Any] | None:
    """The values of `data`; None: not read here."""
    if tuple(kinds) == _HISTORY:
        return _history(data)
    if len(data) != _WORD * len(kinds):
        return None
    values = []
    for index, kind in enumerate(kinds):
        value = word_value(kind, data[_WORD * index : _WORD * (index + 1)])
        if value is None:
            return None
        values.append(value)
    return values


def _history(data: bytes) -> list[Any] | None:
    """(bytes32, bytes) in the one encoding that a compiler emits."""
    size = int.from_bytes(data[2 * _WORD : 3 * _WORD], "big")
    end = 3 * _WORD + size
    usual = int.from_bytes(data[_WORD : 2 * _WORD], "big") == 2 * _WORD
    if not usual or len(data) != end + -size % _WORD or any(data[end:]):
        return None
    return [data[:_WORD], data[3 * _WORD : end]]
