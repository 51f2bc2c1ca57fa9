"""Which ledger evidence is about, and whether it is the one that the verifier trusts."""

from __future__ import annotations

from silkledger.evidence.bundle import NetworkSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.values import Address, BlockHash, ValueShapeError


def read_network(value: object) -> NetworkSection:
    """The section `{1: chain id, 2: genesis hash, 3: directory}` of a proof file.

    Raises:
        EvidenceInvalid: PROOF_MALFORMED.
    """
    fields = value if isinstance(value, dict) else {}
    chain, genesis, directory = (fields.get(key) for key in (1, 2, 3))
    if fields.keys() != {1, 2, 3} or type(chain) is not int or not 0 <= chain < 2**64:
        raise EvidenceInvalid(Reason.PROOF_MALFORMED, "network must hold chain id, genesis hash, directory")
    if not isinstance(genesis, bytes) or not isinstance(directory, bytes):
        raise EvidenceInvalid(Reason.PROOF_MALFORMED, "genesis hash and directory must be byte strings")
    try:
        return NetworkSection(chain, BlockHash(genesis), Address(directory))
    except ValueShapeError as error:
        raise EvidenceInvalid(Reason.PROOF_MALFORMED, f"network: {error}") from error


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
