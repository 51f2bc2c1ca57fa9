"""The bits of a status list: one per credential, and what may follow what.

Bit 0 is the left-most of the first byte. A list has at least 131,072 entries, so that asking for it tells
nobody which credential is meant. Format: docs/formats/status-list.md. Source: W3C Bitstring Status List v1.0,
the algorithms for generation and expansion.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

MIN_ENTRIES: Final = 131_072
"""16 KiB before compression, the specification's least for the privacy of the herd."""
MAX_ENTRIES: Final = 64 * MIN_ENTRIES
"""1 MiB before compression: what a reader must be ready to expand."""

_ENCODED: Final = re.compile(r"u[A-Za-z0-9_-]+")
_GZIP: Final = 16 + zlib.MAX_WBITS


class BitsInvalid(ValueError):
    """The text is no encoding of a list's bits, or the list is too short or too long."""


class IndexOutOfRange(LookupError):
    """The list has no such entry."""

    def __init__(self, index: int, entries: int) -> None:
        super().__init__(f"{index} is not among the {entries} entries from 0 on")
        self.index = index
        self.entries = entries


@dataclass(frozen=True, slots=True)
class StatusBits:
    """The bits, eight entries a byte."""

    data: bytes

    def __post_init__(self) -> None:
        """Raises: BitsInvalid when there are fewer than MIN_ENTRIES or more than MAX_ENTRIES."""
        if not MIN_ENTRIES <= self.entries <= MAX_ENTRIES:
            raise BitsInvalid(f"{self.entries} entries; a list has {MIN_ENTRIES} to {MAX_ENTRIES}")

    @classmethod
    def empty(cls, entries: int = MIN_ENTRIES) -> Self:
        """None is set. `entries` is rounded up to whole bytes. Raises: BitsInvalid."""
        if not MIN_ENTRIES <= entries <= MAX_ENTRIES:
            raise BitsInvalid(f"{entries} entries; a list has {MIN_ENTRIES} to {MAX_ENTRIES}")
        return cls(bytes((entries + 7) // 8))

    @classmethod
    def decode(cls, encoded: str) -> Self:
        """Of `encodedList`: multibase base64url without padding, gzip (RFC 1952), one member.

        Never expands more than MAX_ENTRIES, whatever the text promises. Raises: BitsInvalid.
        """
        if not _ENCODED.fullmatch(encoded):
            raise BitsInvalid("must be multibase base64url without padding (u…)")
        text = encoded[1:]
        try:
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            raise BitsInvalid("is no base64url") from None
        if base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii") != text:
            raise BitsInvalid("its last base64url character has bits that stand for nothing")
        expander = zlib.decompressobj(_GZIP)
        try:
            data = expander.decompress(packed, MAX_ENTRIES // 8 + 1)
        except zlib.error:
            raise BitsInvalid("is no gzip") from None
        if len(data) > MAX_ENTRIES // 8:
            raise BitsInvalid(f"expands to more than {MAX_ENTRIES} entries")
        if not expander.eof or expander.unused_data:
            raise BitsInvalid("is cut short, or something follows the gzip member")
        return cls(data)

    def encode(self) -> str:
        """`encodedList`. The same bits give the same text on one machine; compressors differ."""
        packed = gzip.compress(self.data, 9, mtime=0)
        return "u" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")

    @property
    def entries(self) -> int:
        return len(self.data) * 8

    def is_set(self, index: int) -> bool:
        """Raises: IndexOutOfRange."""
        self._check(index)
        return bool(self.data[index // 8] & (0x80 >> index % 8))

    def changed(self, *, to_set: Iterable[int] = (), to_clear: Iterable[int] = ()) -> Self:
        """Another list with these entries changed; who is in both is cleared. Raises: IndexOutOfRange."""
        data = bytearray(self.data)
        for index in to_set:
            self._check(index)
            data[index // 8] |= 0x80 >> index % 8
        for index in to_clear:
            self._check(index)
            data[index // 8] &= ~(0x80 >> index % 8) & 0xFF
        return type(self)(bytes(data))

    def first_cleared_in(self, later: StatusBits) -> int | None:
        """The first entry that is set here and not in `later`; None: `later` keeps all."""
        shorter = later.data[: len(self.data)].ljust(len(self.data), b"\0")
        lost = int.from_bytes(self.data, "big") & ~int.from_bytes(shorter, "big")
        return self.entries - lost.bit_length() if lost else None

    def _check(self, index: int) -> None:
        if not 0 <= index < self.entries:
            raise IndexOutOfRange(index, self.entries)
