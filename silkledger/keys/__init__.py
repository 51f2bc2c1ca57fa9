"""Signature suites: ES256K, ES256, EdDSA (Ed25519) and SM2 with SM3. Made, kept, named and verified alike.

Guarantees: one encoding per key (compressed point or 32 bytes) and per signature (64 bytes, low s for the
two ECDSA suites); private keys appear in no text form of any object. Does not say whose key it is: binding
a key to an organisation is the identity registry's part.
"""

from __future__ import annotations

from silkledger.keys.files import KeyFileError, load_key, save_key
from silkledger.keys.signing import PrivateKey, SigningKey, generate
from silkledger.keys.suites import KeyShapeError, SignatureInvalid, Suite
from silkledger.keys.verifying import VerifyingKey

__all__ = [
    "KeyFileError",
    "KeyShapeError",
    "PrivateKey",
    "SignatureInvalid",
    "SigningKey",
    "Suite",
    "VerifyingKey",
    "generate",
    "load_key",
    "save_key",
]
