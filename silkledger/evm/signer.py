"""Who signs a lane's transactions: a port, and the signer whose key is in this process."""

from __future__ import annotations

from typing import Protocol

from silkledger.evidence.keccak import keccak256
from silkledger.keys.account import Account
from silkledger.values import Address


class Signer(Protocol):
    """A secp256k1 signer, in this process or behind HTTP. The lane checks every signature it gets."""

    @property
    def address(self) -> Address: ...

    async def sign(self, preimage: bytes) -> bytes:
        """65 bytes r‖s‖v (v 27 or 28) over keccak256(`preimage`).

        Raises:
            SignerUnavailable, SigningFailed.
        """
        ...


class SignerUnavailable(RuntimeError):
    """The signer cannot be reached. Retryable; nothing was stored."""


class SigningFailed(RuntimeError):
    """The signer did not sign what it was given as who it says it is. Nothing may be stored or sent."""


class LocalSigner:
    """A key held in memory. Development and one-time keys; long-lived production keys belong behind a
    signer.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    @property
    def address(self) -> Address:
        return self._account.address

    async def sign(self, preimage: bytes) -> bytes:
        return self._account.sign_digest(keccak256(preimage))

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"
