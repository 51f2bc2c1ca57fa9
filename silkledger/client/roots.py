"""Trust roots of a network whose engine has no seals."""

from __future__ import annotations

from collections.abc import Mapping

from silkledger.evidence.trust_roots import PinnedLog, TrustRoots
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.values import BlockHash


def unsealed_trust_roots(
    network: Network,
    profile: EngineProfile,
    log: PinnedLog,
    pinned: Mapping[int, BlockHash],
) -> TrustRoots:
    """Pins chain, contracts, log and the given blocks. The caller MUST have verified those blocks itself:
    on such an engine nothing else vouches for them."""
    return TrustRoots(
        chain_id=network.chain_id,
        genesis_hash=network.genesis_hash,
        engine=profile.header_kind,
        rules=None,
        directory=network.directory,
        contracts=network.addresses,
        pinned_blocks=pinned,
        log=log,
    )
