"""W3C Data Integrity proofs of the suite `eddsa-jcs-2022`: Ed25519 over two hashes of canonical JSON.

Signed is SHA-256(JCS(proof options)) ‖ SHA-256(JCS(document)), both without what follows from the signature.
Sources: Data Integrity EdDSA Cryptosuites v1.0 section 3.3; RFC 8785 (JCS). A proof says which key signed,
never whose key that is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

import rfc8785

from silkledger.keys import KeyShapeError, PrivateKey, SignatureInvalid, Suite, VerifyingKey
from silkledger.keys.multikey import b58decode, b58encode

CRYPTOSUITE: Final = "eddsa-jcs-2022"
_MAX_DEPTH: Final = 16
"""Deepest nesting read. Credentials need about five."""
_STRINGS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = re.compile(r"[\[\]{}]")
_MAX_SIGNATURE_TEXT: Final = 90
"""64 bytes are 87 or 88 characters of base 58; base 58 is quadratic, so the text is bounded."""


class NotCanonical(ValueError):
    """The bytes are no JSON, or not its canonical form (RFC 8785)."""


class ProofInvalid(ValueError):
    """The proof is no such signature by the key."""


def read_canonical(data: bytes) -> object:
    """The JSON value of which `data` is the canonical form. Raises: NotCanonical."""
    try:
        _check_depth(data.decode("utf-8"))
        value = json.loads(data)
        again = canonical(value)
    except ValueError as error:
        raise NotCanonical(f"not JSON that has a canonical form: {error}") from error
    if again != data:
        raise NotCanonical("the canonical form (RFC 8785) has other bytes")
    return value


def _check_depth(text: str) -> None:
    """Bound the nesting before the parser sees it: how deep Python's own may go depends on the process."""
    depth = 0
    for mark in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if mark in "[{" else -1
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH}")


def canonical(value: object) -> bytes:
    """RFC 8785. Raises: ValueError for what has no canonical form."""
    return rfc8785.dumps(value)  # type: ignore[arg-type]


def document_digest(document: Mapping[str, object]) -> bytes:
    """SHA-256 of the canonical document without its proof."""
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    return hashlib.sha256(canonical(unsecured)).digest()


def _signed(document: Mapping[str, object], options: Mapping[str, object]) -> bytes:
    config = {name: value for name, value in options.items() if name != "proofValue"}
    return hashlib.sha256(canonical(config)).digest() + document_digest(document)


def secure(
    document: Mapping[str, object], key: PrivateKey, *, method: str, created: str
) -> dict[str, object]:
    """`document` with a proof of assertion by `key`, which verifiers find under the name `method`.

    Raises:
        ValueError: the key is no Ed25519 key.
    """
    if key.suite is not Suite.EDDSA:
        raise ValueError(f"{CRYPTOSUITE} signs with Ed25519 keys only")
    options: dict[str, object] = {
        "@context": document["@context"],
        "type": "DataIntegrityProof",
        "cryptosuite": CRYPTOSUITE,
        "created": created,
        "verificationMethod": method,
        "proofPurpose": "assertionMethod",
    }
    value = "z" + b58encode(key.sign(_signed(document, options)))
    return {**document, "proof": options | {"proofValue": value}}


def verify(document: Mapping[str, object], key: VerifyingKey) -> None:
    """Verify the one proof of `document`. What the proof says beside the signature is the caller's to check.

    Raises:
        ProofInvalid: there is no such proof, or `key` did not make it.
    """
    proof = document.get("proof")
    value = proof.get("proofValue") if isinstance(proof, dict) else None
    if not isinstance(proof, dict) or not isinstance(value, str) or key.suite is not Suite.EDDSA:
        raise ProofInvalid("no proof with a value, or no Ed25519 key")
    if not value.startswith("z") or len(value) > _MAX_SIGNATURE_TEXT:
        raise ProofInvalid("proofValue must be base58-btc multibase")
    try:
        signature = b58decode(value[1:])
        key.verify(_signed(document, proof), signature)
    except (KeyShapeError, SignatureInvalid) as error:
        raise ProofInvalid(str(error)) from error
