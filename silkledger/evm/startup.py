"""How a service that follows a chain starts: engine, pinned network, the one line of a failed start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from silkledger.evm.contracts import ContractMismatch, Network, load_network
from silkledger.evm.engines import EngineProfile, profile_named
from silkledger.evm.follower import WrongChain
from silkledger.evm.port import Node, NodeLied, NodeUnavailable
from silkledger.keys import KeyFileError
from silkledger.runtime.db import Database, DatabaseInUse, DatabaseUrlRefused
from silkledger.runtime.health import HealthCheck
from silkledger.runtime.server import run
from silkledger.runtime.settings import Mode, SettingsError, require_development, variable_of
from silkledger.runtime.telemetry import configure_logging, logger
from silkledger.values import Address

NODE_RETRY_S: Final = 1.0
"""Pause between questions to a node that does not answer yet."""

CANNOT_START: Final = 2
"""Exit code of a start that settings, keys, database or chain forbid."""


class Pins(Protocol):
    """What settings pin of a chain (silkledger.runtime.settings)."""

    @property
    def mode(self) -> Mode: ...
    @property
    def engine(self) -> str: ...
    @property
    def chain_id(self) -> int: ...
    @property
    def genesis_hash(self) -> str: ...
    @property
    def directory(self) -> str: ...


def start(service: str, main: Callable[[], Awaitable[None]]) -> int:
    """Run a service until it is told to stop. Returns its exit code; an expected failure is one log line."""
    configure_logging(service)
    try:
        return run(main)
    except (
        SettingsError,
        DatabaseInUse,
        DatabaseUrlRefused,
        WrongChain,
        ContractMismatch,
        KeyFileError,
    ) as error:
        logger().error("cannot_start", why=str(error))
        return CANNOT_START


def engine_of(settings: Pins) -> EngineProfile:
    """Raises: SettingsError for an unknown engine, or a development engine in production."""
    try:
        profile = profile_named(settings.engine)
    except ValueError as error:
        raise SettingsError({variable_of("engine"): str(error)}) from None
    if profile.development_only:
        logger().warning(require_development(settings.mode, f"the engine {profile.name} has no seals"))
    return profile


async def pinned_network(settings: Pins, node: Node) -> Network:
    """The pinned network; waits for a node that does not answer yet, or for nodes that do not agree.

    Raises:
        WrongChain, ContractMismatch.
    """
    while True:
        try:
            network = await load_network(node, Address.from_hex(settings.directory))
            break
        except (NodeUnavailable, NodeLied) as error:
            logger().warning("node_unavailable", why=str(error))
            await asyncio.sleep(NODE_RETRY_S)
    pinned = settings.chain_id, settings.genesis_hash.lower()
    if (network.chain_id, str(network.genesis_hash)) != pinned:
        raise WrongChain("chain id or genesis hash of the node is not what the settings pin")
    return network


def answers(database: Database) -> HealthCheck:
    """A health check: the database answers."""

    async def check() -> str | None:
        await database.ping()
        return None

    return check
