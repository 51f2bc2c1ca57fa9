"""Reading the chain again from genesis, with the same follower and the same projectors as the services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.follower import Follower, Projector
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.tables import CHAIN_BLOCK, CHAIN_CURSOR, CHAIN_TX
from silkledger.projections.accreditations import AccreditationsProjector
from silkledger.projections.anchors import AnchorsProjector
from silkledger.projections.calls import CallsProjector
from silkledger.projections.histories import HistoriesProjector
from silkledger.projections.settlements import SettlementsProjector
from silkledger.runtime.db import Database
from silkledger.values import BlockRef

Advance = Callable[[int, int], None]
"""Told with every step: blocks read in it, and blocks that there are to read in all."""


def projectors() -> tuple[Projector, ...]:
    """Every projection there is. A service's database has those of them that it uses."""
    return (
        HistoriesProjector(),
        AnchorsProjector(),
        CallsProjector(),
        AccreditationsProjector(),
        SettlementsProjector(),
    )


def compared_tables() -> tuple[Table, ...]:
    """What is compared row by row: archive of blocks and all projections. Not the cursor: it is a place."""
    projected = [table for projector in projectors() for table in projector.tables]
    return (CHAIN_BLOCK, CHAIN_TX, *projected)


@asynccontextmanager
async def rebuilt(
    network: Network,
    profile: EngineProfile,
    node_url: str,
    folder: Path,
    advance: Advance,
) -> AsyncIterator[tuple[Database, BlockRef]]:
    """A fresh database with everything up to the node's present head; yields it with the last final block.

    Raises: FollowerHalted, ContractMismatch, NodeError: then there is nothing to compare.
    """
    database = await Database.open(f"sqlite:///{folder / 'replay.sqlite3'}")
    node = JsonRpcNode(node_url, profile)
    try:
        async with database.write() as connection:
            await _create(connection, (CHAIN_CURSOR, *compared_tables()))
        follower = Follower(database, node, profile, network, projectors())
        await follower.start()
        target = await node.block_number()
        while follower.head.number < target:
            before = follower.head.number
            await follower.step()
            advance(max(follower.head.number - before, 0), target + 1)
        yield database, follower.final
    finally:
        await node.close()
        await database.close()


async def _create(connection: AsyncConnection, tables: Sequence[Table]) -> None:
    for table in tables:
        await connection.run_sync(table.create)
