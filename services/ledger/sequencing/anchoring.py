"""Anchoring: bring the origin on chain to at least the log's size, one transaction in flight.

An anchor is an intent without a proof: target and consistency proof are made when it is signed, against the
head that is then included, so that a reorg or a growing log needs no second plan. The new size is the log's
own word, which no proof can check on chain: the builder verifies the extension itself before anything is
signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.sequencing.leadership import Leadership
from services.ledger.sequencing.log_tree import Nodes, check_extends, consistency_path
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.lane import Lane
from silkledger.evm.lane_types import CallSpec, Intent, IntentBuilder, LaneFull, NothingToDo, NotYet
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.log.tree import ProofInvalid
from silkledger.projections.anchors import CONTRACT, anchored_head
from silkledger.projections.histories import StoredHistories
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from silkledger.runtime.lease import LeaseLost
from silkledger.runtime.telemetry import logger
from silkledger.runtime.waiting import first_of

REGISTER: Final = "log.register"
ANCHOR: Final = "log.anchor"
"""Kinds of intents."""

REGISTER_GAS: Final = 1_000_000
ANCHOR_GAS: Final = 500_000
"""Gas limits. An anchor measures 20,000 to 50,000 for the proof, and as much for storage."""

LOOK_S: Final = 1.0
"""How often to look whether an intent is due, when nobody says so."""

NO_PREDECESSOR: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class AnchorBuilders:
    """Makes the transactions of the two kinds of intents, from the database as it is when they are signed."""

    network: Network
    origin: str
    log_key: LogVerifierKey

    def builders(self) -> dict[str, IntentBuilder]:
        return {REGISTER: self.register, ANCHOR: self.anchor}

    async def registered(self, conn: AsyncConnection) -> bool:
        """Whether the origin is registered in the blocks applied so far."""
        return bool(await StoredHistories(conn).records(CONTRACT, origin_id(self.origin)))

    async def register(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        """`registerOrigin` with the C2SP key of the log. Raises: NothingToDo."""
        if await self.registered(conn):
            raise NothingToDo("the origin is registered")
        data = encode_call(CONTRACT, "registerOrigin", (self.origin, self.log_key.recorded, NO_PREDECESSOR))
        return CallSpec(self.network.address(CONTRACT), data, REGISTER_GAS)

    async def anchor(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        """`anchor` of the latest checkpoint over the included head. Raises: NothingToDo, NotYet."""
        identifier = origin_id(self.origin)
        if not await self.registered(conn):
            raise NotYet
        wanted = int.from_bytes(payload, "big")
        on_chain = await anchored_head(conn, identifier)
        size, root = (0, b"") if on_chain is None else (on_chain.size, on_chain.root)
        head = await storage.checkpoint_at(conn)
        if size >= wanted or head is None or head.tree_size <= size:
            raise NothingToDo(f"anchored up to {size} already")
        try:
            await check_extends(conn, Nodes(), (size, root), (head.tree_size, head.root))
            path = await consistency_path(conn, size, head.tree_size) if size else []
        except (ProofInvalid, KeyError) as error:
            raise NothingToDo(f"the log does not extend its anchored head: {error}") from None
        data = encode_call(CONTRACT, "anchor", (identifier, head.tree_size, head.root, path))
        return CallSpec(self.network.address(CONTRACT), data, ANCHOR_GAS)


class Anchoring:
    """Leaves the intents, in the process that leads the log: as soon as the log is longer than its anchor and
    no anchor is under way, but no two within `interval_s`. Says nothing about when they are included: that is
    what the follower tells.

    `due` is set by whoever knows that an intent may be due: the log grew, or a transaction came into a block.
    Without it, it is found after `LOOK_S`.
    """

    def __init__(
        self,
        database: Database,
        lane: Lane,
        builders: AnchorBuilders,
        interval_s: float,
        leadership: Leadership,
        due: asyncio.Event,
    ) -> None:
        self._database = database
        self._lane = lane
        self._builders = builders
        self._interval_s = interval_s
        self._leadership = leadership
        self._due_bell = due

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._due_bell.clear()
            left = False
            try:
                left = await self.step()
            except LeaseLost:
                continue
            except (DBAPIError, LaneFull) as error:
                logger().warning("anchoring_delayed", why=type(error).__name__)
            if left:
                await first_of((stop,), self._interval_s)
            await first_of((stop, self._due_bell), LOOK_S)

    async def step(self) -> bool:
        """Leave an intent if one is due; True if it did.

        Whether it is due is asked again in the transaction that leaves it, which one process has at a time:
        so there is one in flight, however many processes ask.

        Raises:
            LeaseLost: nothing was left; another process leads.
        """
        if self._leadership.epoch is None:
            return False
        async with self._database.read() as connection:
            if await self._due(connection) is None:
                return False
        async with self._leadership.writing() as connection:
            intent = await self._due(connection)
            if intent is None:
                return False
            await self._lane.enqueue(connection, intent)
        self._lane.wake()
        return True

    async def _due(self, connection: AsyncConnection) -> Intent | None:
        origin = self._builders.origin
        if not await self._builders.registered(connection):
            states = await storage.intent_states(connection, REGISTER)
            return (
                None if _in_flight(states) else Intent(REGISTER, f"{origin}/{len(states)}", origin.encode())
            )
        head = await storage.checkpoint_at(connection)
        anchored = await anchored_head(connection, origin_id(origin))
        if head is None or head.tree_size <= (0 if anchored is None else anchored.size):
            return None
        if _in_flight(await storage.intent_states(connection, ANCHOR, open_only=True)):
            return None
        ended = await storage.intent_count(connection, ANCHOR)
        return Intent(ANCHOR, f"{origin}/{ended}", head.tree_size.to_bytes(8, "big"))


def _in_flight(states: Sequence[str]) -> bool:
    """Whether an intent still has its way into a block before it. What is included is visible as an
    anchor.
    """
    return any(state not in storage.SETTLED for state in states)
