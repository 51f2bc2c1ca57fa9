"""The sequencer: gives accepted entries their leaves, grows the tree, signs the checkpoint. One commit a
batch.

Nothing is signed that does not extend both the last published checkpoint and the anchored head. If the log
turns out shorter than either, or different, an old backup was restored or rows were changed: the log halts,
health says so, and only an operator with a mirror of the entries can help. A checkpoint is the last word:
it is never replaced, and a halted log signs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.index.known import KnownStatements
from services.ledger.index.merging import Merging, add_segment
from services.ledger.log_keys.signing import LogSigningKeys, NoKeyCounts
from services.ledger.sequencing import bulk
from services.ledger.sequencing.batch import Batch, make_batch
from services.ledger.sequencing.leadership import Leadership
from services.ledger.sequencing.log_tree import Nodes, append_batch, check_extends, open_tree
from services.ledger.sequencing.pending import waiting_calls, waiting_items
from services.ledger.sequencing.queue import Queue
from services.ledger.storage import CheckpointRow
from silkledger.log.tree import EMPTY_ROOT, ProofInvalid
from silkledger.projections.anchors import anchored_head, rewritten
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import SQLITE, Database
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.runtime.lease import LeaseLost
from silkledger.runtime.telemetry import logger
from silkledger.runtime.waiting import first_of

IDLE_POLL_S: Final = 1.0
"""How often to look whether there is something to do that nobody in this process knows of."""


class LogInconsistent(Exception):
    """The log does not extend what it published or anchored. It must not go on."""


@dataclass(frozen=True, slots=True)
class SequencingLimits:
    """When a batch is made: after `interval_s` at the latest, of at most `batch` entries."""

    interval_s: float
    batch: int


@dataclass(frozen=True, slots=True)
class _Grown:
    """A batch, and what it makes of the tree."""

    batch: Batch
    size: int
    root: bytes
    tiles: list[tuple[int, int, bytes]]


class Sequencer:
    """The one writer of the log while it leads; else it stands by, and takes over when the leader is silent.

    Any process may accept: what another accepted is found in the database, at the latest after the interval
    between batches.
    """

    def __init__(
        self,
        database: Database,
        queue: Queue,
        log_keys: LogSigningKeys,
        limits: SequencingLimits,
        caught_up: Callable[[], Awaitable[bool]],
        known: KnownStatements | None = None,
        leadership: Leadership | None = None,
        published: Callable[[], None] = lambda: None,
    ) -> None:
        """`published` is called after the commit of each batch that grew the log."""
        self._database = database
        self._queue = queue
        self._origin = log_keys.origin
        self._log_keys = log_keys
        self._limits = limits
        self._caught_up = caught_up
        self._known = known or KnownStatements()
        self._leadership = leadership or Leadership(database, log_keys.origin)
        self._published = published
        self._epoch: int | None = None
        self._merging = Merging(database, self._leadership.writing)

    async def health(self) -> str | None:
        """None when well, else a sentence."""
        if self._queue.halted is not None:
            return f"the log is halted: {self._queue.halted}"
        return None if self._queue.open else "waiting for the follower before the log is opened"

    async def run(self, stop: asyncio.Event) -> None:
        """Open the log once the chain is followed, then sequence or stand by until stopped. A halt ends the
        work, not the run. Whoever stops working lets the next one begin at once.
        """
        while not stop.is_set() and not await self._caught_up():
            await _pause(stop, 0.1)
        last = 0.0
        while not stop.is_set() and self._queue.halted is None:
            self._queue.arrived.clear()
            try:
                made = await self.step()
                merged = self._epoch is not None and await self._merging.round()
            except LogInconsistent as error:
                self._queue.halted = str(error)
                logger().critical("log_halted", origin=self._origin, why=str(error))
                break
            except LeaseLost:
                continue
            except DBAPIError as error:
                logger().error("sequencing_failed", exc_info=error)
                await _pause(stop, IDLE_POLL_S)
                continue
            if made:
                last = time.monotonic()
            if self._queue.waiting >= self._limits.batch or (merged and not made):
                continue
            await self._wait(stop, last)
        await self._leadership.give_up()
        await stop.wait()

    async def _wait(self, stop: asyncio.Event, last: float) -> None:
        """Until entries arrive, and until the interval since the last batch has passed, so that batches
        gather. Other processes' entries ring no bell here, nor do those that a full batch left: they are
        looked for.
        """
        if self._epoch is None:
            await _pause(stop, self._leadership.look_s)
            return
        all_ring = self._database.dialect == SQLITE and not self._queue.waiting
        patience_s = IDLE_POLL_S if all_ring else self._limits.interval_s
        await first_of((stop, self._queue.arrived), patience_s)
        remaining = last + self._limits.interval_s - time.monotonic()
        if remaining > 0:
            await _pause(stop, remaining)

    async def step(self) -> int:
        """One batch; returns how many statements it took off the queue. None while another process leads.

        1. one state of the database is read: the published tree, what is anchored, and what waits; 2. the
        grown tree is made and proven to extend both; 3. it is written, if nothing was published meanwhile.

        Raises:
            LogInconsistent: nothing was written, and the log must halt.
            LeaseLost: nothing was written, another process leads now.
        """
        if not await self._lead():
            await self._stand_by()
            return 0
        async with self._database.read() as connection:
            opened = await self._open(connection)  # (1)
            grown = None if opened is None else await self._grow(connection, *opened)  # (2)
            waiting = await waiting_items(connection)
        if opened is None:
            await self._begin()
            return await self.step()
        if grown is not None:
            if not await self._write(grown):  # (3)
                return 0
            reach(Failpoint.INTEGRATE_COMMITTED)
            self._queue.taken(grown.batch.ids)
            waiting -= grown.batch.items
            self._published()
        self._queue.counted(waiting)
        self._queue.open = True
        return 0 if grown is None else grown.batch.items

    async def _lead(self) -> bool:
        """Whether this process leads. A merge that was begun in another epoch is forgotten: the writer in
        between has dropped what it built.
        """
        leads = await self._leadership.lead()
        if self._epoch != self._leadership.epoch:
            self._epoch = self._leadership.epoch
            self._merging = Merging(self._database, self._leadership.writing)
        return leads

    async def _stand_by(self) -> None:
        """Another process leads. Open for acceptance after the same checks as it, and know what waits.

        Raises: LogInconsistent.
        """
        async with self._database.read() as connection:
            if not self._queue.open:
                self._queue.open = await self._open(connection) is not None
            logged = await self._known.logged(connection, list(self._queue.ids))
            waiting = await waiting_items(connection)
        self._queue.taken(logged)
        self._queue.counted(waiting)

    async def _begin(self) -> None:
        """Publish the empty log, unless another process just did."""
        async with self._leadership.writing() as connection:
            if await storage.checkpoint_at(connection) is None:
                await self._publish(connection, 0, bytes(EMPTY_ROOT))

    async def _open(self, connection: AsyncConnection) -> tuple[CheckpointRow, Nodes] | None:
        """Head and nodes of the tree as published, after checking that the database still holds just that.
        None where nothing was ever published.
        """
        head = await storage.checkpoint_at(connection)
        size = await storage.leaf_count(connection)
        if head is None and size == 0:
            return None
        if head is None or size != head.tree_size:
            published = "nothing" if head is None else f"{head.tree_size} leaves"
            raise LogInconsistent(f"the database holds {size} leaves, the last checkpoint {published}")
        try:
            tree, nodes = await open_tree(connection, size)
            if bytes(tree.root()) != head.root:
                raise LogInconsistent("the tree's nodes do not lead to the last checkpoint's root")
            await self._check_anchored(connection, nodes, (size, head.root))
        except KeyError:
            raise LogInconsistent("nodes of the published tree are missing") from None
        except ProofInvalid as error:
            raise LogInconsistent(f"the log does not extend its anchored head: {error.reason}") from None
        return head, nodes

    async def _check_anchored(
        self, connection: AsyncConnection, nodes: Nodes, head: tuple[int, bytes]
    ) -> None:
        """Raises: LogInconsistent, ProofInvalid, KeyError."""
        identifier = origin_id(self._origin)
        if await rewritten(connection, identifier):
            raise LogInconsistent("LogAnchor refused one of this log's heads for a bad consistency proof")
        anchored = await anchored_head(connection, identifier)
        if anchored is None:
            return
        if anchored.size > head[0]:
            raise LogInconsistent(f"{anchored.size} leaves are anchored, the database holds {head[0]}")
        await check_extends(connection, nodes, (anchored.size, anchored.root), head)

    async def _grow(self, connection: AsyncConnection, head: CheckpointRow, nodes: Nodes) -> _Grown | None:
        """What the waiting calls make of the tree; None where none waits. Raises: LogInconsistent."""
        waiting = await waiting_calls(connection, self._limits.batch)
        if not waiting:
            return None
        reach(Failpoint.SEQUENCE_TAKEN)
        ids = [item for call in waiting for item in call.id_list()]
        batch = make_batch(head.tree_size, waiting, await self._known.logged(connection, ids))
        if not batch.leaf_hashes:
            return _Grown(batch, head.tree_size, head.root, [])
        try:
            size, root = append_batch(nodes, head.tree_size, batch.leaf_hashes)
            await check_extends(connection, nodes, (head.tree_size, head.root), (size, root))
            await self._check_anchored(connection, nodes, (size, root))
            tiles = nodes.grown_tiles(head.tree_size, size)
        except (ProofInvalid, KeyError) as error:
            raise LogInconsistent(f"the new tree does not extend what was published: {error}") from None
        reach(Failpoint.INTEGRATE_GROWN)
        return _Grown(batch, size, root, tiles)

    async def _write(self, grown: _Grown) -> bool:
        """One commit: leaves, tiles, index, queue, checkpoint. False if the log has grown meanwhile."""
        batch = grown.batch
        async with self._leadership.writing() as connection:
            head = await storage.checkpoint_at(connection)
            if head is None or head.tree_size != batch.first_leaf:
                return False
            await bulk.delete_calls(connection, batch.calls)
            await bulk.insert_rows(connection, "leaf_run", [astuple(run) for run in batch.runs])
            reach(Failpoint.SEQUENCE_ASSIGNED)
            await bulk.insert_rows(connection, "tile", grown.tiles)
            if batch.records:
                await add_segment(connection, batch.first_leaf, batch.end_leaf, batch.records)
            reach(Failpoint.INTEGRATE_STORED)
            if grown.size > batch.first_leaf:
                await self._publish(connection, grown.size, grown.root)
            reach(Failpoint.INTEGRATE_WRITTEN)
        return True

    async def _publish(self, connection: AsyncConnection, size: int, root: bytes) -> CheckpointRow:
        """Raises: LogInconsistent, when every key was ended."""
        await self._log_keys.look(connection)
        try:
            row = self._log_keys.checkpoint(size, root)
        except NoKeyCounts as error:
            raise LogInconsistent(str(error)) from None
        reach(Failpoint.SIGN_CHECKPOINT)
        await storage.insert_checkpoint(connection, row, time.time_ns() // 1_000_000)
        return row


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
