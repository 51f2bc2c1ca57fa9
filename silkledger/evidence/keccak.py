"""keccak-256 as Ethereum uses it (the original Keccak padding, not FIPS 202 SHA3-256)."""

from __future__ import annotations

import sha3


def keccak256(data: bytes) -> bytes:
    """The 32-byte digest of `data`."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest
