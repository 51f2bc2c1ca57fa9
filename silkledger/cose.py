"""COSE_Sign1 (RFC 9052) as every signed object here uses it: tag 18, deterministic CBOR, nothing left over.

Shared by statements, receipts and promises. Parsing here checks form only: no signature, no header meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from silkledger import cbor

TAG_18: Final = 0xD2
"""First byte of a tagged COSE_Sign1: CBOR tag 18 (RFC 9052 section 4.2)."""

ALG: Final = 1
CONTENT_TYPE: Final = 3
KID: Final = 4
"""Header labels of RFC 9052 section 3.1."""

_SIGN1: Final = b"\x84"
_EMPTY_MAP: Final = b"\xa0"
# ["Signature1", protected, external_aad = h'', payload]: RFC 9052 section 4.4.
_CONTEXT: Final = b"\x84\x6aSignature1"
_NO_AAD: Final = b"\x40"


class CoseError(ValueError):
    """The bytes are not a COSE_Sign1 in the one accepted form. `reason` starts with COSE_; `field` names
    the part."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Sign1:
    """A parsed COSE_Sign1. `payload` is None when detached."""

    protected_raw: bytes
    protected: dict[int | str, cbor.CborValue]
    unprotected: dict[int | str, cbor.CborValue]
    payload: bytes | None
    signature: bytes


def _bstr(value: bytes) -> bytes:
    size = len(value)
    if size < 24:
        return bytes((0x40 | size,)) + value
    if size < 256:
        return bytes((0x58, size)) + value
    if size < 65536:
        return b"\x59" + size.to_bytes(2, "big") + value
    return b"\x5a" + size.to_bytes(4, "big") + value


def sig_structure(protected_raw: bytes, payload: bytes) -> bytes:
    """The bytes that the signature covers (RFC 9052 section 4.4, context Signature1, no external data)."""
    return _CONTEXT + _bstr(protected_raw) + _NO_AAD + _bstr(payload)


def encode_sign1(
    protected_raw: bytes,
    payload: bytes | None,
    signature: bytes,
    unprotected: dict[int | str, cbor.CborValue] | None = None,
) -> bytes:
    """The tagged message. `protected_raw` is put in as it is: what was signed is what is sent."""
    header = cbor.encode(unprotected) if unprotected else _EMPTY_MAP
    body = b"\xf6" if payload is None else _bstr(payload)
    return b"\xd2\x84" + _bstr(protected_raw) + header + body + _bstr(signature)


_REASONS: Final = {
    "CBOR_TRUNCATED": "COSE_TRUNCATED",
    "CBOR_MALFORMED": "COSE_MALFORMED",
    "CBOR_NOT_DETERMINISTIC": "COSE_NOT_DETERMINISTIC",
    "CBOR_TRAILING_BYTES": "COSE_TRAILING_BYTES",
    "CBOR_KIND_REFUSED": "COSE_KIND_REFUSED",
}


def decode_part(data: bytes, field: str) -> cbor.CborValue:
    """Strict CBOR, with the failure named after the part of the message that it is in.

    Raises:
        CoseError: the CBOR reason with COSE_ in front.
    """
    try:
        return cbor.decode(data)
    except cbor.CborError as error:
        raise CoseError(_REASONS[error.reason], field, error.detail) from None


_Parts: TypeAlias = tuple[bytes, dict[int | str, cbor.CborValue], bytes | None, bytes]


def _read_bstr(raw: bytes, at: int) -> tuple[bytes, int] | None:
    """The byte string at `at` and where it ends; None unless its length is in the shortest form and it is
    whole."""
    head = raw[at] if at < len(raw) else 0
    if 0x40 <= head < 0x58:
        start, size = at + 1, head - 0x40
    elif head == 0x58 and at + 2 <= len(raw) and raw[at + 1] >= 24:
        start, size = at + 2, raw[at + 1]
    elif head == 0x59 and at + 3 <= len(raw) and raw[at + 1]:
        start, size = at + 3, raw[at + 1] << 8 | raw[at + 2]
    else:
        return None
    return (raw[start : start + size], start + size) if start + size <= len(raw) else None


def _plain_parts(raw: bytes) -> _Parts | None:
    """The parts of the usual message: empty unprotected header, attached payload. None for any other bytes.

    Only for speed (a fifth of the cost of parsing): what it returns is what `_parts` returns for the same
    bytes.
    """
    if raw[1:2] != _SIGN1 or (protected := _read_bstr(raw, 2)) is None:
        return None
    at = protected[1]
    if raw[at : at + 1] != _EMPTY_MAP or (payload := _read_bstr(raw, at + 1)) is None:
        return None
    signature = _read_bstr(raw, payload[1])
    if signature is None or signature[1] != len(raw):
        return None
    return protected[0], {}, payload[0], signature[0]


def _parts(raw: bytes) -> _Parts:
    """The four items of the array behind the tag, by the strict decoder."""
    parts = decode_part(raw[1:], "message")
    if type(parts) is not list or len(parts) != 4:
        raise CoseError("COSE_NOT_SIGN1", "message", "must be an array of four items")
    protected_raw, unprotected, payload, signature = parts
    if type(protected_raw) is not bytes:
        raise CoseError("COSE_NOT_SIGN1", "protected", "must be a byte string")
    if type(unprotected) is not dict:
        raise CoseError("COSE_NOT_SIGN1", "unprotected", "must be a map")
    if payload is not None and type(payload) is not bytes:
        raise CoseError("COSE_NOT_SIGN1", "payload", "must be a byte string or null")
    if type(signature) is not bytes:
        raise CoseError("COSE_NOT_SIGN1", "signature", "must be a byte string")
    return protected_raw, unprotected, payload, signature


def parse_sign1(raw: bytes, *, limit: int) -> Sign1:
    """Parse a tagged COSE_Sign1 of at most `limit` bytes.

    Guarantees that the bytes are the only deterministic encoding of what is returned. This is not a
    verification: the signature has not been looked at.

    Raises:
        CoseError: COSE_TOO_LARGE, COSE_TRUNCATED, COSE_TAG_MISSING, COSE_NOT_SIGN1, COSE_MALFORMED,
            COSE_NOT_DETERMINISTIC, COSE_TRAILING_BYTES or COSE_KIND_REFUSED.
    """
    if len(raw) > limit:
        raise CoseError("COSE_TOO_LARGE", "message", f"{len(raw)} bytes, at most {limit} are accepted")
    if not raw:
        raise CoseError("COSE_TRUNCATED", "message", "empty")
    if raw[0] != TAG_18:
        raise CoseError("COSE_TAG_MISSING", "message", "must start with CBOR tag 18 (COSE_Sign1)")
    protected_raw, unprotected, payload, signature = _plain_parts(raw) or _parts(raw)
    protected = decode_part(protected_raw, "protected")
    if type(protected) is not dict:
        raise CoseError("COSE_NOT_SIGN1", "protected", "must hold a map")
    return Sign1(protected_raw, protected, unprotected, payload, signature)
