"""Which keys of a log count, as a node tells it."""

from __future__ import annotations

from silkledger.evm.contracts import Network, view
from silkledger.evm.port import Node
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.registry.histories import origin_id


async def counting_log_keys(node: Node, network: Network, origin: str) -> tuple[LogVerifierKey, ...]:
    """The keys that count at the node's newest block, of the kinds known here, in no order; none for an
    origin that nobody registered.

    What it returns is the node's claim, proven by nothing: evidence proves the history itself.

    Raises: NodeError.
    """
    (recorded,) = await view(node, network, "LogAnchor", "logKeys", (origin_id(origin),))
    found = (LogVerifierKey.of_recorded(origin, bytes(data)) for data in recorded)
    return tuple(key for key in found if key is not None)
