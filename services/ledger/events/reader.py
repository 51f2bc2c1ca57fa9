"""Keeps the window at the follower's head: the only reader of new blocks, however many streams there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from sqlalchemy.exc import DBAPIError

from services.ledger.events.archive import Decoder
from services.ledger.events.window import NotLinked, Rewritten, Window, WindowLimits
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evm.contracts import ContractMismatch
from silkledger.evm.follower import FollowerHalted
from silkledger.projections.chain import archived_blocks, block_at, blocks_at, position
from silkledger.runtime.db import Database
from silkledger.runtime.telemetry import logger
from silkledger.values import BlockRef

_AGAIN_S: Final = 0.5
"""Pause after a database error."""


class Following(Protocol):
    """What is needed of the follower."""

    @property
    def head(self) -> BlockRef: ...

    async def next_block(self, after: BlockRef) -> BlockRef:
        """Wait until the head is not `after` any more. Raises: FollowerHalted."""
        ...


class Reader:
    """Moves the window; calls `changed` after each move, in the same step of the event loop."""

    def __init__(
        self,
        database: Database,
        follower: Following,
        decoder: Decoder,
        genesis: BlockRef,
        limits: WindowLimits,
    ) -> None:
        self._database = database
        self._follower = follower
        self._decoder = decoder
        self._limits = limits
        self.window = Window(genesis, limits)
        self.halted: str | None = None
        """Why the window stays where it is for good: the follower halted, or the archive was altered."""
        self.ready = False
        """Whether the window has been brought to the follower's head, and there is a block."""
        self.changed: Callable[[], None] = lambda: None

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped. A halt is told to the streams and to health; a failing database is asked again."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                seen = self._follower.head
                try:
                    await self.refresh()
                    waiting = asyncio.ensure_future(self._follower.next_block(seen))
                except (EvidenceInvalid, ContractMismatch, NotLinked, Rewritten) as error:
                    self._halt(f"the archive of blocks was altered: {error}")
                    await stopping
                    return
                except DBAPIError as error:
                    logger().warning("event_window_not_read", why=type(error).__name__)
                    waiting = asyncio.ensure_future(asyncio.sleep(_AGAIN_S, seen))
                await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()
                elif isinstance(why := waiting.exception(), FollowerHalted):
                    self._halt(f"the follower has halted: {why}")
                    await stopping
                elif why is not None:
                    raise why
        finally:
            stopping.cancel()

    async def health(self) -> str | None:
        """None when streams can be opened, else a sentence."""
        if self.halted is not None:
            return self.halted
        return None if self.ready else "no block has been read"

    def _halt(self, why: str) -> None:
        logger().error("event_streams_halted", why=why)
        self.halted = why
        self.changed()

    async def refresh(self) -> None:
        """Bring the window to what the follower has committed, in one read of the database.

        Raises:
            DBAPIError.
            EvidenceInvalid, ContractMismatch, NotLinked, Rewritten: what is archived was altered.
        """
        window = self.window
        async with self._database.read() as connection:
            at = await position(connection)
            final = 0 if at.final is None else at.final.number
            head = 0 if at.head is None else at.head.number
            ancestor = window.newest_of(await blocks_at(connection, window.unfinal))
            first = max(ancestor.number + 1, min(head - self._limits.max_blocks, final) + 1)
            base = None if first == ancestor.number + 1 else await block_at(connection, first - 1)
            archived = await archived_blocks(connection, first, head)
        blocks = await self._decoder.decoded(archived)
        before = (window.head, window.final)
        window.undo(ancestor)
        if base is None:
            window.extend(blocks, final)
        else:
            window.jump(base, blocks, final)
        self.ready = self.ready or head > 0
        if (window.head, window.final) != before:
            self.changed()
