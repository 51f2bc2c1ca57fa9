"""The parts of the event stream, put together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from services.ledger.events.archive import Archive, Decoder, Encode
from services.ledger.events.checkpoints import Checkpoints
from services.ledger.events.cursor import Cursor
from services.ledger.events.hub import Hub, StreamLimits, event_shapes
from services.ledger.events.reader import Following, Reader
from services.ledger.events.subscription import Sources
from services.ledger.events.takeovers import Takeovers
from services.ledger.events.window import WindowLimits
from services.ledger.settings import LedgerSettings
from silkledger.evidence.header import EngineKind
from silkledger.evm.contracts import Network
from silkledger.runtime.db import Database
from silkledger.values import BlockRef

_OPENING: Final = 4
"""Streams that look for their beginning at a time: half of the reading connections."""


@dataclass(frozen=True, slots=True)
class Streams:
    """What serves Subscribe: `hub` for the handlers; the others run beside them."""

    hub: Hub
    reader: Reader
    checkpoints: Checkpoints
    takeovers: Takeovers


def event_streams(
    settings: LedgerSettings,
    database: Database,
    network: Network,
    kind: EngineKind,
    follower: Following,
    encode: Encode,
) -> Streams:
    """Wire them. Starts nothing."""
    genesis = BlockRef(0, network.genesis_hash, 0)
    decoder = Decoder(network, kind, encode)
    limits = WindowLimits(settings.event_window_blocks, settings.event_window_events)
    reader = Reader(database, follower, decoder, genesis, limits)
    checkpoints = Checkpoints(database, settings.acknowledge_interval_ms / 1000)
    takeovers = Takeovers(database, Cursor.after(genesis))
    sources = Sources(
        database,
        reader,
        Archive(database, decoder),
        checkpoints,
        takeovers,
        genesis,
        settings.unacknowledged_limit,
        float(settings.progress_interval_s),
        asyncio.Semaphore(_OPENING),
    )
    allowed = StreamLimits(settings.stream_limit, settings.organisation_stream_limit)
    return Streams(Hub(sources, allowed, event_shapes(network)), reader, checkpoints, takeovers)
