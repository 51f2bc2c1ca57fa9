"""Composition root of the ledger service: `python -m services.ledger`. The only reader of the environment."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack

from services.ledger.log_keys.signing import check_log_keys, load_log_keys
from services.ledger.settings import LedgerSettings
from services.ledger.worker import Parts, assemble
from silkledger.evm.contracts import ContractMismatch, Network, load_network
from silkledger.evm.engines import EngineProfile, profile_named
from silkledger.evm.lane_signer import lane_signer
from silkledger.evm.node_setup import open_node
from silkledger.evm.port import Node, NodeError
from silkledger.keys import KeyFileError
from silkledger.runtime.db import Database, DatabaseInUse, DatabaseUrlRefused
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.server import run, serve
from silkledger.runtime.settings import SettingsError, read_settings, require_development
from silkledger.runtime.telemetry import Metrics, configure_logging, logger
from silkledger.values import Address, BlockHash, ValueShapeError

MIGRATIONS = "services/ledger/migrations"


async def network_of(node: Node, settings: LedgerSettings) -> Network:
    """The network of the pinned directory, if the node is on the pinned chain.

    Raises:
        SettingsError: the node is on another chain. ContractMismatch, NodeError.
    """
    network = await load_network(node, Address.from_hex(settings.directory))
    if network.chain_id != settings.chain_id:
        raise SettingsError({"SILKLEDGER_CHAIN_ID": f"the node is on chain {network.chain_id}"})
    if network.genesis_hash != BlockHash.from_hex(settings.genesis_hash):
        raise SettingsError({"SILKLEDGER_GENESIS_HASH": "the node's chain has another genesis"})
    return network


def warn_of_development(settings: LedgerSettings, profile: EngineProfile) -> None:
    """Say loudly what is insecure or fake. Raises: SettingsError in production mode."""
    if profile.development_only:
        text = require_development(settings.mode, f"the engine {profile.name} has no commit seals")
        logger().warning("development_only", warning=text)


async def main() -> None:
    """Start, serve until SIGTERM, close."""
    settings = read_settings(LedgerSettings, os.environ)
    profile = profile_named(settings.engine)
    warn_of_development(settings, profile)
    log_keys = load_log_keys(settings.origin, settings.log_key_file, settings.further_log_key_files)
    async with AsyncExitStack() as stack:
        signer = await stack.enter_async_context(lane_signer(settings))
        database = await Database.open(settings.database_url)
        stack.push_async_callback(database.close)
        metrics = Metrics()
        node = open_node(settings, profile, metrics)
        stack.push_async_callback(node.close)
        await migrate_open(database, MIGRATIONS)
        network = await network_of(node, settings)
        await check_log_keys(node, network, log_keys)
        parts = Parts(settings, database, node, profile, network, signer, log_keys, metrics)
        service = assemble(parts)
        stack.callback(service.close)
        await serve(settings, service.services, service.workers, service.checks, metrics)


if __name__ == "__main__":
    configure_logging("ledger")
    try:
        sys.exit(run(main))
    except (
        SettingsError,
        DatabaseInUse,
        DatabaseUrlRefused,
        KeyFileError,
        ContractMismatch,
        NodeError,
        ValueShapeError,
    ) as error:
        logger().critical("cannot_start", error=type(error).__name__, why=str(error))
        sys.exit(2)
