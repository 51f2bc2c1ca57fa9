"""Reading the members of a genesis file, strictly: numbers as Besu spells them, octets, addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from silkledger.values import Address

_DECIMAL: Final = re.compile(r"[0-9]{1,78}")
_HEX: Final = re.compile(r"(0x)?[0-9a-fA-F]{1,64}")
_OCTETS: Final = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})*)")
_MAX: Final = 2**256


class GenesisError(ValueError):
    """The genesis file is not understood. Nothing is made of it."""


class Fields:
    """One JSON object, whose names are in lower case."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise GenesisError(f"{what} must be an object")
        self.values: Mapping[str, object] = value
        self._what = what

    def only(self, names: set[str]) -> None:
        """Raises: GenesisError for any other name."""
        unknown = sorted(self.values.keys() - names)
        if unknown:
            raise GenesisError(f"{self._what}: {', '.join(unknown)} is not known here")

    def get(self, name: str, otherwise: object = None) -> object:
        return self.values.get(name, otherwise)

    def need(self, name: str) -> object:
        """Raises: GenesisError."""
        if name not in self.values:
            raise GenesisError(f"{self._what} lacks {name}")
        return self.values[name]

    def object(self, name: str) -> Fields:
        """Raises: GenesisError."""
        return Fields(self.need(name), name)


def number(value: object, what: str, *, hexadecimal: bool = False) -> int:
    """A JSON integer, `0x` and hexadecimal digits, or digits: decimal, or hexadecimal as Besu reads it.
    Raises: GenesisError.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str) and (hexadecimal or value.startswith("0x")) and _HEX.fullmatch(value):
        found = int(value, 16)
    elif isinstance(value, str) and not hexadecimal and _DECIMAL.fullmatch(value):
        found = int(value)
    else:
        raise GenesisError(f"{what} is no number")
    if not 0 <= found < _MAX:
        raise GenesisError(f"{what} is out of range")
    return found


def octets(value: object, what: str, size: int | None = None) -> bytes:
    """Octets in hexadecimal, with or without `0x`. Raises: GenesisError."""
    match = _OCTETS.fullmatch(value) if isinstance(value, str) else None
    if match is None or (size is not None and len(match[1]) != 2 * size):
        raise GenesisError(f"{what} must be {size or 'some'} bytes in hexadecimal")
    return bytes.fromhex(match[1])


def address(value: object, what: str) -> Address:
    """Raises: GenesisError."""
    return Address(octets(value, what, Address.SIZE))
