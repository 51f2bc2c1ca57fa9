"""SM2 with SM3 (GB/T 32918.2) over libgmssl, with our encodings at the edge.

The library speaks DER signatures and 64-byte points; we speak r‖s and compressed points. The signer id is
always passed, never left to a default, because it is hashed into every signature.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import gmssl_pyx
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from silkledger.keys.suites import KeyShapeError

SIGNER_ID: Final = b"1234567812345678"
"""The default distinguishing identifier of GB/T 32918 and RFC 8998 section 3.2.1."""

_P: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_B: Final = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93


@lru_cache(maxsize=1024)
def decompress(public: bytes) -> bytes:
    """x‖y of a 33-byte compressed point.

    Raises:
        KeyShapeError: KEY_NOT_ON_CURVE if there is no such point.
    """
    x = int.from_bytes(public[1:], "big")
    if public[0] in (2, 3) and x < _P:
        square = (pow(x, 3, _P) - 3 * x + _B) % _P
        y = pow(square, (_P + 1) // 4, _P)
        if y * y % _P == square:
            y = y if y % 2 == public[0] - 2 else _P - y
            return x.to_bytes(32, "big") + y.to_bytes(32, "big")
    raise KeyShapeError("KEY_NOT_ON_CURVE", "not a compressed point of the SM2 curve")


def compress(point: bytes) -> bytes:
    """33-byte compressed form of x‖y."""
    return bytes((2 + (point[63] & 1),)) + point[:32]


def generate() -> tuple[bytes, bytes]:
    """A new (secret of 32 bytes, compressed public key), from the operating system's random numbers."""
    point, secret = gmssl_pyx.sm2_key_generate()
    return bytes(secret), compress(bytes(point))


def sign(secret: bytes, public: bytes, message: bytes) -> bytes:
    """r‖s over SM3(Z ‖ message)."""
    der = gmssl_pyx.sm2_sign(secret, decompress(public), message, SIGNER_ID)
    r, s = decode_dss_signature(bytes(der))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(public: bytes, message: bytes, r: int, s: int) -> bool:
    """Whether (r, s), both already checked to be in range, is a signature over SM3(Z ‖ message)."""
    der = encode_dss_signature(r, s)
    try:
        return bool(gmssl_pyx.sm2_verify(decompress(public), message, der, SIGNER_ID))
    except gmssl_pyx.GmsslInnerError:
        return False


# The generator, affine.
_G: Final = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)


def public_of(secret: bytes) -> bytes:
    """The compressed public key of a secret.

    The library has no call for it, so the point is computed here by a ladder over affine points. It runs
    when a key file is read, never per signature. Not constant-time: whoever can time this process while it
    reads its own key file is inside the host already.
    """
    scalar = int.from_bytes(secret, "big")
    total: tuple[int, int] | None = None
    step: tuple[int, int] | None = _G
    while scalar:
        if scalar & 1:
            total = _add(total, step)
        step = _add(step, step)
        scalar >>= 1
    if total is None:
        raise KeyShapeError("SECRET_RANGE", "zero is not a private key")
    return compress(total[0].to_bytes(32, "big") + total[1].to_bytes(32, "big"))


def _add(a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
    """Affine addition on y² = x³ - 3x + b."""
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0] and (a[1] + b[1]) % _P == 0:
        return None
    if a == b:
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, _P) % _P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P) % _P
    x = (slope * slope - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P
