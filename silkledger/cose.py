"""COSE_Sign1 (RFC 9052) as every signed object here uses it: tag 18, deterministic CBOR, nothing left over.

Shared by statements, receipts and promises. Parsing here checks form only: no signature, no header meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    protected = decode_part(protected_raw, "protected")
    if type(protected) is not dict:
        raise CoseError("COSE_NOT_SIGN1", "protected", "must hold a map")
    return Sign1(protected_raw, protected, unprotected, payload, signature)
