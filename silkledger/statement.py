"""Signed statements: "this issuer says this about the document with this digest".

A COSE_Sign1 (RFC 9052) whose payload is the SHA-256 digest of the document (hash envelope, RFC 9995), with
issuer and subject as CWT claims (SCITT, RFC 9943).

Guarantees: what `parse_statement` accepts has exactly one encoding, nothing unsigned in it but the signature
itself, and no field that is not checked. Does not say that the signature verifies (`SignedStatement.verify`),
that the key was the issuer's at a block, or that the issuer was accredited.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from silkledger import cose
from silkledger.envelope import (
    MAX_BYTES,
    SALT_SIZE,
    SignedObject,
    StatementError,
    Subject,
    encode_protected,
    read_common,
    read_sign1,
)
from silkledger.keys import SigningKey, VerifyingKey
from silkledger.values import Did, Digest, DocumentType, StatementId

__all__ = [
    "MAX_BYTES",
    "SALT_SIZE",
    "CheckedStatement",
    "SignedStatement",
    "StatementError",
    "parse_statement",
    "sign_statement",
    "verify_batch",
]

PAYLOAD_HASH_ALG: Final = 258
PREIMAGE_CONTENT_TYPE: Final = 259
"""Header labels of RFC 9995."""
SHA_256: Final = -16
"""COSE algorithm of the payload's hash (RFC 9054)."""

_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}(?:;[ -~]{1,96})?"
)


@dataclass(frozen=True, slots=True)
class SignedStatement(SignedObject):
    """A parsed statement. Not verified until `verify` has returned."""

    digest: Digest
    """SHA-256 of the document's bytes."""
    content_type: str
    """Media type of the document (RFC 9995 header 259). The issuer's claim."""


def sign_statement(
    key: SigningKey,
    *,
    issuer: Did,
    kid: str,
    subject: str,
    document_type: DocumentType,
    digest: Digest,
    content_type: str,
    issued_at: int,
    salt: bytes,
    supersedes: StatementId | None = None,
    audience: Sequence[Did] = (),
) -> bytes:
    """Sign a statement and return its bytes; they are the statement, never to be re-encoded.

    `kid` is the DID URL `<issuer>#controller` or `<issuer>#delegate-<n>`; `salt` is 16 fresh random bytes.

    Raises:
        StatementError: if the result would be refused by `parse_statement`.
    """
    about = Subject(issuer, kid, subject, document_type, issued_at, salt, supersedes, tuple(audience))
    kind: dict[int | str, object] = {PAYLOAD_HASH_ALG: SHA_256, PREIMAGE_CONTENT_TYPE: content_type}
    protected = encode_protected(about, key.verifying_key, kind)
    payload = bytes(digest)
    signature = key.sign(cose.sig_structure(protected, payload))
    raw = cose.encode_sign1(protected, payload, signature)
    parse_statement(raw)
    return raw


def parse_statement(raw: bytes) -> SignedStatement:
    """Parse the bytes of a statement strictly. This is not a verification of its signature.

    1. a tagged COSE_Sign1 in deterministic CBOR, within the size cap; 2. an empty unprotected header;
    3. exactly the headers and claims of the format, each of its shape; 4. the key of the issuer's own DID;
    5. a payload of 32 bytes.

    Raises:
        StatementError: with the reason and the field; the list is in docs/formats/statement.md.
    """
    # (1) (2)
    sign1 = read_sign1(raw)
    header = sign1.protected
    if cose.CONTENT_TYPE in header and PAYLOAD_HASH_ALG not in header:
        raise StatementError(
            "NOT_A_HASH_ENVELOPE", "protected[3]", "a statement is a hash envelope (headers 258, 259)"
        )
    # (3) (4)
    common = read_common(raw, sign1, (PAYLOAD_HASH_ALG, PREIMAGE_CONTENT_TYPE))
    if header[PAYLOAD_HASH_ALG] != SHA_256 or type(header[PAYLOAD_HASH_ALG]) is not int:
        raise StatementError("HASH_ALG_UNSUPPORTED", "payload_hash_alg", "must be -16 (SHA-256)")
    content_type = header[PREIMAGE_CONTENT_TYPE]
    if type(content_type) is not str or not _MEDIA_TYPE.fullmatch(content_type):
        raise StatementError(
            "CONTENT_TYPE_MALFORMED", "content_type", "must be a media type such as application/pdf"
        )
    # (5)
    payload = sign1.payload or b""
    if len(payload) != Digest.SIZE:
        raise StatementError("DIGEST_LENGTH", "digest", f"must be 32 bytes, got {len(payload)}")
    return SignedStatement(**common, digest=Digest(payload), content_type=content_type)


@dataclass(frozen=True, slots=True)
class CheckedStatement:
    """Result for one statement of a batch: exactly one of `statement` and `error` is set."""

    statement: SignedStatement | None
    signed_by: VerifyingKey | None
    """The key under which the signature verified. None: not verified, because no key was known."""
    error: StatementError | None


def verify_batch(
    items: Sequence[bytes], keys: Sequence[VerifyingKey | None] | None = None
) -> list[CheckedStatement]:
    """Parse each item and verify its signature, in order. Runs in a process pool: all of it can be pickled.

    A statement under `#controller` is verified under the key that it carries. Any other is verified under the
    entry of `keys` at its index; without one it is parsed only, and `signed_by` stays None. Whether a key was
    the issuer's is not checked here.
    """
    if keys is not None and len(keys) != len(items):
        raise ValueError("one key entry per item")
    return [_check(raw, None if keys is None else keys[i]) for i, raw in enumerate(items)]


def _check(raw: bytes, key: VerifyingKey | None) -> CheckedStatement:
    try:
        statement = parse_statement(raw)
        key = statement.carried_key() or key
        if key is not None:
            statement.verify(key)
    except StatementError as error:
        return CheckedStatement(None, None, error)
    return CheckedStatement(statement, key, None)
