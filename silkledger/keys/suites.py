"""What a signature suite is: its COSE number, its curve's order, its public key's form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Suite(IntEnum):
    """Value = COSE algorithm identifier (IANA COSE Algorithms; SM2 is in the private range)."""

    ES256K = -47
    """ECDSA on secp256k1 with SHA-256, RFC 8812. The only suite whose key can also act on the chain
    directly."""
    ES256 = -7
    """ECDSA on P-256 with SHA-256, RFC 9053."""
    EDDSA = -8
    """Ed25519, RFC 9053 and RFC 8032."""
    SM2 = -65601
    """SM2 with SM3, GB/T 32918.2, signer id 1234567812345678. Private use: IANA has no number for it."""


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """Numbers that the suite fixes."""

    multicodec: int
    """Code in the multicodec table of the public key; written as an unsigned varint."""
    public_size: int
    """Bytes of the public key: 33 for a compressed point, 32 for Ed25519."""
    order: int | None
    """Order of the group, for the range checks of r and s. None where the signature is not a pair of
    integers."""
    low_s: bool
    """Whether s must be at most half the order (there, (r, s) and (r, n - s) both verify)."""


_SECP256K1_N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_P256_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_SM2_N: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123

FACTS: Final = {
    Suite.ES256K: SuiteFacts(0xE7, 33, _SECP256K1_N, low_s=True),
    Suite.ES256: SuiteFacts(0x1200, 33, _P256_N, low_s=True),
    Suite.EDDSA: SuiteFacts(0xED, 32, None, low_s=False),
    Suite.SM2: SuiteFacts(0x1206, 33, _SM2_N, low_s=False),
}

SIGNATURE_SIZE: Final = 64
"""Bytes of every signature: r‖s, 32 bytes each, big-endian (Ed25519: R‖S)."""


class KeyShapeError(ValueError):
    """Bytes or text that are no public key of the suite. `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class SignatureInvalid(ValueError):
    """The signature does not verify.

    `reason` is SIGNATURE_LENGTH (not 64 bytes), SIGNATURE_RANGE (r or s is zero or not below the order),
    SIGNATURE_HIGH_S (the mathematics hold, but s is in the upper half) or SIGNATURE_INVALID.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
