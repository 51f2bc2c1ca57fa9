"""Subscribe: events in chain order from a cursor; only what is acknowledged moves the consumer's checkpoint.

The stream is read from the follower's archive, block after block. A cursor names a block by hash: if that
block is no longer on the chain, the consumer is told `Gap` and from where delivery goes on. If blocks that
were delivered are undone while the stream runs, it is told `Retracted` with the common ancestor, and
delivery resumes after it. A consumer that does not acknowledge is delivered at most
`unacknowledged_limit` events: then its stream, and only its own, waits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from services.ledger import storage
from services.ledger.errors import FieldRefused
from services.ledger.use_cases import Ledger
from silkledger.evm.contracts import ContractEvent, events_of
from silkledger.evm.engines import EngineProfile
from silkledger.projections.chain import block_at, stored_block
from silkledger.runtime.auth import Caller
from silkledger.values import BlockRef

BLOCK_DONE = 2**32 - 1
"""Log index of a cursor that stands after everything in its block."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to and including this log of this block was seen."""

    block_number: int
    log_index: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a consumer subscribes to."""

    consumer: str
    start: Cursor | None = None
    event_names: frozenset[str] = frozenset()
    final_only: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """One event, with the cursor that acknowledging it sets."""

    cursor: Cursor
    block: BlockRef
    event: ContractEvent


@dataclass(frozen=True, slots=True)
class Retracted:
    """Blocks after `ancestor` were undone."""

    ancestor: BlockRef


@dataclass(frozen=True, slots=True)
class Gap:
    """The cursor asked for is not on this chain; delivery resumes from `start`."""

    start: Cursor
    reason: str


Item = Delivered | Retracted | Gap


@dataclass(slots=True)
class Subscription:
    """One consumer's stream."""

    ledger: Ledger
    profile: EngineProfile
    caller: Caller
    wish: Wish
    _trail: list[BlockRef] = field(default_factory=list)
    """Blocks passed that are not final yet: where a reorg is noticed."""
    _delivered: set[Cursor] = field(default_factory=set)
    _acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    async def items(self) -> AsyncIterator[Item]:
        """Until cancelled."""
        cursor, gap = await self._begin()
        if gap is not None:
            yield gap
        number, after = cursor.block_number, cursor.log_index
        while True:
            ancestor = await self._undone()
            if ancestor is not None:
                number, after = ancestor.number, BLOCK_DONE
                yield Retracted(ancestor)
            limit = self.ledger.follower.final if self.wish.final_only else self.ledger.follower.head
            if after == BLOCK_DONE and number >= limit.number:
                await self.ledger.follower.next_block(self.ledger.follower.head)
                continue
            if after == BLOCK_DONE:
                number, after = number + 1, -1
            block, events = await self._block(number)
            if block is None:  # undone meanwhile
                number, after = number - 1, BLOCK_DONE
                continue
            for event in events:
                if event.log_index > after and self._wanted(event):
                    await self._room()
                    place = Cursor(number, event.log_index, bytes(block.hash))
                    self._delivered.add(place)
                    yield Delivered(place, block, event)
            self._passed(block)
            after = BLOCK_DONE

    async def acknowledge(self, cursor: Cursor) -> None:
        """Move the consumer's checkpoint. Raises: FieldRefused for what this stream did not deliver."""
        if cursor not in self._delivered:
            raise FieldRefused(
                "CURSOR_NOT_DELIVERED", "acknowledge", "this stream did not deliver that event"
            )
        place = (cursor.block_number, cursor.log_index, cursor.block_hash)
        async with self.ledger.database.write() as connection:
            await storage.move_consumer(connection, str(self.caller.did), self.wish.consumer, place)
        self._delivered = {item for item in self._delivered if _place(item) > _place(cursor)}
        self._acknowledged.set()

    async def _begin(self) -> tuple[Cursor, Gap | None]:
        genesis = Cursor(0, BLOCK_DONE, bytes(self.ledger.network.genesis_hash))
        wanted = self.wish.start
        async with self.ledger.database.read() as connection:
            if wanted is None:
                stored = await storage.consumer_cursor(connection, str(self.caller.did), self.wish.consumer)
                wanted = Cursor(*stored) if stored else genesis
            if wanted.block_number == 0:
                return Cursor(0, BLOCK_DONE, genesis.block_hash), None
            block = await block_at(connection, wanted.block_number)
            if block is not None and bytes(block.hash) == wanted.block_hash:
                self._passed(block)
                return wanted, None
            final = self.ledger.follower.final
            resume = await block_at(connection, min(max(wanted.block_number - 1, 0), final.number))
        start = genesis if resume is None else Cursor(resume.number, BLOCK_DONE, bytes(resume.hash))
        return start, Gap(start, "the block of the cursor is not on the chain that this service has")

    async def _block(self, number: int) -> tuple[BlockRef | None, Sequence[ContractEvent]]:
        async with self.ledger.database.read() as connection:
            stored = await stored_block(connection, number, self.profile.header_kind)
        if stored is None:
            return None, ()
        logs = [receipt.logs for receipt in stored.receipts]
        return stored.header.ref, events_of(self.ledger.network, number, stored.tx_hashes, logs)

    async def _undone(self) -> BlockRef | None:
        """The newest passed block that is still on the chain, if a later one is not."""
        lost = False
        async with self.ledger.database.read() as connection:
            while self._trail:
                block = await block_at(connection, self._trail[-1].number)
                if block == self._trail[-1]:
                    break
                self._trail.pop()
                lost = True
        if not lost:
            return None
        final = self.ledger.follower.final
        return self._trail[-1] if self._trail else final

    async def _room(self) -> None:
        """Until fewer events wait for acknowledgement than one stream may hold."""
        while len(self._delivered) >= self.ledger.settings.unacknowledged_limit:
            self._acknowledged.clear()
            await self._acknowledged.wait()

    def _passed(self, block: BlockRef) -> None:
        final = self.ledger.follower.final.number
        self._trail = [item for item in self._trail if item.number >= final - 1]
        self._trail.append(block)

    def _wanted(self, event: ContractEvent) -> bool:
        return not self.wish.event_names or event.name in self.wish.event_names


def _place(cursor: Cursor) -> tuple[int, int]:
    return cursor.block_number, cursor.log_index


def arguments_json(event: ContractEvent) -> str:
    """The event's arguments as JSON: bytes as 0x-hex, integers as decimal strings, keys sorted (RFC 8785)."""
    plain = {name: _plain(value) for name, value in event.args.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)
