"""Private keys: made here, signing here, never shown."""

from __future__ import annotations

import hashlib
from typing import NoReturn, Protocol

import coincurve
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from silkledger.keys import sm2
from silkledger.keys.suites import FACTS, KeyShapeError, Suite
from silkledger.keys.verifying import VerifyingKey


class SigningKey(Protocol):
    """Whatever can sign: a key in memory, or one that stays in a hardware module."""

    @property
    def suite(self) -> Suite: ...

    @property
    def verifying_key(self) -> VerifyingKey: ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes that `verifying_key.verify(message, …)` accepts."""
        ...


class PrivateKey:
    """A private key held in memory. Its secret is in no text form of it, and it cannot be pickled.

    Raises:
        KeyShapeError: SECRET_RANGE if `secret` is not 32 bytes naming a valid private key of the suite.
    """

    __slots__ = ("_ed25519", "_secret", "_verifying_key")

    def __init__(self, suite: Suite, secret: bytes) -> None:
        order = FACTS[suite].order
        # SM2 signing needs d + 1 to be invertible, so n - 1 is excluded (GB/T 32918.1 section 6.1).
        top = None if order is None else (order - 1 if suite is Suite.SM2 else order)
        if len(secret) != 32 or (top is not None and not 0 < int.from_bytes(secret, "big") < top):
            raise KeyShapeError("SECRET_RANGE", f"not a private key of {suite.name}")
        self._secret = bytes(secret)
        self._verifying_key = VerifyingKey(suite, _public_of(suite, self._secret))
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(secret) if suite is Suite.EDDSA else None

    @property
    def suite(self) -> Suite:
        return self._verifying_key.suite

    @property
    def verifying_key(self) -> VerifyingKey:
        return self._verifying_key

    def sign(self, message: bytes) -> bytes:
        """r‖s over `message`, low s where the suite has it. ES256K and ES256 are deterministic (RFC 6979)."""
        if self.suite is Suite.ES256K:
            digest = hashlib.sha256(message).digest()
            return coincurve.PrivateKey(self._secret).sign_recoverable(digest, None)[:64]
        if self.suite is Suite.SM2:
            return sm2.sign(self._secret, self._verifying_key.public, message)
        if self._ed25519 is not None:
            return self._ed25519.sign(message)
        key = ec.derive_private_key(int.from_bytes(self._secret, "big"), ec.SECP256R1())
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        order = FACTS[Suite.ES256].order or 0
        return r.to_bytes(32, "big") + min(s, order - s).to_bytes(32, "big")

    def export_secret(self) -> bytes:
        """The 32 secret bytes. For writing a key file; nothing else should need it."""
        return self._secret

    def __repr__(self) -> str:
        return f"PrivateKey({self._verifying_key.to_multikey()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


def _public_of(suite: Suite, secret: bytes) -> bytes:
    if suite is Suite.ES256K:
        return coincurve.PrivateKey(secret).public_key.format(compressed=True)
    if suite is Suite.SM2:
        return sm2.public_of(secret)
    if suite is Suite.EDDSA:
        return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    key = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )


def generate(suite: Suite) -> PrivateKey:
    """A new private key from the operating system's random numbers."""
    if suite is Suite.ES256K:
        return PrivateKey(suite, coincurve.PrivateKey().secret)
    if suite is Suite.SM2:
        return PrivateKey(suite, sm2.generate()[0])
    if suite is Suite.EDDSA:
        return PrivateKey(suite, Ed25519PrivateKey.generate().private_bytes_raw())
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return PrivateKey(suite, number.to_bytes(32, "big"))
