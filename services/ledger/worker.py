"""What runs beside the handlers: follower, lane, sequencer, anchoring, evidence. And the service put
together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from services.ledger.admission.acceptance import Acceptance
from services.ledger.admission.admission import Admission
from services.ledger.admission.checker import SignatureChecker
from services.ledger.admission.issuers import Issuers
from services.ledger.capturing.capturing import Capturing, Plan
from services.ledger.capturing.validators import ValidatorProofs
from services.ledger.events.streams import event_streams
from services.ledger.grpc_api import LedgerApi
from services.ledger.index.known import KnownStatements
from services.ledger.log_keys.changes import KeyChanges, key_builders
from services.ledger.log_keys.signing import KeyWatch, LogSigningKeys
from services.ledger.proofs.evidence import EvidenceDesk
from services.ledger.proofs.log_reads import LogReads
from services.ledger.relay.relay import Relay, relay_builders
from services.ledger.replays.api import AuditApi
from services.ledger.replays.operations import Operations
from services.ledger.replays.runner import ReplaySettings, Runner
from services.ledger.sequencing.anchoring import AnchorBuilders, Anchoring
from services.ledger.sequencing.leadership import Leadership, lease_seconds
from services.ledger.sequencing.queue import Queue
from services.ledger.sequencing.sequencer import Sequencer, SequencingLimits
from services.ledger.settings import LedgerSettings
from services.ledger.use_cases import Ledger
from services.ledger.verification.verifier import Verifier
from services.ledger.wire import messages
from services.ledger.witnessing.collecting import Witnessing
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.follower import Follower, FollowerHalted
from silkledger.evm.lane import Lane
from silkledger.evm.lane_signer import lane_limits
from silkledger.evm.node_setup import node_checks, seals_of, trust_roots_of
from silkledger.evm.port import Node
from silkledger.evm.signer import Signer
from silkledger.projections.anchors import AnchorsProjector
from silkledger.projections.calls import CallsProjector
from silkledger.projections.histories import HistoriesProjector
from silkledger.runtime.db import Database
from silkledger.runtime.health import HealthCheck
from silkledger.runtime.server import NamedWorker, Service, Worker
from silkledger.runtime.sessions import StoppedSessions
from silkledger.runtime.telemetry import Metrics

LOOK_S: Final = 0.1
"""Pause between looks whether the follower has caught up."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What `__main__` makes from settings: connections and keys."""

    settings: LedgerSettings
    database: Database
    node: Node
    profile: EngineProfile
    network: Network
    signer: Signer
    log_keys: LogSigningKeys
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Assembled:
    """The service, ready to be served."""

    ledger: Ledger
    follower: Follower
    lane: Lane
    sequencer: Sequencer
    services: tuple[Service, ...]
    workers: tuple[Worker, ...]
    checks: Mapping[str, HealthCheck]

    def close(self) -> None:
        """End the signature checker's processes."""
        self.ledger.admission.checker.close()


def replay_settings(parts: Parts) -> ReplaySettings:
    """What a replay of this service is told: its own database, its own nodes and trust roots, no key."""
    settings, network = parts.settings, parts.network
    roots = settings.trust_roots_file
    job = {
        "network": {
            "chain_id": network.chain_id,
            "genesis_hash": str(network.genesis_hash),
            "directory": str(network.directory),
            "contracts": {name: str(address) for name, address in network.addresses.items()},
        },
        "engine": parts.profile.name,
        "origin": settings.origin,
        "log_verifier_key": str(parts.log_keys.verifier_keys[0]),
        "node_url": settings.node_url,
        "node_agreement": settings.node_agreement,
        "trust_roots": None if roots is None else roots.read_text("utf-8"),
        "databases": [["ledger", settings.database_url]],
        "processes": settings.replay_processes,
    }
    return ReplaySettings(job, settings.replay_directory, settings.replays_at_once)


LANE_POLL_S: Final = 1.0
"""The lane hears of every block and of what this process leaves for it; only timers, and what another process
leaves, wait for this.
"""


async def _wake_on_blocks(follower: Follower, lane: Lane) -> None:
    """Have the lane look at each block when it is applied, rather than at its next poll."""
    with suppress(FollowerHalted):
        head = follower.head
        while True:
            head = await follower.next_block(head)
            lane.wake()


def assemble(parts: Parts) -> Assembled:
    """Wire the ledger. Starts nothing. Raises: SettingsError."""
    settings, database, profile = parts.settings, parts.database, parts.profile
    follower = Follower(
        database,
        parts.node,
        profile,
        parts.network,
        (HistoriesProjector(), AnchorsProjector(), CallsProjector()),
        seals=seals_of(settings, profile, database, parts.node),
    )
    log_keys = parts.log_keys
    anchors = AnchorBuilders(parts.network, settings.origin, log_keys.verifier_keys[0])
    anchor_due = asyncio.Event()
    lane = Lane(
        database,
        parts.node,
        profile,
        parts.network,
        parts.signer,
        {
            **anchors.builders(),
            **relay_builders(parts.network),
            **key_builders(parts.network, settings.origin),
        },
        limits=replace(lane_limits(settings, settings.mode), poll_s=LANE_POLL_S),
        noted=anchor_due.set,
    )
    queue = Queue(settings.pending_limit)

    async def caught_up() -> bool:
        return follower.caught_up and await follower.health() is None

    limits = SequencingLimits(settings.sequence_interval_ms / 1000, settings.sequence_batch)
    known = KnownStatements()
    leadership = Leadership(database, settings.origin, lease_seconds(settings, database.dialect))
    sequencer = Sequencer(
        database,
        queue,
        log_keys,
        limits,
        caught_up,
        known,
        leadership,
        published=anchor_due.set,
    )
    checker = SignatureChecker(settings.verify_processes)
    admission = Admission(database, Issuers(database), checker)
    acceptance = Acceptance(database, queue, known)
    ledger = Ledger(settings, database, parts.network, follower, admission, acceptance, log_keys, queue)
    interval_s = settings.anchor_interval_ms / 1000
    anchoring = Anchoring(database, lane, anchors, interval_s, leadership, anchor_due)
    witnessing = Witnessing(
        database, settings.origin, settings.witnesses, leadership, interval_s, parts.metrics.registry
    )
    reads = LogReads(ledger)
    validators = ValidatorProofs.under(trust_roots_of(settings, profile), database, parts.node)
    evidence = EvidenceDesk(ledger, reads, parts.node, profile, validators)
    capturing = Capturing(
        database,
        parts.node,
        parts.network,
        profile,
        settings.origin,
        Plan.of(profile, settings.state_capture_blocks),
        follower,
        leadership,
        validators,
        parts.metrics.registry,
    )
    streams = event_streams(
        settings, database, parts.network, profile.header_kind, follower, messages.event_wire
    )
    api = LedgerApi(
        ledger,
        reads,
        Verifier(ledger, profile),
        evidence,
        Relay(ledger, lane),
        KeyChanges(ledger, lane, log_keys),
        streams.hub,
        profile,
    )
    watch = KeyWatch(database, log_keys)

    async def run_lane(stop: asyncio.Event) -> None:
        """Once the chain is followed: of what another life has sent, an older database learns there."""
        while not stop.is_set() and not await caught_up():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)
        waking = asyncio.create_task(_wake_on_blocks(follower, lane))
        try:
            await lane.run(stop)
        finally:
            waking.cancel()

    replays = Runner(database, replay_settings(parts))
    audits = AuditApi(Operations(database, replays.offered, replays.wake))
    runs = {
        "follower": follower.run,
        "lane": run_lane,
        "sequencer": sequencer.run,
        "anchoring": anchoring.run,
        "witnessing": witnessing.run,
        "log_keys": watch.run,
        "evidence": evidence.run,
        "capturing": capturing.run,
        "verifiers": checker.run,
        "sessions": StoppedSessions(database).run,
        "replays": replays.run,
        "events": streams.reader.run,
        "acknowledgements": streams.checkpoints.run,
        "takeovers": streams.takeovers.run,
    }

    async def database_check() -> str | None:
        await database.ping()
        return None

    return Assembled(
        ledger=ledger,
        follower=follower,
        lane=lane,
        sequencer=sequencer,
        services=(api.service(), audits.service()),
        workers=tuple(NamedWorker(name, run) for name, run in runs.items()),
        checks={
            "database": database_check,
            "node": follower.health,
            "lane": lane.health,
            "log": sequencer.health,
            "log_keys": watch.health,
            **node_checks(parts.node),
            "events": streams.reader.health,
        },
    )
