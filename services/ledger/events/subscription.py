"""One consumer's stream: items in chain order from a cursor; only acknowledgements move its checkpoint.

- Nothing is read for this stream alone while it is near the head: it looks at the shared window when the hub
  wakes it.
- It is delivered at most `unacknowledged` events that it has not acknowledged, and no more than it reads:
  then it waits, alone.
- A cursor names a block by hash. If that block is not on the chain, `Gap` tells from where delivery goes on;
  if blocks that were told are undone while the stream runs, `Retracted` names the common ancestor.
- What passes no filter moves the stream all the same: `Progress` gives a cursor to acknowledge.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.errors import ChainNotFollowed, ConsumerTakenOver, FieldRefused
from services.ledger.events.archive import Archive
from services.ledger.events.checkpoints import Checkpoints
from services.ledger.events.consumers import Key, consumer_cursor
from services.ledger.events.cursor import (
    BLOCK_DONE,
    Acknowledged,
    Batch,
    Cursor,
    Gap,
    Item,
    Progress,
    Wish,
)
from services.ledger.events.outstanding import Answer, Outstanding
from services.ledger.events.reader import Reader
from services.ledger.events.takeovers import Takeovers
from services.ledger.events.walk import Walk
from silkledger.projections.chain import block_at
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database
from silkledger.runtime.errors import Unauthenticated
from silkledger.values import BlockRef

BATCH_EVENTS: Final = 500
"""Most events in one message."""

_UNREAD_NOTICES: Final = 16
"""Progress is not told further while so many notices wait for an acknowledgement."""

_FORCE_S: Final = 1.0
"""A stream that was ended while its consumer does not read is broken off after this time."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What all streams share."""

    database: Database
    reader: Reader
    archive: Archive
    checkpoints: Checkpoints
    takeovers: Takeovers
    genesis: BlockRef
    unacknowledged: int
    progress_s: float
    opening: asyncio.Semaphore
    """So few streams read the database at their beginning at a time: other calls keep their connections."""


class Subscription:
    """See the module. The hub makes it; `items` runs it, once."""

    def __init__(self, sources: Sources, caller: Caller, wish: Wish) -> None:
        self.caller = caller
        self.wish = wish
        self.key: Key = (str(caller.did), wish.consumer)
        self.awake = asyncio.Event()
        self.number = 0
        """Of the consumer's streams the one with the highest is the newest; 0: not numbered yet."""
        self._sources = sources
        self._walk: Walk
        self._outstanding = Outstanding()
        self._confirmed: Cursor | None = None
        self._told_at = 0.0
        self._caught_up = False
        self._finishing = False
        self._ended: Exception | None = None
        self._handler: asyncio.Task[object] | None = None

    async def items(self) -> AsyncIterator[Item]:
        """Until the consumer ends its requests. Raises: LedgerError, Unauthenticated, when it is ended."""
        self._handler = asyncio.current_task()
        gap = await self._begin()
        if gap is not None:
            yield gap
        while True:
            self.awake.clear()
            self._check()
            if self._finishing:
                await self._sources.checkpoints.settle(self.key)
            item = await self._next()
            if item is not None:
                yield item
            elif self._finishing:
                return
            else:
                await self._idle()

    def acknowledge(self, cursor: Cursor) -> None:
        """Everything up to `cursor` needs no delivery any more; durable after the next commit.

        Raises:
            FieldRefused: this stream did not tell that place.
        """
        if self._ended is not None:
            return  # another stream of this consumer may stand elsewhere by now
        answer = self._outstanding.acknowledge(cursor)
        if answer is Answer.UNKNOWN:
            raise FieldRefused(
                "CURSOR_NOT_DELIVERED", "acknowledge", "this stream did not tell that cursor, or is past it"
            )
        if answer is Answer.MOVES:
            self._sources.checkpoints.move(self.key, self.number, cursor, self._committed, self.take_over)
            self.awake.set()

    def finish(self) -> None:
        """The consumer ended its requests: commit what it acknowledged, then end."""
        self._finishing = True
        self.awake.set()

    def end(self, error: Exception) -> None:
        """Nothing more is delivered, no acknowledgement counts any more; the consumer is told the error."""
        if self._ended is None:
            self._ended = error
            self.awake.set()
            asyncio.get_running_loop().call_later(_FORCE_S, self._force)

    def take_over(self) -> None:
        """End it: a newer stream of the consumer was opened, here or on another replica."""
        self.end(ConsumerTakenOver(self.wish.consumer))

    def _numbered(self, number: int) -> None:
        self.number = number

    def _force(self) -> None:
        if self._handler is not None and not self._handler.done():
            self._handler.cancel()

    def _committed(self, cursor: Cursor) -> None:
        if self.wish.confirm:
            self._confirmed = cursor
            self.awake.set()

    async def _begin(self) -> Gap | None:
        """Take the consumer over from its older streams, then find the place to start from; mostly without a
        read of the database, at most with one.
        """
        sources, window = self._sources, self._sources.reader.window
        genesis, epoch, wanted = Cursor.after(sources.genesis), window.epoch, self.wish.start
        gap = None
        await sources.checkpoints.settle(self.key)  # what an older stream here was told is to count
        await sources.takeovers.number(self.key, self._numbered)
        if wanted is None or not window.shows(wanted):
            async with sources.opening, sources.database.read() as connection:
                if wanted is None:
                    wanted = await consumer_cursor(connection, self.key) or genesis
                if wanted != genesis and not window.shows(wanted):
                    wanted, gap = await self._resume(connection, wanted)
        self._walk = Walk(wanted, wanted, epoch)
        self._told_at = time.monotonic()
        if gap is not None:
            self._outstanding.tell_notice(gap.start)
        return gap

    async def _resume(self, connection: AsyncConnection, wanted: Cursor) -> tuple[Cursor, Gap | None]:
        """Where to start for a cursor that the window does not show.

        Raises:
            ChainNotFollowed: it is ahead of what this service has followed.
        """
        window, genesis = self._sources.reader.window, Cursor.after(self._sources.genesis)
        if wanted.block_number == 0:
            if wanted.block_hash == genesis.block_hash:
                return genesis, None
            return genesis, Gap(genesis, "the cursor names another genesis")
        block = await block_at(connection, wanted.block_number)
        if block is not None and bytes(block.hash) == wanted.block_hash:
            return wanted, None
        if block is None and wanted.block_number > window.head.number:
            raise ChainNotFollowed(
                f"block {wanted.block_number} of the cursor is not followed yet; "
                f"the newest is {window.head.number}"
            )
        resume = await block_at(connection, min(wanted.block_number - 1, window.final))
        start = genesis if resume is None else Cursor.after(resume)
        return start, Gap(start, "the block of the cursor is not on the chain that this service has")

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended
        if self.caller.expires_at <= time.time():
            raise Unauthenticated("the client certificate has expired")
        if self._sources.reader.halted is not None:
            raise ChainNotFollowed(self._sources.reader.halted)

    async def _next(self) -> Item | None:
        """What to tell now; None: nothing."""
        if self._confirmed is not None:
            confirmed, self._confirmed = self._confirmed, None
            return Acknowledged(confirmed)
        if self._finishing:
            return None
        retracted = self._walk.retraction(self._sources.reader.window)
        if retracted is not None:
            self._outstanding.retract(Cursor.after(retracted.ancestor))
            self._told_at = time.monotonic()
            return retracted
        batch = await self._advance()
        return batch if batch is not None else self._progress()

    async def _advance(self) -> Batch | None:
        """Go on to the next events, or to the newest block, or until Progress is due."""
        walk, window = self._walk, self._sources.reader.window
        while self._room:
            blocks = window.following(walk.place)
            before = walk.place
            paged = blocks is None
            if blocks is None:
                blocks = await self._sources.archive.following(walk.place, window.base.number)
            batch = walk.take(blocks, self.wish.filter, self._limit, self._room)
            if batch is not None:
                return self._told(batch)
            if not paged or self._due or self._ended is not None:
                return None
            if walk.place == before:
                raise RuntimeError(f"the archive does not go on after block {before.block_number}")
        return None

    @property
    def _room(self) -> int:
        return min(self._sources.unacknowledged - self._outstanding.events, BATCH_EVENTS)

    @property
    def _limit(self) -> int:
        """The newest block that this stream may deliver."""
        window = self._sources.reader.window
        return window.final if self.wish.final_only else window.head.number

    @property
    def _due(self) -> bool:
        """Whether it is time for a Progress."""
        return time.monotonic() - self._told_at >= self._sources.progress_s

    def _told(self, batch: Batch) -> Batch:
        for cursor in batch.cursors:
            self._outstanding.tell_event(cursor)
        self._told_at = time.monotonic()
        return batch

    def _progress(self) -> Progress | None:
        """When due, or when the newest block is reached for the first time after being behind."""
        place = self._walk.place
        caught_up = place.log_index == BLOCK_DONE and place.block_number >= self._limit
        first = caught_up and not self._caught_up
        self._caught_up = self._caught_up or caught_up
        if not (first or (self._due and place != self._walk.told)):
            return None
        if self._outstanding.notices >= _UNREAD_NOTICES:
            return None
        self._walk.told = place
        self._told_at = time.monotonic()
        self._outstanding.tell_notice(place)
        return Progress(place, caught_up)

    async def _idle(self) -> None:
        """Until woken, or until Progress may be due, or the certificate ends."""
        now = time.monotonic()
        due = self._told_at + self._sources.progress_s - now
        if due <= 0:
            due = self._sources.progress_s
        seconds = min(due, max(self.caller.expires_at - time.time(), 0.0))
        try:
            async with asyncio.timeout(seconds):
                await self.awake.wait()
        except TimeoutError:
            return
