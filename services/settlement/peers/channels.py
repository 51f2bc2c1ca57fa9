"""Channels with this bank's client certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import grpc

CALL_S: Final = 10.0
"""Deadline of one call."""


class Channels:
    """One channel per address, made when first needed, for the life of the process."""

    def __init__(self, ca: Path, certificate: Path, key: Path) -> None:
        self._paths = (ca, key, certificate)
        self._channels: dict[str, grpc.aio.Channel] = {}

    def to(self, address: str) -> grpc.aio.Channel:
        """The channel to `host:port`."""
        if address not in self._channels:
            ca, key, certificate = (path.read_bytes() for path in self._paths)
            credentials = grpc.ssl_channel_credentials(ca, key, certificate)
            options = [("grpc.max_reconnect_backoff_ms", 2000), ("grpc.enable_retries", 0)]
            self._channels[address] = grpc.aio.secure_channel(address, credentials, options=options)
        return self._channels[address]

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close(None)
        self._channels.clear()
