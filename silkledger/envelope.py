"""What every signed object of an issuer has in common: the COSE headers and the CWT claims.

A statement (one document) and a manifest (many) differ only in their payload and in how they name its
kind. Headers: RFC 9052 and RFC 9943 (CWT claims in header 15, RFC 9597). The format, field by field, with all
reasons, is docs/formats/statement.md.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from silkledger import cbor, cose
from silkledger.keys import KeyShapeError, SignatureInvalid, Suite, VerifyingKey
from silkledger.keys.account import address_of
from silkledger.values import Address, Did, DocumentType, StatementId, ValueShapeError

MAX_BYTES: Final = 8192
"""Largest signed object accepted, in bytes. Well under the 65,535 of a C2SP log entry."""

SALT_SIZE: Final = 16
MAX_SUBJECT: Final = 256
"""Longest subject, in characters."""
MAX_AUDIENCE: Final = 64
MAX_ISSUED_AT: Final = 253_402_300_799
"""9999-12-31T23:59:59Z: the last second that RFC 3339 can write."""

CWT_CLAIMS: Final = 15
"""Header parameter that holds the claims (RFC 9597)."""

_ISS, _SUB, _IAT = 1, 2, 6  # RFC 8392
_DOCUMENT_TYPE, _SALT, _SUPERSEDES, _AUDIENCE, _CONTROLLER_KEY = -70001, -70002, -70003, -70004, -70005
# Private use claims of this project (RFC 8392 section 9.1 leaves integers below -65536 to it).

_NAMES: Final = {
    _ISS: "issuer",
    _SUB: "subject",
    _IAT: "issued_at",
    _DOCUMENT_TYPE: "document_type",
    _SALT: "salt",
    _SUPERSEDES: "supersedes",
    _AUDIENCE: "audience",
    _CONTROLLER_KEY: "controller_key",
}
_REQUIRED: Final = (_ISS, _SUB, _IAT, _DOCUMENT_TYPE, _SALT)
_FRAGMENT: Final = re.compile(r"controller|delegate-[1-9][0-9]{0,5}")
_SUITES: Final = {int(suite): suite for suite in Suite}
# Control, bidirectional and zero-width characters: two subjects must not look alike and differ.
_HIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]")


class StatementError(ValueError):
    """A signed object is refused. `reason` is a stable code, `field` the part of it, `detail` a sentence."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail

    def __reduce__(self) -> tuple[type[StatementError], tuple[str, str, str]]:
        return StatementError, (self.reason, self.field, self.detail)


@dataclass(frozen=True, slots=True)
class SignedObject:
    """The common fields, as received. Its signature is *not* verified until `verify` has returned."""

    raw: bytes
    """The bytes as received: these are hashed into the log and stored, never a re-encoding."""
    id: StatementId
    """SHA-256 of `sig_structure`. Does not cover the signature, so another signature makes no other
    object."""
    issuer: Did
    kid: str
    """DID URL of the issuer's verification method."""
    subject: str
    document_type: DocumentType
    issued_at: int
    """The issuer's own clock, Unix seconds. A claim: the log and the chain give the provable times."""
    salt: bytes
    supersedes: StatementId | None
    audience: tuple[Did, ...]
    suite: Suite
    controller_key: bytes | None
    """33-byte secp256k1 key, present exactly when the key is `#controller`."""
    signature: bytes
    sig_structure: bytes

    @property
    def fragment(self) -> str:
        """`controller` or `delegate-N`."""
        return self.kid.rpartition("#")[2]

    @property
    def controller_address(self) -> Address | None:
        """Address of the controller key that the object carries; the verifier compares it with the owner."""
        return None if self.controller_key is None else address_of(self.controller_key)

    def carried_key(self) -> VerifyingKey | None:
        """The controller key as a verifying key. That it is the issuer's is for the identity registry to
        say."""
        return None if self.controller_key is None else VerifyingKey(Suite.ES256K, self.controller_key)

    def verify(self, key: VerifyingKey) -> None:
        """Verify the signature under `key`. Says nothing about whether `key` is the issuer's at any block.

        Raises:
            StatementError: SUITE_MISMATCH, CONTROLLER_KEY_MISMATCH or SIGNATURE_LENGTH, _RANGE, _HIGH_S,
            _INVALID.
        """
        if key.suite is not self.suite:
            raise StatementError(
                "SUITE_MISMATCH", "alg", f"signed as {self.suite.name}, the key is {key.suite.name}"
            )
        if self.controller_key is not None and key.public != self.controller_key:
            raise StatementError(
                "CONTROLLER_KEY_MISMATCH", "controller_key", "the key given is not the one carried"
            )
        try:
            key.verify(self.sig_structure, self.signature)
        except SignatureInvalid as error:
            raise StatementError(error.reason, "signature", error.detail) from None


@dataclass(frozen=True, slots=True)
class Subject:
    """What an issuer says around the payload; input of signing."""

    issuer: Did
    kid: str
    subject: str
    document_type: DocumentType
    issued_at: int
    salt: bytes
    supersedes: StatementId | None
    audience: tuple[Did, ...]


def encode_protected(about: Subject, key: VerifyingKey, kind: dict[int | str, cbor.CborValue]) -> bytes:
    """Protected header bytes, with `kind` naming the payload's kind."""
    claims: dict[int | str, cbor.CborValue] = {
        _ISS: about.issuer.text,
        _SUB: about.subject,
        _IAT: about.issued_at,
        _DOCUMENT_TYPE: str(about.document_type),
        _SALT: about.salt,
    }
    if about.supersedes is not None:
        claims[_SUPERSEDES] = bytes(about.supersedes)
    if about.audience:
        claims[_AUDIENCE] = [did.text for did in about.audience]
    if about.kid.endswith("#controller"):
        claims[_CONTROLLER_KEY] = key.public
    return cbor.encode({cose.ALG: int(key.suite), cose.KID: about.kid.encode(), CWT_CLAIMS: claims, **kind})


def read_sign1(raw: bytes) -> cose.Sign1:
    """COSE_Sign1 with an attached payload, an empty unprotected header and a known suite.

    Raises:
        StatementError: COSE_…, COSE_UNPROTECTED_NOT_EMPTY or PAYLOAD_DETACHED.
    """
    try:
        sign1 = cose.parse_sign1(raw, limit=MAX_BYTES)
    except cose.CoseError as error:
        raise StatementError(error.reason, error.field, error.detail) from None
    if sign1.unprotected:
        raise StatementError(
            "COSE_UNPROTECTED_NOT_EMPTY", "unprotected", "must be empty: what is not signed is not accepted"
        )
    if sign1.payload is None:
        raise StatementError("PAYLOAD_DETACHED", "payload", "must be inside the message")
    return sign1


def read_common(raw: bytes, sign1: cose.Sign1, kinds: tuple[int, ...]) -> dict[str, Any]:
    """Fields of `SignedObject` by name. `kinds` are the header labels that the caller reads itself.

    Raises:
        StatementError: with the reason and the field.
    """
    header = sign1.protected
    known = (cose.ALG, cose.KID, CWT_CLAIMS, *kinds)
    for label in header:
        if label not in known:
            raise StatementError(
                "HEADER_UNKNOWN", f"protected[{str(label)[:32]}]", "no such header is accepted here"
            )
    for label in known:
        if label not in header:
            raise StatementError("HEADER_MISSING", f"protected[{label}]", "is required")
    alg = header[cose.ALG]
    suite = _SUITES.get(alg) if type(alg) is int else None
    if suite is None:
        raise StatementError("ALG_UNSUPPORTED", "alg", "must be -47 ES256K, -7 ES256, -8 EdDSA or -65601 SM2")
    claims = _claims(header[CWT_CLAIMS])
    issuer = _did(claims[_ISS], "issuer", "ISSUER_MALFORMED")
    structure = cose.sig_structure(sign1.protected_raw, sign1.payload or b"")
    return {
        "raw": raw,
        "id": StatementId(hashlib.sha256(structure).digest()),
        "issuer": issuer,
        "kid": (kid := _kid(header[cose.KID], issuer)),
        "subject": check_subject(claims[_SUB]),
        "document_type": _document_type(claims[_DOCUMENT_TYPE]),
        "issued_at": _issued_at(claims[_IAT]),
        "salt": _bytes(claims[_SALT], SALT_SIZE, "salt", "SALT_LENGTH"),
        "supersedes": _supersedes(claims),
        "audience": _audience(claims),
        "suite": suite,
        "controller_key": _controller_key(claims, kid, suite),
        "signature": sign1.signature,
        "sig_structure": structure,
    }


def _claims(value: Any) -> dict[int, Any]:
    if type(value) is not dict:
        raise StatementError("CLAIMS_MALFORMED", "claims", "must be a map")
    for key in value:
        if key not in _NAMES:
            raise StatementError("CLAIM_UNKNOWN", f"claims[{str(key)[:32]}]", "no such claim is accepted")
    for key in _REQUIRED:
        if key not in value:
            raise StatementError("CLAIM_MISSING", _NAMES[key], "is required")
    return value


@lru_cache(maxsize=4096)
def _cached_did(text: str) -> Did:
    return Did(text)


def _did(value: Any, field: str, reason: str) -> Did:
    if type(value) is not str:
        raise StatementError(reason, field, "must be text")
    try:
        return _cached_did(value)
    except ValueShapeError as error:
        raise StatementError(reason, field, error.reason) from None


def _kid(value: Any, issuer: Did) -> str:
    try:
        kid = value.decode("ascii") if type(value) is bytes else ""
    except UnicodeDecodeError:
        kid = ""
    did, _, fragment = kid.partition("#")
    if not _FRAGMENT.fullmatch(fragment):
        raise StatementError(
            "KID_MALFORMED", "kid", "must be <issuer DID>#controller or <issuer DID>#delegate-<n>"
        )
    if did != issuer.text:
        raise StatementError("KID_NOT_OF_ISSUER", "kid", "names a key of another DID than the issuer")
    return kid


def check_subject(value: Any) -> str:
    """The value, if it is a subject that is accepted. Raises: StatementError SUBJECT_MALFORMED."""
    if (
        type(value) is not str
        or not 0 < len(value) <= MAX_SUBJECT
        or value != value.strip()
        or _HIDDEN.search(value)
    ):
        raise StatementError(
            "SUBJECT_MALFORMED",
            "subject",
            f"must be 1 to {MAX_SUBJECT} characters, no outer spaces, no control or invisible characters",
        )
    return value


def _document_type(value: Any) -> DocumentType:
    try:
        return DocumentType(value if type(value) is str else "")
    except ValueShapeError as error:
        raise StatementError("DOCUMENT_TYPE_MALFORMED", "document_type", error.reason) from None


def _issued_at(value: Any) -> int:
    if type(value) is not int or not 0 < value <= MAX_ISSUED_AT:
        raise StatementError("ISSUED_AT_MALFORMED", "issued_at", "must be whole Unix seconds")
    return value


def _bytes(value: Any, size: int, field: str, reason: str) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise StatementError(reason, field, f"must be {size} bytes")
    return value


def _supersedes(claims: dict[int, Any]) -> StatementId | None:
    if _SUPERSEDES not in claims:
        return None
    return StatementId(_bytes(claims[_SUPERSEDES], 32, "supersedes", "SUPERSEDES_LENGTH"))


def _audience(claims: dict[int, Any]) -> tuple[Did, ...]:
    if _AUDIENCE not in claims:
        return ()
    value = claims[_AUDIENCE]
    if (
        type(value) is not list
        or not 0 < len(value) <= MAX_AUDIENCE
        or len(set(map(repr, value))) != len(value)
    ):
        raise StatementError(
            "AUDIENCE_MALFORMED", "audience", f"must be 1 to {MAX_AUDIENCE} different DIDs, or be left out"
        )
    return tuple(_did(item, "audience", "AUDIENCE_MALFORMED") for item in value)


def _controller_key(claims: dict[int, Any], kid: str, suite: Suite) -> bytes | None:
    field = "controller_key"
    if not kid.endswith("#controller"):
        if _CONTROLLER_KEY in claims:
            raise StatementError(
                "CONTROLLER_KEY_UNEXPECTED", field, "only a statement under #controller carries it"
            )
        return None
    if suite is not Suite.ES256K:
        raise StatementError(
            "CONTROLLER_SUITE", "alg", "a controller signs with ES256K; other suites use #delegate-<n>"
        )
    if _CONTROLLER_KEY not in claims:
        raise StatementError("CONTROLLER_KEY_MISSING", field, "is required under #controller")
    key = _bytes(claims[_CONTROLLER_KEY], 33, field, "CONTROLLER_KEY_MALFORMED")
    try:
        VerifyingKey(Suite.ES256K, key)
    except KeyShapeError as error:
        raise StatementError("CONTROLLER_KEY_MALFORMED", field, error.detail) from None
    return key
