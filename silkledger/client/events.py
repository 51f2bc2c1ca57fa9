"""Following the ledger's events: a stream that reconnects, and acknowledges what the program is done with.

    async with EventStream(connection, EventWish("reconciler", event_names=["Anchored"])) as stream:
        async for item in stream:
            await handle(item)
            stream.acknowledge(item)

Guarantees: every event that passes is yielded at least once, in chain order; after a restart of the program
the stream goes on after the last durable acknowledgement. Leaving the block without an exception waits until
every acknowledgement is durable. Not guaranteed: exactly once. Make handling idempotent, by the cursor.

What to do with each kind of item is in docs/events.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import grpc

from silkledger.client.channel import Connection
from silkledger.client.errors import RpcFailed, from_rpc_error
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc

ACKNOWLEDGE_EVERY_S: Final = 0.05
"""Acknowledgements are sent this often at most: only the newest one matters."""

PATIENCE_S: Final = 60.0
"""How long the service may be away before the stream gives up."""

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class EventWish:
    """What to follow; the fields are SubscribeStart's (proto)."""

    consumer: str
    start: pb.Cursor | None = None
    """Where to begin; by default at the consumer's checkpoint, else at genesis."""
    event_names: Sequence[str] = ()
    contracts: Sequence[str] = ()
    organisations: Sequence[str] = ()
    arguments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    final_only: bool = False

    def message(self, start: pb.Cursor | None) -> pb.SubscribeStart:
        made = pb.SubscribeStart(
            consumer=self.consumer,
            event_names=self.event_names,
            contracts=self.contracts,
            organisations=self.organisations,
            arguments=[
                pb.ArgumentFilter(name=name, values=values) for name, values in self.arguments.items()
            ],
            final_only=self.final_only,
            confirm_acknowledgements=True,
        )
        if start is not None:
            getattr(made, "from").CopyFrom(start)
        return made


@dataclass(frozen=True, slots=True)
class Resumed:
    """The connection was lost. What came after `after` comes again, or no longer holds; None: what came after
    the consumer's checkpoint.
    """

    after: pb.Cursor | None


EventItem = pb.ChainEvent | pb.Retracted | pb.Gap | pb.Progress | Resumed


def cursor_of(item: EventItem) -> pb.Cursor | None:
    """What acknowledging the item means."""
    if isinstance(item, pb.Gap):
        place: pb.Cursor = getattr(item, "from")
        return place
    return None if isinstance(item, Resumed) else item.cursor


class EventStream:
    """See the module. One task iterates; `acknowledge` may be called from any."""

    def __init__(self, connection: Connection, wish: EventWish, *, patience: float = PATIENCE_S) -> None:
        self._stub: Any = rpc.LedgerServiceStub(connection.channel)
        self._wish = wish
        self._patience = patience
        self._durable = wish.start
        """Where the next connection begins; None: at the service's checkpoint."""
        self._call: Any = None
        self._told: dict[tuple[int, int], bytes] = {}
        """Places that this connection told and that are not acknowledged: position → block hash."""
        self._last: pb.Cursor | None = None
        """Of the newest item yielded."""
        self._newest: pb.Cursor | None = None
        self._sent: pb.Cursor | None = None
        self._news = asyncio.Event()
        self._closing = False
        self._sender: asyncio.Task[None] | None = None
        self._iterator = self._iterate()

    async def __aenter__(self) -> Self:
        self._sender = asyncio.create_task(self._send_acknowledgements())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._news.set()
        if self._sender is not None:
            await self._sender
        if self._call is None:
            return
        if kind is not None:
            self._call.cancel()
            return
        try:
            await self._finish()
        except grpc.aio.AioRpcError as failed:
            raise from_rpc_error(failed) from None

    def acknowledge(self, item: EventItem) -> None:
        """Everything up to the item is done with. It is sent soon, and durable soon after.

        Void for an item of an earlier connection: it comes again.
        """
        cursor = cursor_of(item)
        if cursor is None:
            return
        position = (cursor.block_number, cursor.log_index)
        if self._told.get(position) != cursor.block_hash:
            return
        for place in [place for place in self._told if place <= position]:
            del self._told[place]
        self._newest = cursor
        self._news.set()

    def __aiter__(self) -> AsyncIterator[EventItem]:
        """Until the program breaks out; a second loop goes on where the first one stopped.

        Raises: RpcFailed, when the service refuses or stays away.
        """
        return self._iterator

    async def _iterate(self) -> AsyncIterator[EventItem]:
        loop = asyncio.get_running_loop()
        wait, give_up = _FIRST_WAIT_S, loop.time() + self._patience
        while True:
            failed = RpcFailed(grpc.StatusCode.UNAVAILABLE, "the service ended the stream")
            try:
                async for item in self._one_connection():
                    yield item
                    wait, give_up = _FIRST_WAIT_S, loop.time() + self._patience
            except grpc.aio.AioRpcError as error:
                failed = from_rpc_error(error)
            pause = max(failed.retry_after_s or 0.0, wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            if not failed.retryable or loop.time() + pause > give_up:
                raise failed
            await asyncio.sleep(pause)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _one_connection(self) -> AsyncIterator[EventItem]:
        """Raises: AioRpcError."""
        again = self._last is not None and self._last != self._durable
        self._told, self._newest, self._sent = {}, None, None
        self._call = self._stub.Subscribe()
        await self._call.write(pb.SubscribeRequest(start=self._wish.message(self._durable)))
        while isinstance(response := await self._call.read(), pb.SubscribeResponse):
            for item in self._items(response):
                if again:
                    again = False
                    yield Resumed(self._durable)
                self._last = cursor_of(item)
                yield item

    def _items(self, response: pb.SubscribeResponse) -> Sequence[EventItem]:
        kind = response.WhichOneof("item")
        if kind == "acknowledged":
            self._durable = response.acknowledged
            return ()
        if kind is None:
            return ()  # a later version's notice
        found: list[EventItem] = (
            list(response.events.events) if kind == "events" else [getattr(response, kind)]
        )
        for item in found:
            cursor = cursor_of(item)
            if cursor is None:
                continue
            place = (cursor.block_number, cursor.log_index)
            if isinstance(item, pb.Retracted):
                self._told = {told: seen for told, seen in self._told.items() if told <= place}
            self._told[place] = cursor.block_hash
        return found

    async def _send_acknowledgements(self) -> None:
        while not self._closing:
            await self._news.wait()
            self._news.clear()
            try:
                await self._send_newest()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                continue  # the connection is over: the reading side sees the same, and makes another
            if not self._closing:
                await asyncio.sleep(ACKNOWLEDGE_EVERY_S)

    async def _send_newest(self) -> None:
        """Not to be cancelled: that would end the call."""
        if self._newest is not None and self._newest != self._sent:
            self._sent = self._newest
            await self._call.write(pb.SubscribeRequest(acknowledge=self._newest))

    async def _finish(self) -> None:
        """End our side: the service answers once every acknowledgement is durable. Raises: AioRpcError."""
        try:
            await self._send_newest()
            await self._call.done_writing()
        except asyncio.InvalidStateError:
            pass  # the call is over; its status tells why
        while isinstance(await self._call.read(), pb.SubscribeResponse):
            pass
