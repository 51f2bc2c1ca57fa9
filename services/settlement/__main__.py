"""Composition root: `python -m services.settlement`. The only reader of the environment."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.settlement import worker
from services.settlement.desk.use_cases import ReconciliationDesk
from services.settlement.exchange.statements import Signatory
from services.settlement.grpc_api import service
from services.settlement.payments.incoming import Incoming
from services.settlement.payments.office import Bank, Office
from services.settlement.peers.channels import Channels
from services.settlement.peers.identity import IdentityDirectory
from services.settlement.settings import SettlementSettings
from services.settlement.use_cases import SettlementUseCases
from silkledger.evm.contracts import ContractMismatch, Network, load_network
from silkledger.evm.engines import EngineProfile, profile_named
from silkledger.evm.follower import Follower, WrongChain
from silkledger.evm.lane_pool import LanePool
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import NodeUnavailable
from silkledger.keys import KeyFileError
from silkledger.keys.account import Account
from silkledger.projections.histories import HistoriesProjector
from silkledger.projections.settlements import SettlementsProjector
from silkledger.runtime.db import Database, DatabaseInUse, DatabaseUrlRefused
from silkledger.runtime.health import HealthCheck
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.server import NamedWorker, run, serve
from silkledger.runtime.settings import SettingsError, read_settings, require_development, variable_of
from silkledger.runtime.telemetry import configure_logging, logger
from silkledger.values import Address, Did, ValueShapeError

MIGRATIONS = "services/settlement/migrations"

NODE_RETRY_S = 1.0
"""Pause between questions to a node that does not answer yet at start."""

SEED_BYTES = 32


async def main() -> None:
    """Wire everything, serve until told to stop, then close what was opened."""
    settings = read_settings(SettlementSettings, os.environ)
    profile = _profile(settings)
    bank = _bank(settings)
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.database_url)
        stack.push_async_callback(database.close)
        await migrate_open(database, MIGRATIONS)
        node = JsonRpcNode(settings.node_url, profile)
        stack.push_async_callback(node.close)
        network = await _network(settings, node)
        follower = Follower(database, node, profile, network, (HistoriesProjector(), SettlementsProjector()))
        signers = worker.one_time_signers(database, bank.seed)
        lanes = LanePool(database, node, profile, network, signers, worker.builders(network))
        channels = Channels(settings.tls_ca, settings.client_cert, settings.client_key)
        stack.push_async_callback(channels.close)
        directory = IdentityDirectory(channels, settings.identity_endpoint)
        office = Office(database, bank, directory, lanes, follower)
        incoming = Incoming(office)
        await serve(
            settings,
            [service(SettlementUseCases(office), incoming, ReconciliationDesk(office))],
            [
                NamedWorker("follower", follower.run),
                NamedWorker("lanes", lanes.run),
                worker.OutboxWorker(office, incoming, channels),
            ],
            {"database": _answers(database), "follower": follower.health, "lanes": lanes.health},
        )


def _bank(settings: SettlementSettings) -> Bank:
    """Raises: SettingsError, KeyFileError."""
    try:
        did, institution = Did(settings.bank_did), Did(settings.settlement_institution)
        zone = ZoneInfo(settings.account_zone)
    except (ValueShapeError, ZoneInfoNotFoundError) as error:
        raise SettingsError({"bank": str(error)}) from None
    return Bank(
        signatory=Signatory(did, Account.load(settings.bank_key_file)),
        bic=settings.bank_bic,
        seed=_seed(settings.seed_file),
        accounts=frozenset(settings.accounts),
        institution=institution,
        zone=zone,
        expiry_blocks=settings.expiry_blocks,
    )


def _seed(path: Path) -> bytes:
    """Raises: SettingsError when the file is not a secret of ours: other length, or open to others."""
    try:
        seed, mode = path.read_bytes(), path.stat().st_mode & 0o077
    except OSError as error:
        raise SettingsError({variable_of("seed_file"): f"cannot be read: {error.strerror}"}) from None
    if len(seed) != SEED_BYTES or mode:
        raise SettingsError({variable_of("seed_file"): f"must hold {SEED_BYTES} bytes and have mode 0600"})
    return seed


def _profile(settings: SettlementSettings) -> EngineProfile:
    """Raises: SettingsError for an unknown engine, or a development engine in production."""
    try:
        profile = profile_named(settings.engine)
    except ValueError as error:
        raise SettingsError({variable_of("engine"): str(error)}) from None
    if profile.development_only:
        logger().warning(require_development(settings.mode, f"the engine {profile.name} has no seals"))
    return profile


async def _network(settings: SettlementSettings, node: JsonRpcNode) -> Network:
    """The pinned network; waits for a node that does not answer yet. Raises: WrongChain, ContractMismatch."""
    while True:
        try:
            network = await load_network(node, Address.from_hex(settings.directory))
            break
        except NodeUnavailable as error:
            logger().warning("node_unavailable", why=str(error))
            await asyncio.sleep(NODE_RETRY_S)
    pinned = settings.chain_id, settings.genesis_hash.lower()
    if (network.chain_id, str(network.genesis_hash)) != pinned:
        raise WrongChain("chain id or genesis hash of the node is not what the settings pin")
    return network


def _answers(database: Database) -> HealthCheck:
    async def check() -> str | None:
        await database.ping()
        return None

    return check


if __name__ == "__main__":
    configure_logging("settlement")
    try:
        code = run(main)
    except (
        SettingsError,
        DatabaseInUse,
        DatabaseUrlRefused,
        WrongChain,
        ContractMismatch,
        KeyFileError,
    ) as error:
        logger().error("cannot_start", why=str(error))
        code = 2
    sys.exit(code)
