"""Composition root: `python -m services.identity`. The only reader of the environment."""

from __future__ import annotations

import os
import sys
import time
from contextlib import AsyncExitStack

from cryptography import x509

from services.identity import worker
from services.identity.domain import CertificateAuthority
from services.identity.grpc_api import service
from services.identity.reading.questions import Questions
from services.identity.relaying.calls import CallRelay
from services.identity.relaying.requests import Requests
from services.identity.settings import IdentitySettings
from services.identity.status_lists.publishing import Publishing
from services.identity.status_lists.reading import StatusListReads
from services.identity.use_cases import IdentityUseCases, IssuingPolicy
from silkledger.evm.follower import Follower
from silkledger.evm.lane import Lane
from silkledger.evm.lane_signer import lane_limits, lane_signer
from silkledger.evm.node_setup import node_checks, open_node, seals_of
from silkledger.evm.startup import answers, engine_of, pinned_network, start
from silkledger.projections.accreditations import AccreditationsProjector
from silkledger.projections.calls import CallsProjector
from silkledger.projections.histories import HistoriesProjector
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.server import NamedWorker, serve
from silkledger.runtime.sessions import StoppedSessions
from silkledger.runtime.settings import Mode, SettingsError, read_settings, variable_of
from silkledger.runtime.telemetry import Metrics

MIGRATIONS = "services/identity/migrations"


async def main() -> None:
    """Wire everything, serve until told to stop, then close what was opened."""
    settings = read_settings(IdentitySettings, os.environ)
    profile = engine_of(settings)
    authority = _authority(settings)
    async with AsyncExitStack() as stack:
        signer = await stack.enter_async_context(lane_signer(settings))
        database = await Database.open(settings.database_url)
        stack.push_async_callback(database.close)
        await migrate_open(database, MIGRATIONS)
        metrics = Metrics()
        node = open_node(settings, profile, metrics)
        stack.push_async_callback(node.close)
        network = await pinned_network(settings, node)
        projectors = (HistoriesProjector(), CallsProjector(), AccreditationsProjector())
        seals = seals_of(settings, profile, database, node)
        follower = Follower(database, node, profile, network, projectors, seals=seals)
        limits = lane_limits(settings, settings.mode)
        lane = Lane(database, node, profile, network, signer, worker.builders(network), limits=limits)
        questions = Questions(database, follower)
        requests = Requests(database, time.time)
        calls = CallRelay(network, questions, lane, time.time)
        reads = StatusListReads(database, questions)
        publishing = Publishing(database, questions, reads, calls, requests, time.time)
        cases = IdentityUseCases(
            database,
            network,
            questions,
            calls,
            requests,
            authority,
            IssuingPolicy(settings.certificate_days, local_names=settings.mode is Mode.DEVELOPMENT),
        )
        await serve(
            settings,
            [service(cases, publishing, reads)],
            [
                NamedWorker("follower", follower.run),
                NamedWorker("lane", lane.run),
                NamedWorker("sessions", StoppedSessions(database).run),
            ],
            {
                "database": answers(database),
                "follower": follower.health,
                "questions": questions.health,
                "lane": lane.health,
                **node_checks(node),
            },
            metrics,
        )


def _authority(settings: IdentitySettings) -> CertificateAuthority:
    """Raises: SettingsError when the files are no CA with its key."""
    try:
        return CertificateAuthority.load(settings.ca_cert.read_bytes(), settings.ca_key.read_bytes())
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise SettingsError({variable_of("ca_cert"): f"and its key cannot be used: {error}"}) from None


if __name__ == "__main__":
    sys.exit(start("identity", main))
