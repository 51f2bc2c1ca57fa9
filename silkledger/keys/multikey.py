"""Multikey (W3C Controlled Identifiers 1.0): multicodec varint ‖ public key, in base58-btc with the prefix
`z`."""

from __future__ import annotations

from typing import Final

from silkledger.keys.suites import FACTS, KeyShapeError, Suite

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_INDEX: Final = {c: i for i, c in enumerate(_ALPHABET)}
_MAX_TEXT: Final = 64
"""Longest Multikey text looked at; ours have 48 or 49 characters. Base 58 is quadratic, so it is bounded."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_PREFIXES: Final = {_varint(facts.multicodec): suite for suite, facts in FACTS.items()}
_PREFIX_OF: Final = {suite: prefix for prefix, suite in _PREFIXES.items()}


def b58encode(data: bytes) -> str:
    """Base 58 with the Bitcoin alphabet: big-endian number, one `1` per leading zero byte."""
    zeros = len(data) - len(data.lstrip(b"\0"))
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, rest = divmod(number, 58)
        digits.append(_ALPHABET[rest])
    return "1" * zeros + "".join(reversed(digits))


def b58decode(text: str) -> bytes:
    """Inverse of `b58encode`.

    Raises:
        KeyShapeError: MULTIKEY_MALFORMED on a character outside the alphabet.
    """
    number = 0
    for char in text:
        if char not in _INDEX:
            raise KeyShapeError("MULTIKEY_MALFORMED", "a character is outside the base58-btc alphabet")
        number = number * 58 + _INDEX[char]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def to_multicodec(suite: Suite, public: bytes) -> bytes:
    """Varint of the multicodec number, then the key: what the identity registry holds."""
    return _PREFIX_OF[suite] + public


def split_multicodec(data: bytes) -> tuple[Suite, bytes]:
    """Suite and key bytes. The key's point is not checked here.

    Raises:
        KeyShapeError: MULTICODEC_UNKNOWN if the prefix is none of ours, in its shortest form.
    """
    for prefix, suite in _PREFIXES.items():
        if data.startswith(prefix):
            return suite, data[len(prefix) :]
    raise KeyShapeError("MULTICODEC_UNKNOWN", f"prefix {data[:2].hex()} is no supported public key type")


def encode(suite: Suite, public: bytes) -> str:
    """The Multikey text."""
    return "z" + b58encode(to_multicodec(suite, public))


def decode(text: str) -> tuple[Suite, bytes]:
    """Suite and key bytes of a Multikey text.

    Raises:
        KeyShapeError: MULTIKEY_MALFORMED or MULTICODEC_UNKNOWN.
    """
    if not text.startswith("z") or len(text) > _MAX_TEXT:
        raise KeyShapeError("MULTIKEY_MALFORMED", "must be base58-btc multibase (prefix z) of one key")
    return split_multicodec(b58decode(text[1:]))
