"""A signer behind HTTP, with the interface of Web3Signer's `eth1` mode.

    GET  /api/v1/eth1/publicKeys              ["0x<64 bytes: x‖y>", ...]
    POST /api/v1/eth1/sign/0x<64 bytes: x‖y>  {"data": "0x<what is hashed with keccak-256 and signed>"}
                                              → 0x<65 bytes: r‖s‖v>

The key never enters this process. What comes back is a claim: `sign_transaction` recovers the signer's
address before anything is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout

from silkledger.evm.signer import SignerUnavailable, SigningFailed
from silkledger.keys.account import address_of
from silkledger.keys.suites import KeyShapeError
from silkledger.values import Address

DEFAULT_TIMEOUT_S: Final = 5.0
"""One request. Below the lane's lease, so that a slow signer does not cost the lane its epoch."""

_PUBLIC_KEY: Final = re.compile(r"0x[0-9a-fA-F]{128}")
_SIGNATURE: Final = re.compile(r"0x[0-9a-fA-F]{130}")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_MAX_ANSWER: Final = 1 << 20
"""Bytes read of one answer; seven thousand public keys."""


class Web3Signer:
    """Signs as `address` with a key that another process holds. `close` it."""

    def __init__(self, url: str, address: Address, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Raises: ValueError for a URL that is not https, or http on loopback."""
        self._base = _checked(url)
        self._address = address
        self._timeout = ClientTimeout(total=timeout_s)
        self._session: ClientSession | None = None
        self._identifier: str | None = None

    @property
    def address(self) -> Address:
        return self._address

    async def sign(self, preimage: bytes) -> bytes:
        """r‖s‖v (v 27 or 28) over keccak256(`preimage`), as the signer gives it: not a verification.

        Raises:
            SignerUnavailable: no answer, an answer out of time, an error, or no key of our address.
            SigningFailed: an answer that is no signature.
        """
        if self._identifier is None:
            self._identifier = await self._find()
        path = f"/api/v1/eth1/sign/{self._identifier}"
        text = (await self._ask("POST", path, {"data": "0x" + preimage.hex()})).decode("ascii", "replace")
        if not _SIGNATURE.fullmatch(text.strip()):
            raise SigningFailed("the signer's answer is no signature")
        signature = bytes.fromhex(text.strip()[2:])
        recovery = signature[64] if signature[64] >= 27 else signature[64] + 27
        return signature[:64] + bytes([recovery])

    async def close(self) -> None:
        """End the connections. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _find(self) -> str:
        """The signer's name for our key: its public key. Raises: SignerUnavailable."""
        answer = await self._ask("GET", "/api/v1/eth1/publicKeys", None)
        for identifier in _public_keys(answer):
            if _address(identifier) == self._address:
                return identifier
        raise SignerUnavailable(f"the signer holds no key of {self._address}")

    async def _ask(self, method: str, path: str, body: object) -> bytes:
        if self._session is None:
            self._session = ClientSession(timeout=self._timeout, raise_for_status=False)
        try:
            async with self._session.request(
                method, self._base + path, json=body, allow_redirects=False
            ) as response:
                if response.status == 404:
                    self._identifier = None  # keys were reloaded: look again next time
                if response.status != 200:
                    raise SignerUnavailable(f"the signer answers with HTTP status {response.status}")
                return await response.content.read(_MAX_ANSWER)
        except (ClientError, TimeoutError, OSError) as error:
            # Not the error's text: it names the URL, which may hold a password.
            raise SignerUnavailable(f"the signer does not answer ({type(error).__name__})") from None

    def __repr__(self) -> str:
        return f"Web3Signer({self._address})"


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url.rstrip("/")
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return url.rstrip("/")
    raise ValueError("must be https://…, or http:// on loopback")


def _public_keys(answer: bytes) -> Iterable[str]:
    return (match.decode() for match in re.findall(_PUBLIC_KEY.pattern.encode() + rb'(?=")', answer))


def _address(identifier: str) -> Address | None:
    try:
        return address_of(b"\x04" + bytes.fromhex(identifier[2:]))
    except KeyShapeError:
        return None
