"""Two ledger processes for one log, on PostgreSQL: both accept and stream, one sequences and anchors.

The one that leads is stopped (SIGSTOP) past its lease: inside the transaction that logs a batch, after it,
and inside the transaction that leaves an anchor. The other goes on within twice the lease; the first, woken,
is fenced; and what comes out is one log.
"""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from sqlalchemy import func, select

from services.ledger import storage
from services.ledger.sequencing.anchoring import ANCHOR
from services.ledger.sequencing.leadership import log_lease
from silkledger.evm.lane_types import State
from silkledger.evm.tables import INTENT
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.log.tree import Tree
from silkledger.projections.anchors import anchor
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from tests.integration.ledger.conftest import Founded, Ledger, id_of, opened, register
from tests.support.anvil import eventually
from tests.support.event_streams import Consumer, ended
from tests.support.grpc_clients import channel

LEASE_S = 4
SETTINGS = {"LOG_LEASE_MS": str(LEASE_S * 1000), "LANE_LEASE_MS": str(LEASE_S * 1000)}
ANSWER_S = 1.0
"""How long a client waits for one replica before it asks the other."""
NO_ANSWER = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
)
"""Of a stopped replica, of one whose sessions were ended while it was stopped, and of the other while the
stopped one still commits the same request: ask again with the same request id.
"""


@dataclass
class Pair:
    """Two replicas, and what they promised."""

    first: Ledger
    second: Ledger
    database: Database
    accepted: list[bytes] = field(default_factory=list)
    """Statements that either said OK to."""
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def stub(self, replica: Ledger) -> rpc.LedgerServiceAsyncStub:
        self.channels.append(channel(replica.address, replica.identity(replica.founded.agency, "agency")))
        return rpc.LedgerServiceStub(self.channels[-1])

    async def register(self, stubs: list[rpc.LedgerServiceAsyncStub], number: int) -> None:
        """One call through one of the two; what one does not answer in time, the other is asked."""
        raws = [self.first.statement(self.first.founded.agency) for _ in range(3)]
        request_id = str(uuid.uuid4())
        for attempt in range(60):
            stub = stubs[(number + attempt) % len(stubs)]
            try:
                await stub.RegisterStatements(register(*raws, request_id=request_id), timeout=ANSWER_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in NO_ANSWER:
                    raise
                await asyncio.sleep(0.1)
                continue
            self.accepted += raws
            return
        raise AssertionError("neither replica answers")

    async def epoch(self) -> int:
        async with self.database.read() as connection:
            return int((await connection.execute(select(log_lease.c.epoch))).scalar_one())

    async def size(self) -> int:
        async with self.database.read() as connection:
            head = await storage.checkpoint_at(connection)
        return 0 if head is None else head.tree_size

    async def anchors(self) -> list[tuple[int, bytes]]:
        """Sizes and roots that are on chain for this log, in order."""
        mine = anchor.c.origin_id == origin_id(self.first.origin)
        query = select(anchor.c.size, anchor.c.root).where(mine).order_by(anchor.c.size)
        async with self.database.read() as connection:
            return [(size, bytes(root)) for size, root in (await connection.execute(query)).all()]

    async def all_anchored(self) -> bool:
        return [size for size, _ in await self.anchors()][-1:] == [len(self.accepted)]

    async def all_final(self) -> bool:
        query = select(INTENT.c.state).distinct()
        async with self.database.read() as connection:
            states = set((await connection.execute(query)).scalars())
        return states <= {State.FINAL.value, State.REFUSED.value}

    async def open_anchors(self) -> int:
        """Anchors that are on their way into a block."""
        query = select(func.count()).select_from(INTENT)
        query = query.where(INTENT.c.kind == ANCHOR, INTENT.c.state.not_in(storage.SETTLED))
        async with self.database.read() as connection:
            return int((await connection.execute(query)).scalar_one())


@pytest.fixture
def replicas(founded: Founded, tmp_path: Path, postgres_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    """Two services with the same keys on the same database; not started."""
    (tmp_path / "first").mkdir()
    first = Ledger(founded, tmp_path / "first", postgres_url, module="tests.support.ledger_replica")
    shutil.copytree(first.directory, tmp_path / "second")
    second = copy.copy(first)
    second.directory = tmp_path / "second"
    yield first, second
    for replica in (first, second):
        if replica.process is not None:
            replica.process.kill()
            replica.process.wait(10)


@pytest.fixture
async def pair(replicas: tuple[Ledger, Ledger], postgres_url: str) -> AsyncIterator[Pair]:
    database = await Database.open(postgres_url)
    made = Pair(*replicas, database)
    yield made
    for item in made.channels:
        await item.close(None)
    await database.close()


async def _both_open(pair: Pair, **change: str) -> None:
    """The first leads; the second stands by, and is well."""
    await asyncio.to_thread(pair.first.start, **SETTINGS, **change)
    await opened(pair.first)
    await asyncio.to_thread(pair.second.start, **SETTINGS)
    await opened(pair.second)
    assert await pair.epoch() == 1


def _stopped(replica: Ledger) -> None:
    """Wait until the kernel says that the process is stopped."""
    assert replica.process is not None
    _, status = os.waitpid(replica.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), replica.log


@pytest.mark.parametrize("place", ["integrate.written:3", "integrate.committed:3", "persist.intent:3"])
async def test_a_leader_stopped_past_its_lease_is_fenced(pair: Pair, place: str) -> None:
    await _both_open(pair, FAILPOINT=place)
    stubs = [pair.stub(pair.first), pair.stub(pair.second)]
    over, most_in_flight = asyncio.Event(), 0

    async def traffic() -> None:
        number = 0
        while not over.is_set():
            await pair.register(stubs, number)
            number += 1

    async def watch() -> None:
        nonlocal most_in_flight
        while not over.is_set():
            most_in_flight = max(most_in_flight, await pair.open_anchors())

    running = asyncio.gather(traffic(), watch())
    await asyncio.to_thread(_stopped, pair.first)
    stopped = time.monotonic()
    size = await pair.size()

    async def goes_on() -> bool:
        return await pair.size() > size

    await eventually(goes_on, "the other sequences", 2 * LEASE_S)
    took = time.monotonic() - stopped
    print(f"{place}: the other went on after {took:.2f} s, lease {LEASE_S} s")  # noqa: T201
    assert took < 2 * LEASE_S
    assert await pair.epoch() == 2

    assert pair.first.process is not None
    os.kill(pair.first.process.pid, signal.SIGCONT)
    await opened(pair.first)
    accepted = len(pair.accepted)

    async def more() -> bool:
        return len(pair.accepted) > accepted + 30

    await eventually(more, "both accept again", 30)
    over.set()
    await running
    assert most_in_flight == 1
    assert await pair.epoch() == 2, "the first stands by"
    await _is_one_log(pair)


async def _is_one_log(pair: Pair) -> None:
    """Every accepted statement has one leaf; checkpoints and anchors are heads of one tree; all ends well."""
    await eventually(pair.all_anchored, "all that was accepted is anchored", 60)
    async with pair.database.read() as connection:
        rows = await storage.logged_entries(connection, 0, 100_000)
        heads = await connection.execute(select(storage.checkpoint.c.tree_size, storage.checkpoint.c.root))
        published = [(size, bytes(root)) for size, root in heads.all()]
    assert Counter(id_of(item.raw) for item in rows) == Counter(id_of(raw) for raw in pair.accepted)
    tree = Tree()
    tree.extend(item.raw for item in rows)
    anchors = await pair.anchors()
    assert [(size, bytes(tree.root(size))) for size, _ in published] == published
    assert [(size, bytes(tree.root(size))) for size, _ in anchors] == anchors
    assert len({size for size, _ in anchors}) == len(anchors), "no head is anchored twice"
    await eventually(pair.all_final, "every intent is final, or had nothing to do any more")
    for replica in (pair.first, pair.second):
        assert replica.process is not None and replica.process.poll() is None, replica.log
        assert "log_halted" not in replica.log


async def test_an_orderly_stop_lets_the_other_begin_at_once(pair: Pair) -> None:
    """With leases far longer than the test waits."""
    change = {"LOG_LEASE_MS": "25000", "LANE_LEASE_MS": "25000"}
    await asyncio.to_thread(pair.first.start, **change)
    await opened(pair.first)
    await asyncio.to_thread(pair.second.start, **change)
    await opened(pair.second)
    stub = pair.stub(pair.second)
    await pair.register([stub], 0)
    await asyncio.to_thread(pair.first.stop)
    stopped = time.monotonic()
    await pair.register([stub], 1)
    await eventually(pair.all_anchored, "all that was accepted is anchored", 10)
    print(f"logged and anchored {time.monotonic() - stopped:.2f} s after the leader's orderly stop")  # noqa: T201
    assert await pair.epoch() == 2

    await asyncio.to_thread(pair.second.stop)
    await asyncio.to_thread(pair.first.start, **change)
    restarted = time.monotonic()
    await opened(pair.first)
    await pair.register([pair.stub(pair.first)], 2)
    await eventually(pair.all_anchored, "all that was accepted is anchored", 10)
    print(f"anchored {time.monotonic() - restarted:.2f} s after a restart")  # noqa: T201
    assert await pair.epoch() == 3


async def test_of_two_streams_of_one_consumer_on_two_replicas_the_newer_goes_on(pair: Pair) -> None:
    await _both_open(pair)
    here, there = pair.stub(pair.first), pair.stub(pair.second)
    older = await Consumer(here, confirm_acknowledgements=True).begin()
    events = await older.events(3)
    await older.acknowledge(events[0].cursor)
    await older.next_of("acknowledged")
    bystander = await Consumer(here).begin()
    first = await bystander.event()

    newer = await Consumer(there, older.name, confirm_acknowledgements=True).begin()
    assert (await newer.event()).cursor == events[1].cursor
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it may have been told already
        await older.acknowledge(events[2].cursor)  # comes too late to count
    told = await ended(older)
    assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "CONSUMER_TAKEN_OVER")
    await newer.acknowledge(events[1].cursor)
    assert await newer.next_of("acknowledged") == events[1].cursor

    silent = await Consumer(here, older.name).begin()  # and back, although nobody acknowledges anything there
    assert (await silent.event()).cursor == events[2].cursor
    assert (await ended(newer)).reason == "CONSUMER_TAKEN_OVER"
    await bystander.acknowledge(first.cursor)
    for going_on in (bystander, silent):
        assert await going_on.finish() is grpc.StatusCode.OK
