"""The node that a service talks to, from its settings: one, or several that are held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import TrustRoots, TrustRootsError
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.engines import EngineProfile
from silkledger.evm.follower import SealCheck
from silkledger.evm.node_standing import NodeStanding, NodeTrouble
from silkledger.evm.node_urls import node_urls, open_nodes
from silkledger.evm.port import Node
from silkledger.evm.seals import seal_check
from silkledger.runtime.db import Database
from silkledger.runtime.health import HealthCheck
from silkledger.runtime.settings import SettingsError, variable_of
from silkledger.runtime.telemetry import Metrics, logger
from silkledger.values import Address, BlockHash


class NodeSettings(Protocol):
    """What settings say of the nodes (silkledger.runtime.settings)."""

    @property
    def node_url(self) -> str: ...
    @property
    def node_agreement(self) -> int: ...
    @property
    def chain_id(self) -> int: ...
    @property
    def genesis_hash(self) -> str: ...
    @property
    def directory(self) -> str: ...
    @property
    def trust_roots_file(self) -> Path | None: ...


def open_node(settings: NodeSettings, profile: EngineProfile, metrics: Metrics | None = None) -> Node:
    """The node of the settings. Close it. Asks nothing yet.

    Raises:
        SettingsError: `node_url` or `node_agreement` are malformed, or more nodes shall agree than there are.
    """
    urls = node_urls(settings.node_url)
    if not 0 <= settings.node_agreement <= len(urls):
        raise SettingsError({variable_of("node_agreement"): f"must be 0 to {len(urls)}, the nodes there are"})
    genesis = BlockHash.from_hex(settings.genesis_hash)
    listener = NodeReporter(metrics)
    return open_nodes(urls, profile, settings.chain_id, genesis, settings.node_agreement, listener)


def trust_roots_of(settings: NodeSettings, profile: EngineProfile) -> TrustRoots | None:
    """The trust roots by which the engine's seals are checked; None on an engine without seals.

    Raises:
        SettingsError: they are missing, malformed, of another network, or needless.
    """
    file, name = settings.trust_roots_file, variable_of("trust_roots_file")
    if profile.header_kind is not EngineKind.QBFT:
        if file is not None:
            raise SettingsError({name: f"the engine {profile.name} has no seals to check"})
        return None
    if file is None:
        raise SettingsError({name: f"is required: the engine {profile.name} has commit seals"})
    try:
        roots = TrustRoots.from_json(file.read_bytes())
    except (OSError, TrustRootsError) as error:
        raise SettingsError({name: f"cannot be used: {error}"}) from None
    told = roots.chain_id, roots.genesis_hash, roots.directory, roots.engine
    genesis, directory = BlockHash.from_hex(settings.genesis_hash), Address.from_hex(settings.directory)
    if told != (settings.chain_id, genesis, directory, profile.header_kind):
        raise SettingsError({name: "is of another network, or of another engine"})
    return roots


def seals_of(
    settings: NodeSettings, profile: EngineProfile, database: Database, node: Node
) -> SealCheck | None:
    """What checks the seals of the engine's blocks; None on an engine without seals.

    Raises:
        SettingsError: as `trust_roots_of`.
    """
    roots = trust_roots_of(settings, profile)
    return None if roots is None else seal_check(roots, database, node)


def node_checks(node: Node) -> dict[str, HealthCheck]:
    """The health check of several nodes; one node alone is judged by the follower."""
    return {"nodes": node.health} if isinstance(node, CrossCheckedNode) else {}


class NodeReporter:
    """Tells log and metrics what becomes of each node: a line when its trouble changes, its head always."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._troubles: dict[str, NodeTrouble | None] = {}

    def __call__(self, standing: NodeStanding) -> None:
        name, trouble = standing.name, standing.trouble
        if self._metrics is not None:
            self._metrics.node_head.labels(name).set(standing.head or 0)
            for known in NodeTrouble:
                self._metrics.node_trouble.labels(name, known.value).set(int(trouble is known))
        if self._troubles.get(name) is trouble:
            return
        self._troubles[name] = trouble
        if trouble is None:
            logger().info("node_in_order", node=name, head=standing.head)
        else:
            logger().warning("node_trouble", node=name, reason=trouble.value, why=standing.detail)
