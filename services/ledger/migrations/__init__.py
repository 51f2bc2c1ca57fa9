"""The ledger's schema, revision by revision (Alembic). Held equal to the tables' metadata by a test."""

from __future__ import annotations

from sqlalchemy import MetaData

from services.ledger import storage
from services.ledger.capturing import storage as capturing
from services.ledger.events import consumers
from services.ledger.replays import storage as replays
from services.ledger.sequencing import leadership, pending
from services.ledger.witnessing import cosignatures
from silkledger.evm.tables import CHAIN_TABLES, LANE_TABLES
from silkledger.projections import anchors, calls, histories, log_index, log_tiles, statements
from silkledger.runtime import idempotency
from silkledger.runtime.migrations import collect


def metadata() -> MetaData:
    """Every table of the ledger's database."""
    return collect(
        CHAIN_TABLES,
        LANE_TABLES,
        statements.metadata,
        log_tiles.metadata,
        log_index.metadata,
        pending.metadata,
        leadership.metadata,
        cosignatures.metadata,
        consumers.metadata,
        capturing.metadata,
        anchors.metadata,
        calls.TABLES,
        histories.TABLES,
        idempotency.metadata,
        storage.own,
        replays.metadata,
    )
