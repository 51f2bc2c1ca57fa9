"""Many consumers of Subscribe in a process of their own: `python -m tests.support.event_crowd`.

Lines of JSON. In: a `Crowd`, later `release`, upon which the slow ones go on. Out, each as `[what, data]`:
`attached` when every stream is at the head; `holding` with the doomed ones' `Told`; `kept-up` when all but
the slow have had every event; `done` with every consumer's `Told`.

Each consumer checks for itself that its events come in order and that, after it was cut off, delivery begins
with the first event after its last acknowledgement. Whether any is missing the test finds out: the positions
of every consumer's events must be those of the chain's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc

FAST: Final = "fast"
SLOW: Final = "slow"
"""Reads nothing after its first message with events until it is released."""
CUT: Final = "cut"
"""Is cut off between delivery and acknowledgement, then resumes."""
DOOMED: Final = "doomed"
"""Comes as far as one that is cut off, and waits to be killed with its process."""
HEIR: Final = "heir"
"""Resumes a doomed one."""


@dataclass
class Member:
    """One consumer. `seen`: positions of the events that its predecessor acknowledged."""

    name: str
    kind: str
    channel: int
    seen: list[int] = field(default_factory=list)


@dataclass
class Crowd:
    """`channels`: PEM texts of certificate, key and CA. `start`: the cursor at which all but heirs begin.

    Every consumer reads until it has had `events` events of the contract `contract`.
    """

    address: str
    channels: list[dict[str, str]]
    members: list[Member]
    start: tuple[int, int, str]
    contract: str
    events: int

    @classmethod
    def parse(cls, line: str) -> Crowd:
        told = json.loads(line)
        return cls(members=[Member(**item) for item in told.pop("members")], **told)

    def to_line(self) -> str:
        return json.dumps(dataclasses.asdict(self)) + "\n"


@dataclass
class Told:
    """What one consumer saw: its events' positions, each once, and what was wrong."""

    name: str
    kind: str
    seen: list[int]
    redelivered: int
    wrong: list[str]


def position_of(cursor: pb.Cursor) -> int:
    return int(cursor.block_number) << 32 | int(cursor.log_index)


class Consumer:
    """One member at work."""

    def __init__(self, crowd: Crowd, member: Member, stub: Any) -> None:
        self.told = Told(member.name, member.kind, list(member.seen), 0, [])
        self.attached = asyncio.Event()
        self.holding = asyncio.Event()
        """It has events that it has not acknowledged, after one that it has."""
        self.release = asyncio.Event()
        self._crowd = crowd
        self._stub = stub
        self._durable = 0
        self._next: int | None = None

    async def run(self) -> None:
        kind, seen = self.told.kind, self.told.seen
        call = await self._open(resume=kind == HEIR)
        if kind == HEIR:
            self.attached.set()
        if kind in (CUT, DOOMED):
            await self._hold(call)
            if kind == DOOMED:
                self.holding.set()
                await asyncio.Event().wait()
            call.cancel()
            self.keep_acknowledged()
            call = await self._open(resume=True)
        if kind == SLOW:
            while not seen:
                await self._read(call)
            await self.release.wait()
        while len(seen) < self._crowd.events:
            cursor = await self._read(call)
            if cursor is not None:
                await call.write(pb.SubscribeRequest(acknowledge=cursor))
        await call.done_writing()
        while isinstance(await call.read(), pb.SubscribeResponse):
            pass
        if await call.code() is not grpc.StatusCode.OK:
            self.told.wrong.append(f"ended with {await call.code()}")

    async def _open(self, *, resume: bool) -> Any:
        start = pb.SubscribeStart(
            consumer=self.told.name, contracts=[self._crowd.contract], confirm_acknowledgements=True
        )
        if not resume:
            number, log_index, block_hash = self._crowd.start
            place = pb.Cursor(block_number=number, log_index=log_index, block_hash=bytes.fromhex(block_hash))
            getattr(start, "from").CopyFrom(place)
        call = self._stub.Subscribe()
        await call.write(pb.SubscribeRequest(start=start))
        return call

    async def _read(self, call: Any) -> pb.Cursor | None:
        """One message; the cursor of the last event, if it holds events."""
        response = await call.read()
        kind = response.WhichOneof("item")
        if kind == "events":
            for event in response.events.events:
                self._saw(position_of(event.cursor))
            cursor: pb.Cursor = response.events.events[-1].cursor
            return cursor
        if kind == "acknowledged":
            self._durable = position_of(response.acknowledged)
        elif kind == "progress":
            self.attached.set()
        else:
            self.told.wrong.append(f"told {kind}")
        return None

    def _saw(self, position: int) -> None:
        if self.told.seen and position <= self.told.seen[-1]:
            self.told.wrong.append(f"{position:x} came after {self.told.seen[-1]:x}")
        if self._next is not None and position != self._next:
            self.told.wrong.append(f"delivery went on with {position:x}, not {self._next:x}")
        self._next = None
        self.told.seen.append(position)

    async def _hold(self, call: Any) -> None:
        """Acknowledge some events durably, then take others that are not acknowledged."""
        cursor = None
        while cursor is None:
            cursor = await self._read(call)
        await call.write(pb.SubscribeRequest(acknowledge=cursor))
        while self._durable == 0 or self.told.seen[-1] == self._durable:
            await self._read(call)

    def keep_acknowledged(self) -> None:
        """Forget what was delivered after the last acknowledgement: exactly that must come again."""
        seen = self.told.seen
        keep = seen.index(self._durable) + 1
        self._next, self.told.redelivered = seen[keep], len(seen) - keep
        del seen[keep:]


def _say(what: str, data: object) -> None:
    sys.stdout.write(json.dumps([what, data]) + "\n")
    sys.stdout.flush()


def _channel(crowd: Crowd, pem: dict[str, str]) -> grpc.aio.Channel:
    """A connection of its own."""
    credentials = grpc.ssl_channel_credentials(
        pem["ca"].encode(), pem["key"].encode(), pem["certificate"].encode()
    )
    return grpc.aio.secure_channel(
        crowd.address, credentials, options=[("grpc.use_local_subchannel_pool", 1)]
    )


async def _release(consumers: list[Consumer]) -> None:
    await asyncio.to_thread(sys.stdin.readline)
    for consumer in consumers:
        consumer.release.set()


async def main() -> None:
    crowd = Crowd.parse(sys.stdin.readline())
    channels = [_channel(crowd, pem) for pem in crowd.channels]
    stubs = [rpc.LedgerServiceStub(channel) for channel in channels]
    consumers = [Consumer(crowd, member, stubs[member.channel]) for member in crowd.members]
    async with asyncio.TaskGroup() as group:
        tasks = {consumer: group.create_task(consumer.run()) for consumer in consumers}
        for consumer in consumers:
            await consumer.attached.wait()
        _say("attached", len(consumers))
        doomed = [consumer for consumer in consumers if consumer.told.kind == DOOMED]
        for consumer in doomed:
            await consumer.holding.wait()
            consumer.keep_acknowledged()
        if doomed:
            _say("holding", [dataclasses.asdict(consumer.told) for consumer in doomed])
        releasing = group.create_task(_release(consumers))
        await asyncio.wait([task for consumer, task in tasks.items() if consumer.told.kind != SLOW])
        _say("kept-up", sum(consumer.told.kind != SLOW for consumer in consumers))
        await asyncio.wait([*tasks.values(), releasing])
    _say("done", [dataclasses.asdict(consumer.told) for consumer in consumers])
    for channel in channels:
        await channel.close(None)


if __name__ == "__main__":
    asyncio.run(main())
