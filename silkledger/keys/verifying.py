"""Public keys and the verification of signatures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from silkledger.keys import multikey, sm2
from silkledger.keys.suites import FACTS, SIGNATURE_SIZE, KeyShapeError, SignatureInvalid, Suite

_CACHE: Final = 4096
"""Parsed public keys kept per process: decompressing a point costs a third of a verification."""

_ECDSA_SHA256: Final = ec.ECDSA(hashes.SHA256())


@lru_cache(maxsize=_CACHE)
def _secp256k1(public: bytes) -> coincurve.PublicKey:
    try:
        return coincurve.PublicKey(public)
    except ValueError:
        raise KeyShapeError("KEY_NOT_ON_CURVE", "not a compressed point of secp256k1") from None


@lru_cache(maxsize=_CACHE)
def _p256(public: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except ValueError:
        raise KeyShapeError("KEY_NOT_ON_CURVE", "not a compressed point of P-256") from None


@lru_cache(maxsize=_CACHE)
def _ed25519(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def _check_point(suite: Suite, public: bytes) -> None:
    if suite is Suite.ES256K:
        _secp256k1(public)
    elif suite is Suite.ES256:
        _p256(public)
    elif suite is Suite.SM2:
        sm2.decompress(public)
    else:
        # Decoding an Ed25519 point is left to the verification: RFC 8032 section 5.1.7 step 1.
        _ed25519(public)


def _der_integer(value: bytes) -> bytes:
    if value[0] >= 0x80:
        return b"\x02\x21\0" + value
    if value[0]:
        return b"\x02\x20" + value
    value = value.lstrip(b"\0")
    if not value or value[0] & 0x80:
        value = b"\0" + value
    return bytes((2, len(value))) + value


def _der(signature: bytes) -> bytes:
    """r‖s as the DER sequence that coincurve's public interface takes."""
    body = _der_integer(signature[:32]) + _der_integer(signature[32:])
    return bytes((0x30, len(body))) + body


def _sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key of one suite, in its one encoding (compressed point, or 32 bytes for Ed25519).

    Made only of points on the curve. Not a statement about whose key it is.

    Raises:
        KeyShapeError: KEY_LENGTH or KEY_NOT_ON_CURVE, when made of anything else.
    """

    suite: Suite
    public: bytes

    def __post_init__(self) -> None:
        size = FACTS[self.suite].public_size
        if len(self.public) != size:
            raise KeyShapeError(
                "KEY_LENGTH", f"{self.suite.name} key must be {size} bytes, got {len(self.public)}"
            )
        _check_point(self.suite, self.public)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Verify a 64-byte signature over `message` (hashed here as the suite says).

        1. the length; 2. the range of r and s; 3. the signature; 4. s in the lower half (ES256K, ES256).

        Raises:
            SignatureInvalid: with SIGNATURE_LENGTH, SIGNATURE_RANGE, SIGNATURE_INVALID or SIGNATURE_HIGH_S.
                HIGH_S is said only of a signature whose low twin verifies.
        """
        # (1)
        if len(signature) != SIGNATURE_SIZE:
            raise SignatureInvalid(
                "SIGNATURE_LENGTH", f"must be {SIGNATURE_SIZE} bytes, got {len(signature)}"
            )
        facts = FACTS[self.suite]
        if facts.order is None:
            if not self._matches(message, signature):
                raise _invalid(self.suite)
            return
        # (2)
        r = int.from_bytes(signature[:32], "big")
        s = int.from_bytes(signature[32:], "big")
        if not (0 < r < facts.order and 0 < s < facts.order):
            raise SignatureInvalid(
                "SIGNATURE_RANGE", "r and s must be between 1 and the order of the curve less 1"
            )
        # (3) and (4)
        high = facts.low_s and s > facts.order // 2
        low = signature[:32] + (facts.order - s).to_bytes(32, "big") if high else signature
        if not self._matches(message, low):
            raise _invalid(self.suite)
        if high:
            raise SignatureInvalid(
                "SIGNATURE_HIGH_S",
                f"s is in the upper half of the order; {self.suite.name} signatures must use the lower one. "
                "Many signers emit high s: replace s by (order - s), the signed bytes stay the same",
            )

    def holds(self, message: bytes, digest: bytes, signature: bytes) -> bool:
        """Whether `verify` would return: for many signatures that are expected to be good.

        `digest` MUST be SHA-256 of `message`; suites that hash so themselves are spared doing it again.
        """
        if self.suite is Suite.ES256K:
            # libsecp256k1 refuses what is out of range and, as the format does, a high s.
            return len(signature) == SIGNATURE_SIZE and bool(
                _secp256k1(self.public).verify(_der(signature), digest, None)
            )
        try:
            self.verify(message, signature)
        except SignatureInvalid:
            return False
        return True

    def _matches(self, message: bytes, signature: bytes) -> bool:
        if self.suite is Suite.ES256K:
            return bool(_secp256k1(self.public).verify(_der(signature), message, _sha256))
        if self.suite is Suite.SM2:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            return sm2.verify(self.public, message, r, s)
        try:
            if self.suite is Suite.ES256:
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                _p256(self.public).verify(encode_dss_signature(r, s), message, _ECDSA_SHA256)
            else:
                _ed25519(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def to_multicodec(self) -> bytes:
        """Multicodec prefix and key: the value of a key attribute in the identity registry."""
        return multikey.to_multicodec(self.suite, self.public)

    def to_multikey(self) -> str:
        """The `publicKeyMultibase` text."""
        return multikey.encode(self.suite, self.public)

    @classmethod
    def from_multikey(cls, text: str) -> VerifyingKey:
        """Raises:
        KeyShapeError: MULTIKEY_MALFORMED, MULTICODEC_UNKNOWN, KEY_LENGTH or KEY_NOT_ON_CURVE.
        """
        return cls(*multikey.decode(text))

    @classmethod
    def from_multicodec(cls, data: bytes) -> VerifyingKey:
        """Raises:
        KeyShapeError: MULTICODEC_UNKNOWN, KEY_LENGTH or KEY_NOT_ON_CURVE.
        """
        return cls(*multikey.split_multicodec(data))


def _invalid(suite: Suite) -> SignatureInvalid:
    return SignatureInvalid("SIGNATURE_INVALID", f"the {suite.name} signature does not verify under this key")
