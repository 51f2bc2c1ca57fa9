"""Reading the chain: block after block, verified, applied in one commit (design section 11).

    HEAD → FETCH(block, receipts) → VERIFY(hash, bloom, roots, parent, seals) → APPLY(one commit) → next

Fetching and verifying run ahead of applying, in ranges that fit the node (`silkledger.evm.reading`).
Projections are append-only facts that carry their block number, so undoing is deleting: everything above the
common ancestor, with the cursor, in one commit. At or below finality nothing is ever undone: a conflict there
stops the follower, and health says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import BlockEvents, ContractMismatch, Network, events_of
from silkledger.evm.engines import EngineProfile
from silkledger.evm.follower_store import CursorMoved, FollowerStore
from silkledger.evm.port import FullBlock, Node, NodeError, NodeLied
from silkledger.evm.reading import BlockReader
from silkledger.runtime.db import Database
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.values import BlockHash, BlockRef

ReorgListener = Callable[[int], Awaitable[None]]
"""Told the common ancestor after the commit that undid everything above it."""

_POLLS_PER_BLOCK: Final = 4
_QUIET_ROUNDS: Final = 3
"""A failed step is a problem for health only after this many block times without a good one."""


class FollowerHalted(RuntimeError):
    """The follower stopped for good: going on would rewrite or invent history. An operator must look."""


class FinalityViolated(FollowerHalted):
    """The node's chain differs from ours at a block that was final."""

    def __init__(self, number: int, ours: BlockHash, theirs: BlockHash) -> None:
        super().__init__(
            f"block {number} was final as {ours}, the node now says {theirs}: "
            "either is a lie or the finality rule did not hold; nothing was rewritten"
        )
        self.number = number
        self.ours = ours
        self.theirs = theirs


class WrongChain(FollowerHalted):
    """Node, database and settings do not speak of the same chain."""


class Projector(Protocol):
    """Turns events into rows. A pure function of its arguments and of its own tables."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Tables with a `block_number` column, filled by `apply` only."""
        ...

    async def apply(self, conn: AsyncConnection, blocks: Sequence[BlockEvents]) -> None:
        """Insert the facts of these consecutive blocks, inside the commit that records them."""
        ...


class SealCheck(Protocol):
    """Whether blocks are sealed as their engine wants it (`silkledger.evm.seals`)."""

    async def check(self, head: BlockRef, blocks: Sequence[FullBlock]) -> None:
        """`blocks` follow `head`. Raises: NodeLied, NodeUnavailable; FollowerHalted."""
        ...


class Follower:
    """One follower per database. `run` it; read `head`, `final`; await `wait_for`.

    Several processes may follow into one PostgreSQL database: the cursor is compared and set in every commit,
    so each block is applied once.
    """

    def __init__(
        self,
        database: Database,
        node: Node,
        profile: EngineProfile,
        network: Network,
        projectors: Sequence[Projector] = (),
        *,
        seals: SealCheck | None = None,
        on_reorg: Sequence[ReorgListener] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._reader = BlockReader(node, profile.log_range)
        self._clock = clock
        self._profile = profile
        self._network = network
        self._projectors = tuple(projectors)
        self._seals = seals
        self._store = FollowerStore(database, network, [t for p in projectors for t in p.tables])
        self._on_reorg = tuple(on_reorg)
        self._changed = asyncio.Condition()
        self._head = BlockRef(0, network.genesis_hash, 0)
        self._final = self._head
        self._node_head: int | None = None
        """None: it was not asked yet."""
        self._behind_since: float | None = None
        self._good_at = self._clock()
        self._problem: str | None = None
        self._halted: FollowerHalted | None = None
        self._started = False

    @property
    def head(self) -> BlockRef:
        """Newest applied block. Block 0 with time 0 stands for "none yet"."""
        return self._head

    @property
    def final(self) -> BlockRef:
        """Newest applied block that is final by the engine's rule; never undone."""
        return self._final

    @property
    def halted(self) -> FollowerHalted | None:
        return self._halted

    @property
    def lag(self) -> int:
        """Blocks that the node had more than we, when last asked; 0 before it was asked."""
        return 0 if self._node_head is None else max(self._node_head - self._head.number, 0)

    @property
    def caught_up(self) -> bool:
        """Whether all that the node had when last asked is applied, and some of it is final.

        Never before it was asked: what the database holds at start may be older than the chain.
        """
        return self._node_head is not None and self.lag == 0 and self._final.number > 0

    async def health(self) -> str | None:
        """None when well, else a sentence: halted, the node fails us, or we are far behind it."""
        if self._halted is not None:
            return f"halted: {self._halted}"
        if not self._started:
            return "not started"
        if self._node_head is None:
            return f"the node has not said where its chain ends: {self._problem or 'waiting'}"
        quiet_s = self._clock() - self._good_at
        if quiet_s > max(_QUIET_ROUNDS * self._profile.block_time_s, 1.0):
            return f"no answer to rely on from the node for {quiet_s:.0f} s: {self._problem or 'waiting'}"
        if self.lag > self._profile.log_range:
            return f"catching up, {self.lag} blocks behind the node"
        return None

    async def wait_for(self, number: int) -> BlockRef:
        """Wait until block `number` is applied; returns the head then. Raises: FollowerHalted."""
        return await self._wait(lambda: self._head.number >= number)

    async def wait_final(self, number: int) -> BlockRef:
        """Wait until block `number` is final; returns the head then. Raises: FollowerHalted."""
        return await self._wait(lambda: self._final.number >= number)

    async def next_block(self, after: BlockRef) -> BlockRef:
        """Wait until the head is not `after` any more. Raises: FollowerHalted."""
        return await self._wait(lambda: self._head != after)

    async def _wait(self, condition: Callable[[], bool]) -> BlockRef:
        async with self._changed:
            await self._changed.wait_for(lambda: self._halted is not None or condition())
        if self._halted is not None:
            raise self._halted
        return self._head

    async def start(self) -> None:
        """Load the cursor, and check that node, database and settings mean the same chain.

        Raises:
            WrongChain: they do not.
            NodeUnavailable, NodeLied.
        """
        chain_id, genesis = await self._node.chain_id(), await self._node.genesis_hash()
        expected = self._network
        if (chain_id, genesis) != (expected.chain_id, expected.genesis_hash):
            raise WrongChain(
                f"the node is on chain {chain_id} with genesis {genesis}, "
                f"not on chain {expected.chain_id} with genesis {expected.genesis_hash}"
            )
        known = await self._store.load()
        if known != (expected.genesis_hash, expected.directory):
            raise WrongChain("the database follows another chain or another network directory")
        await self._reload()
        self._started = True

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until stopped. A failing node is asked again; a halt ends the run and stays in `halted`."""
        try:
            while not stop.is_set() and self._halted is None:
                if not await self._round():
                    await _pause(stop, self._profile.block_time_s / _POLLS_PER_BLOCK)
        finally:
            self._reader.forget()

    async def _round(self) -> bool:
        """One step; whether the next may follow at once."""
        try:
            if not self._started:
                await self.start()
            return await self.step()
        except (NodeError, DBAPIError) as error:
            self._problem = f"{type(error).__name__}: {error}"
        except (FollowerHalted, ContractMismatch) as error:
            await self._halt(error)
        return False

    async def step(self) -> bool:
        """One round; True when blocks were applied or undone, i.e. when asking again at once makes sense.

        Raises:
            FollowerHalted, ContractMismatch: `run` halts on these.
            NodeUnavailable, NodeLied: nothing was applied.
        """
        node_head = await self._node.block_number()
        self._node_head = node_head
        if node_head <= self._head.number:
            changed = await self._check_head(node_head)
        else:
            self._behind_since = None
            changed = await self._extend(await self._reader.read(self._head.number + 1, node_head))
        self._good_at = self._clock()
        self._problem = None
        return changed

    async def _extend(self, blocks: Sequence[FullBlock]) -> bool:
        """Apply verified blocks that follow our head, or find out that they do not."""
        if blocks[0].header.parent_hash != self._head.hash:
            return await self._undo_to_ancestor(self._head.number, blocks[0].header.parent_hash)
        if self._seals is not None:
            await self._seals.check(self._head, blocks)
        reach(Failpoint.INCLUDE_FETCHED)
        try:
            async with self._store.advance(self._head, blocks, self._final_after(blocks)) as conn:
                await self._project(conn, blocks)
                reach(Failpoint.INCLUDE_APPLIED)
        except CursorMoved:
            await self._reload()
            return True
        reach(Failpoint.INCLUDE_COMMITTED)
        await self._reload()
        return True

    async def _project(self, conn: AsyncConnection, blocks: Sequence[FullBlock]) -> None:
        told: list[BlockEvents] = []
        for block in blocks:
            logs = [receipt.logs for receipt in block.receipts]
            events = events_of(self._network, block.header.number, block.tx_hashes, logs)
            told.append((block.header.ref, events))
        for projector in self._projectors:
            await projector.apply(conn, told)

    def _final_after(self, blocks: Sequence[FullBlock]) -> int:
        return max(self._profile.final_number(blocks[-1].header.number), self._final.number)

    async def _check_head(self, node_head: int) -> bool:
        """The node has nothing new. Is it still on our chain, and was it rolled back?

        A node that is merely behind says nothing against our blocks; it is believed to have lost them only
        after two block times, and then only what was not final is undone.
        """
        theirs = await self._their_hash(node_head)
        if theirs != await self._store.hash_of(node_head):
            return await self._undo_to_ancestor(node_head, theirs)
        if node_head == self._head.number:
            self._behind_since = None
            return False
        now = self._clock()
        self._behind_since = self._behind_since or now
        if now - self._behind_since < 2 * self._profile.block_time_s:
            return False
        if node_head < self._final.number:
            raise NodeLied(f"the node ends at block {node_head}, below the final block {self._final.number}")
        await self._undo(node_head)
        return True

    async def _undo_to_ancestor(self, number: int, theirs: BlockHash) -> bool:
        """Undo down to the newest block that we share with the node; block `number` may be the first we do
        not.

        Raises:
            FinalityViolated: a block at or below finality differs. Nothing is undone then.
        """
        while (ours := await self._store.hash_of(number)) != theirs:
            if number <= self._final.number and ours is not None:
                raise FinalityViolated(number, ours, theirs)
            number -= 1
            theirs = await self._their_hash(number)
        await self._undo(number)
        return True

    async def _their_hash(self, number: int) -> BlockHash:
        if number == 0:
            return await self._node.genesis_hash()
        return (await self._node.block(number)).header.hash

    async def _undo(self, ancestor: int) -> None:
        self._reader.forget()
        try:
            await self._store.rewind(self._head, ancestor)
        except CursorMoved:
            await self._reload()
            return
        await self._reload()
        for listener in self._on_reorg:
            await listener(ancestor)

    async def _reload(self) -> None:
        """Take head and final from the database: what is committed is what is true."""
        head, final = await self._store.position()
        async with self._changed:
            self._head, self._final = head, final
            self._changed.notify_all()

    async def _halt(self, error: FollowerHalted | ContractMismatch) -> None:
        halted = error if isinstance(error, FollowerHalted) else FollowerHalted(str(error))
        async with self._changed:
            self._halted = halted
            self._changed.notify_all()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
