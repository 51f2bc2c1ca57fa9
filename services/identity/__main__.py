"""Composition root: `python -m services.identity`. The only reader of the environment."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack

from cryptography import x509

from services.identity import worker
from services.identity.domain import CertificateAuthority
from services.identity.grpc_api import service
from services.identity.reading.questions import Questions
from services.identity.settings import IdentitySettings
from services.identity.use_cases import IdentityUseCases, IssuingPolicy
from silkledger.evm.contracts import ContractMismatch, Network, load_network
from silkledger.evm.engines import EngineProfile, profile_named
from silkledger.evm.follower import Follower, WrongChain
from silkledger.evm.lane import Lane
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import NodeUnavailable
from silkledger.evm.signer import LocalSigner
from silkledger.keys import KeyFileError, KeyShapeError
from silkledger.keys.account import Account
from silkledger.projections.accreditations import AccreditationsProjector
from silkledger.projections.calls import CallsProjector
from silkledger.projections.histories import HistoriesProjector
from silkledger.runtime.db import Database, DatabaseInUse, DatabaseUrlRefused
from silkledger.runtime.health import HealthCheck
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.server import NamedWorker, run, serve
from silkledger.runtime.settings import Mode, SettingsError, read_settings, require_development, variable_of
from silkledger.runtime.telemetry import configure_logging, logger
from silkledger.values import Address

MIGRATIONS = "services/identity/migrations"

NODE_RETRY_S = 1.0
"""Pause between questions to a node that does not answer yet at start."""


async def main() -> None:
    """Wire everything, serve until told to stop, then close what was opened."""
    settings = read_settings(IdentitySettings, os.environ)
    profile = _profile(settings)
    authority, signer = _authority(settings), _lane_signer(settings)
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.database_url)
        stack.push_async_callback(database.close)
        await migrate_open(database, MIGRATIONS)
        node = JsonRpcNode(settings.node_url, profile)
        stack.push_async_callback(node.close)
        network = await _network(settings, node)
        projectors = (HistoriesProjector(), CallsProjector(), AccreditationsProjector())
        follower = Follower(database, node, profile, network, projectors)
        lane = Lane(database, node, profile, network, signer, worker.builders(network))
        questions = Questions(database, follower)
        cases = IdentityUseCases(
            database,
            network,
            questions,
            lane,
            authority,
            IssuingPolicy(settings.certificate_days, local_names=settings.mode is Mode.DEVELOPMENT),
        )
        await serve(
            settings,
            [service(cases)],
            [NamedWorker("follower", follower.run), NamedWorker("lane", lane.run)],
            {
                "database": _answers(database),
                "follower": follower.health,
                "questions": questions.health,
                "lane": lane.health,
            },
        )


def _profile(settings: IdentitySettings) -> EngineProfile:
    """Raises: SettingsError for an unknown engine, or a development engine in production."""
    try:
        profile = profile_named(settings.engine)
    except ValueError as error:
        raise SettingsError({variable_of("engine"): str(error)}) from None
    if profile.development_only:
        logger().warning(require_development(settings.mode, f"the engine {profile.name} has no seals"))
    return profile


def _authority(settings: IdentitySettings) -> CertificateAuthority:
    """Raises: SettingsError when the files are no CA with its key."""
    try:
        return CertificateAuthority.load(settings.ca_cert.read_bytes(), settings.ca_key.read_bytes())
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise SettingsError({variable_of("ca_cert"): f"and its key cannot be used: {error}"}) from None


def _lane_signer(settings: IdentitySettings) -> LocalSigner:
    """Raises: SettingsError when the file holds no secp256k1 key."""
    try:
        return LocalSigner(Account.load(settings.lane_key_file))
    except (KeyFileError, KeyShapeError, OSError) as error:
        raise SettingsError({variable_of("lane_key_file"): str(error)}) from None


async def _network(settings: IdentitySettings, node: JsonRpcNode) -> Network:
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
    configure_logging("identity")
    try:
        code = run(main)
    except (SettingsError, DatabaseInUse, DatabaseUrlRefused, WrongChain, ContractMismatch) as error:
        logger().error("cannot_start", why=str(error))
        code = 2
    sys.exit(code)
