"""Blocks of the follower's archive as streams want them: events decoded and encoded once, pages shared.

A stream that is behind the window reads pages of final blocks here. However many streams read: a page is
read once while it is kept, at most `_READERS` reads run at a time, and at most `_KEPT_PAGES` pages and about
`_KEPT_EVENTS` events are kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from services.ledger.events.arguments import accounts_of, texts_of
from services.ledger.events.blocks import EventBlock, SharedEvent
from services.ledger.events.cursor import BLOCK_DONE, Cursor
from silkledger.evidence.header import EngineKind
from silkledger.evm.contracts import ContractEvent, Network, events_of
from silkledger.projections.chain import ArchivedBlock, archived_blocks
from silkledger.runtime.db import Database
from silkledger.values import BlockRef

Encode = Callable[[Cursor, BlockRef, ContractEvent], bytes]
"""An event's bytes on the wire."""

PAGE_BLOCKS: Final = 32
"""Blocks that are read and decoded together."""

_READERS: Final = 4
"""Half of the reading connections: other calls keep theirs."""

_KEPT_PAGES: Final = 64
_KEPT_EVENTS: Final = 8_192

_INLINE_BLOCKS: Final = 2
"""So few are decoded at once; more of them in a thread, so that the loop goes on."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """From archived bytes to events."""

    network: Network
    kind: EngineKind
    encode: Encode

    def blocks(self, archived: Sequence[ArchivedBlock]) -> list[EventBlock]:
        """Raises: EvidenceInvalid, when the archived bytes were altered."""
        return [self._block(item) for item in archived]

    def _block(self, archived: ArchivedBlock) -> EventBlock:
        stored = archived.decode(self.kind)
        header = stored.header
        logs = [receipt.logs for receipt in stored.receipts]
        events = events_of(self.network, header.number, stored.tx_hashes, logs)
        shared = tuple(self._shared(header.ref, event) for event in events)
        return EventBlock(header.ref, header.parent_hash, shared)

    def _shared(self, block: BlockRef, event: ContractEvent) -> SharedEvent:
        cursor = Cursor(block.number, event.log_index, bytes(block.hash))
        return SharedEvent(
            cursor,
            event.contract,
            event.name,
            texts_of(event.args),
            accounts_of(event.args),
            self.encode(cursor, block, event),
        )

    async def decoded(self, archived: Sequence[ArchivedBlock]) -> list[EventBlock]:
        """As `blocks`, without holding up the loop."""
        if len(archived) <= _INLINE_BLOCKS:
            return self.blocks(archived)
        return await asyncio.to_thread(self.blocks, archived)


_Page = asyncio.Task[Sequence[EventBlock]]


class Archive:
    """Pages of final blocks, shared."""

    def __init__(self, database: Database, decoder: Decoder) -> None:
        self._database = database
        self._decoder = decoder
        self._readers = asyncio.Semaphore(_READERS)
        self._pages: OrderedDict[tuple[int, int], _Page] = OrderedDict()
        self._events = 0

    async def following(self, place: Cursor, last: int) -> Sequence[EventBlock]:
        """Some blocks from `place` on, that of `place` included where it is not done; none after `last`.

        `last` MUST be final: what is kept is never looked at again. Empty: the archive lacks that block.
        """
        first = max(place.block_number + (place.log_index == BLOCK_DONE), 1)
        start = max(first - first % PAGE_BLOCKS, 1)
        bounds = (start, min(first - first % PAGE_BLOCKS + PAGE_BLOCKS - 1, last))
        page = self._pages.get(bounds)
        if page is None:
            page = self._pages[bounds] = asyncio.create_task(self._read(*bounds))
            page.add_done_callback(partial(self._keep, bounds))
        self._pages.move_to_end(bounds)
        blocks = await asyncio.shield(page)  # whoever gives up leaves the page to the others
        return blocks[first - start :]

    async def _read(self, first: int, last: int) -> Sequence[EventBlock]:
        async with self._readers:
            async with self._database.read() as connection:
                archived = await archived_blocks(connection, first, last)
            return await self._decoder.decoded(archived)

    def _keep(self, bounds: tuple[int, int], page: _Page) -> None:
        """Keep a page that was read, and drop those that were not used for longest."""
        if page.cancelled() or page.exception() is not None:
            del self._pages[bounds]
            return
        self._events += _events_in(page)
        for old, other in list(self._pages.items()):
            if len(self._pages) <= _KEPT_PAGES and self._events <= _KEPT_EVENTS:
                return
            if other.done() and other is not page:
                self._events -= _events_in(other)
                del self._pages[old]


def _events_in(page: _Page) -> int:
    return sum(len(block.events) for block in page.result())
