"""Capturing, where nodes prune: what evidence needs of the state, while the node still has it.

Receipts, headers with their seals, and all records of histories are in the follower's archive and projections
for ever. What only the node has, and forgets, is the state: the proofs that the histories are whole, and in
QBFT contract mode who the validators are. One capture serves every anchor at or before its block, since a
state proof answers for all earlier blocks: so there is at most one for each anchor, and under load one in
`interval` blocks. What two captures share is kept once, as trie nodes by their hashes.

What is due is read off the database: a process that dies before its capture is written captures after its
next start, as of a later block if the node has pruned by then. The replica that leads the log captures, and
its lease fences the write. Nothing waits for a capture: not acceptance, not sequencing, not anchoring.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import DBAPIError

from services.ledger.capturing.gathering import StateGatherer
from services.ledger.capturing.storage import (
    CaptureRow,
    insert_capture,
    insert_nodes,
    insert_steps,
    last_capture,
)
from services.ledger.capturing.validators import ValidatorProofs
from services.ledger.sequencing.leadership import Leadership
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evm.archive import Archive
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.follower import Follower
from silkledger.evm.port import Node, NodeError, NodeUnavailable
from silkledger.projections.anchors import final_anchor
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.runtime.lease import LeaseLost
from silkledger.runtime.telemetry import logger
from silkledger.runtime.waiting import first_of

_LOOKS_PER_BLOCK: Final = 4
_PARTS: Final = 8
"""Captures within the blocks of which the node keeps the state: enough to miss a few."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When and of what state is captured."""

    interval: int
    """Least number of blocks between two captures."""
    depth: int
    """For how many blocks behind the head the node proves the state."""

    @classmethod
    def of(cls, profile: EngineProfile, interval: int) -> Plan | None:
        """Of the settings: None where nothing is captured, because they say 0 or the engine proves nothing.
        A negative interval is an eighth of what the engine keeps."""
        depth = profile.state_history_blocks
        if interval == 0 or depth == 0:
            return None
        return cls(interval if interval > 0 else max(depth // _PARTS, 1), depth)

    def due(
        self, head: int, final: int, anchor: int | None, last: CaptureRow | None, refused: int = 0
    ) -> int | None:
        """The block as of which to capture now, if any.

        `anchor` is the block of the newest final anchor, `last` the newest capture, `refused` the block of
        which the node did not prove the state last time. It is the anchor's, so that evidence is had as of
        registration, if the node is sure to have its state; else the newest final one.
        """
        if anchor is None:
            return None
        if last is not None:
            if last.block_number >= (anchor if last.whole else final):
                return None
            if last.whole and final - last.block_number < self.interval:
                return None
        near = head - anchor <= self.depth // 2 and anchor != refused
        newer = last is None or anchor > last.block_number
        return anchor if near and newer else final


class Capturing:
    """Captures state as of final blocks."""

    def __init__(
        self,
        database: Database,
        node: Node,
        network: Network,
        profile: EngineProfile,
        origin: str,
        plan: Plan | None,
        follower: Follower,
        leadership: Leadership,
        validators: ValidatorProofs | None,
        registry: CollectorRegistry,
    ) -> None:
        self._database, self._profile = database, profile
        self._origin_id, self._plan = origin_id(origin), plan
        self._follower, self._leadership, self._validators = follower, leadership, validators
        self._state = StateGatherer(database, node, network, profile.header_kind, self._origin_id)
        self._gauge = Gauge(
            "silkledger_state_captured_block",
            "Newest block as of which this process captured the state that evidence needs",
            registry=registry,
        )
        self._trouble = ""
        self._refused = 0
        """Block of which the node did not prove the state, last time."""

    async def run(self, stop: asyncio.Event) -> None:
        """Capture what is due until stopped. A failing node or database is asked again."""
        looked_at = 0
        while not stop.is_set():
            final = self._follower.final.number
            try:
                if final != looked_at:
                    await self.step()
                    looked_at = final
                    self._tell("")
            except LeaseLost:
                self._tell("")  # another process captures
            except (NodeError, CaptureFailed, EvidenceInvalid) as error:
                self._tell(str(error))
            except DBAPIError as error:
                self._tell(type(error).__name__)
            await first_of((stop,), self._profile.block_time_s / _LOOKS_PER_BLOCK)

    async def step(self) -> int | None:
        """Capture if that is due; the block as of which it was.

        Raises:
            NodeUnavailable, NodeLied, CaptureFailed, LeaseLost: nothing was written.
        """
        if self._plan is None or self._leadership.epoch is None:
            return None
        async with self._database.read() as connection:
            anchor = await final_anchor(connection, self._origin_id, self._follower.final.number)
            block = self._plan.due(
                self._follower.head.number,
                self._follower.final.number,
                None if anchor is None else anchor.block_number,
                await last_capture(connection),
                self._refused,
            )
            if block is None:
                return None
            header = (await Archive(connection, self._profile.header_kind).block(block)).header
        try:
            gathered = await self._state.gather(header)
            steps: tuple[int, ...] = ()
            if self._validators is not None:
                validators = await self._validators.gather(header)
                steps, gathered.nodes = validators.steps, gathered.nodes | validators.nodes
        except NodeUnavailable:
            self._refused = block
            raise
        reach(Failpoint.CAPTURE_GATHERED)
        async with self._database.write() as connection:  # under their hashes they are true whoever leads
            await insert_nodes(connection, gathered.nodes)
        async with self._leadership.writing() as connection:
            await insert_steps(connection, steps)
            row = CaptureRow(block, gathered.whole)
            await insert_capture(connection, row, time.time_ns() // 1_000_000)
        self._state.kept(gathered)
        self._gauge.set(block)
        return block

    def _tell(self, trouble: str) -> None:
        """A line when the trouble changes."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            logger().warning("evidence_not_captured", why=trouble)
        else:
            logger().info("evidence_captured_again")
