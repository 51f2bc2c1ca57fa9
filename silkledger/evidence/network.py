"""Whether evidence is about the ledger that the verifier trusts."""

from __future__ import annotations

from silkledger.evidence.bundle import NetworkSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots


def check_network(network: NetworkSection, roots: TrustRoots) -> None:
    """Raises: EvidenceInvalid NETWORK_MISMATCH unless all three values are the trusted ones."""
    trusted = {
        "chain id": (network.chain_id, roots.chain_id),
        "genesis": (network.genesis_hash, roots.genesis_hash),
        "directory": (network.directory, roots.directory),
    }
    for what, (given, wanted) in trusted.items():
        if given != wanted:
            raise EvidenceInvalid(Reason.NETWORK_MISMATCH, f"{what} is {given}, trusted is {wanted}")
