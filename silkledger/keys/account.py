"""An account on the EVM ledger: a secp256k1 key that signs 32-byte digests and is named by its address.

The same key serves as an organisation's controller: as `Account` on the chain, as an ES256K key for
statements.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

import coincurve
import sha3

from silkledger.keys.files import load_key, save_key
from silkledger.keys.signing import PrivateKey, generate
from silkledger.keys.suites import KeyShapeError, SignatureInvalid, Suite
from silkledger.values import Address

_HALF_N: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of the order of secp256k1: EIP-2 and OpenZeppelin's ECDSA accept s up to here."""


def keccak(data: bytes) -> bytes:
    """keccak-256, the hash of the EVM (not NIST SHA3-256)."""
    return bytes(sha3.keccak_256(data).digest())


def address_of(public: bytes) -> Address:
    """Address of a secp256k1 public key, given as 33 or 65 bytes.

    Raises:
        KeyShapeError: KEY_NOT_ON_CURVE or KEY_LENGTH.
    """
    if len(public) not in (33, 65):
        raise KeyShapeError("KEY_LENGTH", f"secp256k1 key must be 33 or 65 bytes, got {len(public)}")
    try:
        point = coincurve.PublicKey(public).format(compressed=False)
    except ValueError:
        raise KeyShapeError("KEY_NOT_ON_CURVE", "not a point of secp256k1") from None
    return Address(keccak(point[1:])[12:])


def recover(digest: bytes, signature: bytes) -> Address:
    """Address that made the 65-byte signature r‖s‖v over `digest`.

    Any well-formed signature recovers to some address: the caller must compare it with the expected one.

    Raises:
        SignatureInvalid: SIGNATURE_LENGTH, SIGNATURE_HIGH_S, or SIGNATURE_INVALID (v, range, no such point).
    """
    if len(digest) != 32 or len(signature) != 65:
        raise SignatureInvalid("SIGNATURE_LENGTH", "needs a digest of 32 and a signature of 65 bytes")
    if signature[64] not in (27, 28):
        raise SignatureInvalid("SIGNATURE_INVALID", f"v must be 27 or 28, got {signature[64]}")
    if int.from_bytes(signature[32:64], "big") > _HALF_N:
        raise SignatureInvalid("SIGNATURE_HIGH_S", "s is in the upper half of the order")
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes((signature[64] - 27,)), digest, hasher=None
        )
    except Exception as error:
        # coincurve raises a bare Exception when no point fits; anything more specific is not that case.
        if type(error) not in (Exception, ValueError):
            raise
        raise SignatureInvalid("SIGNATURE_INVALID", "r and s name no public key") from None
    return address_of(key.format(compressed=False))


class Account:
    """A secp256k1 private key with its address. The secret is in no text form of it."""

    __slots__ = ("_key", "address")

    def __init__(self, key: PrivateKey) -> None:
        if key.suite is not Suite.ES256K:
            raise KeyShapeError("KEY_SUITE", f"an account needs a secp256k1 key, not {key.suite.name}")
        self._key = key
        self.address: Final = address_of(key.verifying_key.public)

    @classmethod
    def generate(cls) -> Account:
        return cls(generate(Suite.ES256K))

    @classmethod
    def from_secret(cls, secret: bytes) -> Account:
        """From 32 secret bytes. Raises KeyShapeError (SECRET_RANGE) if they are no private key."""
        return cls(PrivateKey(Suite.ES256K, secret))

    @classmethod
    def load(cls, path: Path, password: bytes | None = None) -> Account:
        """From a key file. Raises KeyFileError, or KeyShapeError (KEY_SUITE) if it holds another suite."""
        key = load_key(path, password)
        return cls(key)

    def save(self, path: Path, password: bytes | None = None) -> None:
        """To a new key file with mode 0600. Raises KeyFileError (KEY_FILE_EXISTS)."""
        save_key(path, self._key, password)

    @property
    def key(self) -> PrivateKey:
        """The same key as an ES256K signing key, for statements under `#controller`."""
        return self._key

    @property
    def public_key(self) -> bytes:
        """33 bytes, compressed."""
        return self._key.verifying_key.public

    def sign_digest(self, digest: bytes) -> bytes:
        """r‖s‖v (v 27 or 28, s low, RFC 6979) over the 32 bytes as they are: no prefix, no hashing.

        The caller must have made the digest itself, of something it understands (EIP-712, a transaction).
        """
        if len(digest) != 32:
            raise ValueError(f"a digest has 32 bytes, got {len(digest)}")
        raw = coincurve.PrivateKey(self._key.export_secret()).sign_recoverable(digest, None)
        return raw[:64] + bytes((27 + raw[64],))

    def export_secret(self) -> bytes:
        """The 32 secret bytes, for libraries that sign transactions themselves."""
        return self._key.export_secret()

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")
