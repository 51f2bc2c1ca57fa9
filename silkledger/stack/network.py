"""What makes a chain a Silkledger network: its contracts, and the roots that verifiers pin."""

from __future__ import annotations

from silkledger.client.roots import unsealed_trust_roots
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import EngineProfile, profile_named
from silkledger.evm.node import JsonRpcNode
from silkledger.keys import load_key
from silkledger.keys.account import Account
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.stack.directory import DataDirectory, NetworkFile, write_atomically
from silkledger.stack.environment import ensure_account

EMBEDDED_ORIGIN = "silkledger.example/embedded"
"""C2SP origin of the embedded stack's log."""


class DifferentChain(RuntimeError):
    """The node serves another chain than the data directory was made for."""


async def same_chain(network: NetworkFile, node_url: str) -> None:
    """Raises: `DifferentChain`."""
    node = JsonRpcNode(node_url, profile_named(network.engine))
    try:
        genesis = str(await node.genesis_hash())
    finally:
        await node.close()
    if genesis != network.genesis_hash:
        raise DifferentChain(
            f"the chain's genesis is {genesis}, but network.json pins {network.genesis_hash}"
        )


async def deploy_network(
    data: DataDirectory, node_url: str, profile: EngineProfile, endpoints: dict[str, str]
) -> NetworkFile:
    """Deploys every contract and waits until that is final.

    The deployer is a fresh account that is not kept: the contracts give it no rights, and a start that was
    cut short here begins again with another one.
    """
    governance = ensure_account(data.operator / "governance.pem")
    node = JsonRpcNode(node_url, profile)
    try:
        network = await deploy(node, Account.generate(), governance.address, profile)
    finally:
        await node.close()
    log_key = load_key(data.service("ledger") / "log.pem").verifying_key
    return NetworkFile(
        chain_id=network.chain_id,
        genesis_hash=str(network.genesis_hash),
        directory=str(network.directory),
        contracts={name: str(address) for name, address in network.addresses.items()},
        engine=profile.name,
        origin=EMBEDDED_ORIGIN,
        log_verifier_key=str(LogVerifierKey(EMBEDDED_ORIGIN, log_key.public)),
        node_url=node_url,
        endpoints=endpoints,
        governance=str(governance.address),
    )


def pin_trust_roots(data: DataDirectory, network: NetworkFile) -> None:
    """Writes trust-roots.json once: chain, genesis, contracts and log.

    Of this engine's blocks it pins genesis only, because they carry no seals: `silkledger audit replay
    --trust-roots FILE` pins the last final block of a chain that it has verified itself.
    """
    if not data.trust_roots_file.exists():
        profile = profile_named(network.engine)
        log = PinnedLog(network.origin, network.log_verifier_key)
        roots = unsealed_trust_roots(network.to_network(), profile, log, {})
        write_atomically(data.trust_roots_file, roots.to_json())
