"""A consumer of Subscribe for tests: it says exactly what it sends and reads, and retries nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, Protocol

import grpc

from silkledger.evm.contracts import Network
from silkledger.evm.node import JsonRpcNode
from silkledger.ledger.v1 import ledger_pb2 as pb
from tests.support.anvil import FAST
from tests.support.grpc_clients import Refusal, refusal_of

PATIENCE_S: Final = 30.0
"""How long a test waits for what must come."""

Place = tuple[int, int, bytes]


def place_of(cursor: pb.Cursor) -> Place:
    """A cursor that can be compared and hashed."""
    return cursor.block_number, cursor.log_index, cursor.block_hash


def cursor_of(place: Place) -> pb.Cursor:
    return pb.Cursor(block_number=place[0], log_index=place[1], block_hash=place[2])


def fresh_name(kind: str) -> str:
    """A consumer that nobody had before."""
    return f"{kind}-{uuid.uuid4().hex[:12]}"


class Consumer:
    """One stream. Events are read one by one, whatever batches they come in."""

    def __init__(self, stub: Any, name: str = "", *, start: pb.Cursor | None = None, **wish: Any) -> None:
        self.name = name or fresh_name("consumer")
        self._wish = pb.SubscribeStart(consumer=self.name, **wish)
        if start is not None:
            getattr(self._wish, "from").CopyFrom(start)
        self._events: deque[pb.ChainEvent] = deque()
        self.call = stub.Subscribe()

    async def begin(self) -> Consumer:
        await self.call.write(pb.SubscribeRequest(start=self._wish))
        return self

    async def item(self) -> pb.SubscribeResponse:
        """The next message. Raises: AioRpcError, TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            found = await self.call.read()
        assert isinstance(found, pb.SubscribeResponse), "the stream ended"
        return found

    async def next_of(self, kind: str) -> Any:
        """The next message of this kind; events on the way are kept, progress is passed over.

        Any other notice on the way fails the test.
        """
        while True:
            found = await self.item()
            came = found.WhichOneof("item")
            if came == kind:
                return getattr(found, kind)
            if came == "events":
                self._events.extend(found.events.events)
            else:
                assert came == "progress", f"{came} while waiting for {kind}"

    async def event(self) -> pb.ChainEvent:
        if not self._events:
            self._events.extend((await self.next_of("events")).events)
        return self._events.popleft()

    async def events(self, count: int) -> list[pb.ChainEvent]:
        return [await self.event() for _ in range(count)]

    async def caught_up(self) -> pb.Progress:
        """Read until the stream says that it is at the newest block."""
        while True:
            progress: pb.Progress = await self.next_of("progress")
            if progress.caught_up:
                return progress

    def kept(self) -> Iterable[pb.ChainEvent]:
        """Events that were passed over while something else was waited for."""
        return tuple(self._events)

    async def acknowledge(self, cursor: pb.Cursor) -> None:
        await self.call.write(pb.SubscribeRequest(acknowledge=cursor))

    async def finish(self) -> Any:
        """End our side and read to the end; returns the status code."""
        await self.call.done_writing()
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(await self.call.read(), pb.SubscribeResponse):
                pass
            return await self.call.code()


async def ended(consumer: Consumer) -> Refusal:
    """Read until the stream ends with an error; what it tells."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(await consumer.call.read(), pb.SubscribeResponse):
                pass
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"the stream ended with {await consumer.call.code()}")


class Founded(Protocol):
    """A chain with the contracts of a network."""

    url: str
    network: Network


async def positions_of(founded: Founded, contract: str, first: int) -> list[int]:
    """Positions of a contract's events from block `first` on, in order, by the node's own receipts."""
    node = JsonRpcNode(founded.url, FAST)
    address = founded.network.address(contract)
    last, found = await node.block_number(), list[int]()
    for start in range(first, last + 1, FAST.log_range):
        for block in await node.full_blocks(start, min(start + FAST.log_range - 1, last)):
            logs = [log for receipt in block.receipts for log in receipt.logs]
            number = block.header.number
            found += [number << 32 | index for index, log in enumerate(logs) if log.address == address]
    await node.close()
    return found
