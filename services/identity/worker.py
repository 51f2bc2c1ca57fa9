"""What runs beside the handlers: how the lane turns a relayed call into a transaction."""

from __future__ import annotations

from typing import cast

from eth_abi.abi import decode
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.relaying.calls import RELAY_PAYLOAD
from services.identity.storage import RELAY
from silkledger.evm.calls import CONTRACT
from silkledger.evm.contracts import Network
from silkledger.evm.lane_types import Builders, CallSpec


class RelayBuilder:
    """Sends a signed call to SignedCalls, unchanged. What becomes of it is the contract's event to tell."""

    def __init__(self, network: Network) -> None:
        self._target = network.address(CONTRACT)

    async def __call__(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        gas, data = decode(RELAY_PAYLOAD, payload)
        return CallSpec(self._target, cast(bytes, data), cast(int, gas))


def builders(network: Network) -> Builders:
    """The lane's builders by intent kind."""
    return {RELAY: RelayBuilder(network)}
