"""Channels with this bank's client certificate, to whom they are meant for.

A bank's settlement service serves with a certificate that names the bank: its DID is a URI subject
alternative name, as in its client certificate. gRPC checks chain and host name, but shows a client no
certificate. So the certificate is fetched first, in a handshake that checks chain and host name too, and its
DID is compared; then the channel trusts that one certificate alone: whoever answers has the key of a
certificate with that DID.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509

from silkledger.values import Did

CALL_S: Final = 10.0
"""Deadline of one call."""

HANDSHAKE_S: Final = 5.0
"""Deadline of fetching a certificate."""


class PeerRefused(Exception):
    """Nobody answers at the address, or not the bank that is meant. Nothing was told to whoever answered."""


class Channels:
    """One channel per address, made when first needed, for the life of the process."""

    def __init__(self, ca: Path, certificate: Path, key: Path) -> None:
        self._paths = (ca, key, certificate)
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._banks: dict[tuple[str, Did], grpc.aio.Channel] = {}

    def to(self, address: str) -> grpc.aio.Channel:
        """The channel to `host:port`: any server of the network's CA."""
        if address not in self._channels:
            self._channels[address] = self._channel(address, self._paths[0].read_bytes())
        return self._channels[address]

    async def to_bank(self, address: str, did: Did) -> grpc.aio.Channel:
        """The channel to `host:port`, where only the bank of this DID can answer. For one user at a time.

        (1) A certificate pinned before is good while its channel works; after a failure it is fetched again,
        so that a bank may renew it. (2) The certificate chains to the network's CA and is for this host.
        (3) Its only DID is the bank's. (4) The channel trusts nothing but this certificate.

        Raises:
            PeerRefused.
        """
        known = self._banks.get((address, did))
        if known is not None:  # (1)
            if known.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return known
            del self._banks[address, did]
            await known.close(None)
        leaf = await self._leaf(address)  # (2)
        if did_of_server(leaf) != did:  # (3)
            raise PeerRefused(f"the certificate at {address} is not that of {did}")
        self._banks[address, did] = self._channel(address, leaf)  # (4)
        return self._banks[address, did]

    async def close(self) -> None:
        for channel in (*self._channels.values(), *self._banks.values()):
            await channel.close(None)
        self._channels.clear()
        self._banks.clear()

    def _channel(self, address: str, trusted: bytes) -> grpc.aio.Channel:
        key, certificate = (path.read_bytes() for path in self._paths[1:])
        credentials = grpc.ssl_channel_credentials(trusted, key, certificate)
        options = [("grpc.max_reconnect_backoff_ms", 2000), ("grpc.enable_retries", 0)]
        return grpc.aio.secure_channel(address, credentials, options=options)

    async def _leaf(self, address: str) -> bytes:
        """PEM of the server's certificate, after a mutual handshake. Raises: PeerRefused."""
        ca, key, certificate = self._paths
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
        except (OSError, TimeoutError, ValueError) as error:
            raise PeerRefused(f"no handshake with {address}: {type(error).__name__}") from None
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return ssl.DER_cert_to_PEM_cert(der).encode()


def did_of_server(pem: bytes) -> Did | None:
    """The one DID that a certificate names as URI SAN; None: none, several, or no certificate."""
    try:
        names = x509.load_pem_x509_certificate(pem).extensions
        uris = names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier
        )
        dids = [Did(uri) for uri in uris if uri.startswith("did:")]
    except (ValueError, x509.ExtensionNotFound):
        return None
    return dids[0] if len(dids) == 1 else None
