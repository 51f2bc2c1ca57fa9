"""An event's arguments: as JSON for the wire, and as the texts and accounts that filters look at. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from silkledger.values import Address

LONGEST_FILTERED: Final = 256
"""Characters of the longest argument that a filter can name (ArgumentFilter.values in the proto)."""


def arguments_json(arguments: Mapping[str, Any]) -> str:
    """RFC 8785: bytes as 0x-hex, integers as decimal strings, keys sorted."""
    plain = {name: _plain(value) for name, value in arguments.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def texts_of(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Scalar arguments as in the JSON, without quotes; long ones are left out."""
    texts = {}
    for name, value in arguments.items():
        plain = _plain(value)
        if isinstance(plain, bool):
            plain = "true" if plain else "false"
        if isinstance(plain, str) and len(plain) <= LONGEST_FILTERED:
            texts[name] = plain
    return texts


def accounts_of(arguments: Mapping[str, Any]) -> frozenset[bytes]:
    """Every address among the arguments, those inside lists included."""
    return frozenset(account for value in arguments.values() for account in _accounts(value))


def _accounts(value: object) -> Iterator[bytes]:
    if isinstance(value, Address):
        yield bytes(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _accounts(item)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)
