"""Key files: PKCS#8 in PEM, mode 0600, optionally under a password.

SM2 is written as PKCS#8 too (id-ecPublicKey with the curve's own object identifier, as OpenSSL 3 and GmSSL
read it). Under a password an SM2 key has a PEM kind of our own, because the library that encrypts PKCS#8 does
not know that curve: scrypt and AES-256-GCM, described in docs/formats/suites.md.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from silkledger.keys import sm2
from silkledger.keys.signing import PrivateKey
from silkledger.keys.suites import KeyShapeError, Suite

_SM2_HEAD: Final = bytes.fromhex("308187020100301306072a8648ce3d020106082a811ccf5501822d046d306b0201010420")
_SM2_MID: Final = bytes.fromhex("a14403420004")
# PrivateKeyInfo{0, {id-ecPublicKey, 1.2.156.10197.1.301}, ECPrivateKey{1, d, [1] public}} (RFC 5958, RFC
# 5915).
_SM2_SIZE: Final = len(_SM2_HEAD) + 32 + len(_SM2_MID) + 64

_PLAIN: Final = "PRIVATE KEY"
_SM2_ENCRYPTED: Final = "SILKLEDGER ENCRYPTED SM2 PRIVATE KEY"
_SCRYPT: Final = {"length": 32, "n": 2**15, "r": 8, "p": 1}
_MAX_FILE: Final = 16_384
_OTHERS: Final = 0o037
"""Mode bits a key file must not have: anything for others, write or execute for the group."""


class KeyFileError(Exception):
    """A key file cannot be used. `reason` is a stable code; no key material is ever in the text."""

    def __init__(self, reason: str, path: Path, detail: str) -> None:
        super().__init__(f"{reason}: {path}: {detail}")
        self.reason = reason
        self.path = path
        self.detail = detail


def save_key(path: Path | str, key: PrivateKey, password: bytes | None = None) -> None:
    """Write `key` to a new file with mode 0600, flushed to disk.

    Raises:
        KeyFileError: KEY_FILE_EXISTS; an existing key is never overwritten.
    """
    path = Path(path)
    data = _to_pem(key, password)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyFileError("KEY_FILE_EXISTS", path, "will not be overwritten") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load_key(path: Path | str, password: bytes | None = None) -> PrivateKey:
    """Read a key file of any suite.

    Raises:
        KeyFileError: KEY_FILE_MISSING, KEY_FILE_PERMISSIONS (readable by others), KEY_FILE_PASSWORD (needed,
            wrong, or given for a file without one) or KEY_FILE_MALFORMED.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise KeyFileError("KEY_FILE_MISSING", path, "no such file") from None
    if mode & _OTHERS:
        raise KeyFileError("KEY_FILE_PERMISSIONS", path, f"mode {mode:04o} lets others in; use 0600")
    if len(data) > _MAX_FILE:
        raise KeyFileError("KEY_FILE_MALFORMED", path, "too large to be a key file")
    return _from_pem(data, password, path)


def _to_pem(key: PrivateKey, password: bytes | None) -> bytes:
    secret = key.export_secret()
    if key.suite is Suite.SM2:
        point = sm2.decompress(key.verifying_key.public)
        der = _SM2_HEAD + secret + _SM2_MID + point
        if password is None:
            return _armour(_PLAIN, der)
        salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        sealed = AESGCM(_stretch(password, salt)).encrypt(nonce, der, _SM2_ENCRYPTED.encode())
        return _armour(_SM2_ENCRYPTED, salt + nonce + sealed)
    native: ec.EllipticCurvePrivateKey | Ed25519PrivateKey
    if key.suite is Suite.EDDSA:
        native = Ed25519PrivateKey.from_private_bytes(secret)
    else:
        curve = ec.SECP256K1() if key.suite is Suite.ES256K else ec.SECP256R1()
        native = ec.derive_private_key(int.from_bytes(secret, "big"), curve)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return native.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _stretch(password: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, **_SCRYPT).derive(password)


def _armour(kind: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""]).encode()


def _unarmour(data: bytes, kind: str) -> bytes | None:
    """The DER inside a PEM of exactly this kind, or None if it is another kind."""
    head, tail = f"-----BEGIN {kind}-----".encode(), f"-----END {kind}-----".encode()
    text = data.strip()
    if not (text.startswith(head) and text.endswith(tail)):
        return None
    try:
        return base64.b64decode(b"".join(text[len(head) : -len(tail)].split()), validate=True)
    except binascii.Error:
        return None


def _from_pem(data: bytes, password: bytes | None, path: Path) -> PrivateKey:
    sealed = _unarmour(data, _SM2_ENCRYPTED)
    if sealed is not None:
        return _sm2_key(_unseal(sealed, password, path), path)
    plain = _unarmour(data, _PLAIN)
    if plain is not None and plain.startswith(_SM2_HEAD):
        if password is not None:
            raise KeyFileError("KEY_FILE_PASSWORD", path, "the file has no password")
        return _sm2_key(plain, path)
    try:
        native = serialization.load_pem_private_key(data, password)
    except TypeError as error:
        raise KeyFileError("KEY_FILE_PASSWORD", path, str(error)) from None
    except (ValueError, UnsupportedAlgorithm):
        reason = (
            "KEY_FILE_PASSWORD" if b"ENCRYPTED" in data and password is not None else "KEY_FILE_MALFORMED"
        )
        raise KeyFileError(reason, path, "not a readable PKCS#8 key, or a wrong password") from None
    if isinstance(native, Ed25519PrivateKey):
        return PrivateKey(Suite.EDDSA, native.private_bytes_raw())
    if isinstance(native, ec.EllipticCurvePrivateKey):
        suite = {"secp256k1": Suite.ES256K, "secp256r1": Suite.ES256}.get(native.curve.name)
        if suite is not None:
            return PrivateKey(suite, native.private_numbers().private_value.to_bytes(32, "big"))
    raise KeyFileError("KEY_FILE_MALFORMED", path, "holds a key of no supported suite")


def _unseal(sealed: bytes, password: bytes | None, path: Path) -> bytes:
    if password is None:
        raise KeyFileError("KEY_FILE_PASSWORD", path, "the file needs a password")
    try:
        key = _stretch(password, sealed[:16])
        return AESGCM(key).decrypt(sealed[16:28], sealed[28:], _SM2_ENCRYPTED.encode())
    except (InvalidTag, ValueError):
        raise KeyFileError("KEY_FILE_PASSWORD", path, "wrong password, or the file was changed") from None


def _sm2_key(der: bytes, path: Path) -> PrivateKey:
    if len(der) != _SM2_SIZE:
        raise KeyFileError("KEY_FILE_MALFORMED", path, "not an SM2 private key in the expected form")
    try:
        key = PrivateKey(Suite.SM2, der[len(_SM2_HEAD) : len(_SM2_HEAD) + 32])
    except KeyShapeError as error:
        raise KeyFileError("KEY_FILE_MALFORMED", path, error.reason) from None
    if der != _SM2_HEAD + key.export_secret() + _SM2_MID + sm2.decompress(key.verifying_key.public):
        raise KeyFileError("KEY_FILE_MALFORMED", path, "the public key does not belong to the private key")
    return key
