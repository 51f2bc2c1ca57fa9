"""Composition root: `python -m services.settlement`. The only reader of the environment."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.settlement import worker
from services.settlement.desk.use_cases import ReconciliationDesk
from services.settlement.exchange.statements import Signatory
from services.settlement.grpc_api import service
from services.settlement.payments.expiry import ExpiryWorker
from services.settlement.payments.incoming import Incoming
from services.settlement.payments.office import Bank, Office
from services.settlement.peers.channels import Channels
from services.settlement.peers.identity import IdentityDirectory
from services.settlement.peers.postman import Postman
from services.settlement.settings import SettlementSettings
from services.settlement.use_cases import SettlementUseCases
from silkledger.evm.follower import Follower
from silkledger.evm.lane_pool import LanePool
from silkledger.evm.node_setup import node_checks, open_node, seals_of
from silkledger.evm.startup import answers, engine_of, pinned_network, start
from silkledger.keys.account import Account
from silkledger.projections.histories import HistoriesProjector
from silkledger.projections.settlements import CONTRACT, SettlementsProjector
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.server import NamedWorker, serve
from silkledger.runtime.sessions import StoppedSessions
from silkledger.runtime.settings import SettingsError, read_settings, variable_of
from silkledger.runtime.telemetry import Metrics
from silkledger.values import Did, ValueShapeError

MIGRATIONS = "services/settlement/migrations"

SEED_BYTES = 32


async def main() -> None:
    """Wire everything, serve until told to stop, then close what was opened."""
    settings = read_settings(SettlementSettings, os.environ)
    profile = engine_of(settings)
    bank = _bank(settings)
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.database_url)
        stack.push_async_callback(database.close)
        await migrate_open(database, MIGRATIONS)
        metrics = Metrics()
        node = open_node(settings, profile, metrics)
        stack.push_async_callback(node.close)
        network = await pinned_network(settings, node)
        seals = seals_of(settings, profile, database, node)
        projectors = (HistoriesProjector(), SettlementsProjector())
        follower = Follower(database, node, profile, network, projectors, seals=seals)
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
                NamedWorker("sessions", StoppedSessions(database).run),
                Postman(office, incoming, channels),
                ExpiryWorker(office, f"eip155:{network.chain_id}:{network.address(CONTRACT)}"),
            ],
            {
                "database": answers(database),
                "follower": follower.health,
                "lanes": lanes.health,
                **node_checks(node),
            },
            metrics,
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


if __name__ == "__main__":
    sys.exit(start("settlement", main))
