"""Two thousand consumers on one service: a tenth of them slow, some cut off, some killed with their process.

Held here (issue: event stream): no event is lost, delivery after a cut goes on with the first event that was
not acknowledged, slow consumers hold up nobody, and the service's memory grows by a bounded amount for each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import psutil

from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from tests.support import event_crowd
from tests.support.anvil import FAST, eventually
from tests.support.event_crowd import CUT, DOOMED, HEIR, SLOW, Crowd, Member
from tests.support.event_streams import Consumer, positions_of
from tests.support.grpc_clients import channel
from tests.support.pki import Identity

from .conftest import BILL, ROOT, TH, Ledger, accreditation, opened

PATIENCE_S = 180.0
TRANSACTIONS = 150
EVENTS = 2 * TRANSACTIONS
"""Each accreditation emits two."""
LONGEST_LINE = 1 << 28
"""Of what a process tells: every consumer's events."""
PROCESSES = 2
CHANNELS = 4
"""Connections of one process, each of an organisation of its own."""
KIB_PER_CONSUMER = 160
"""What the service's resident memory may grow by for each consumer, everything included."""


@dataclass
class Line:
    """The test's end of one crowd's process."""

    process: asyncio.subprocess.Process

    async def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        await self.process.stdin.drain()

    async def hear(self, expected: str) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        assert line, f"the process ended before it said {expected}"
        what, data = json.loads(line)
        assert what == expected
        return data


@asynccontextmanager
async def running(crowd: Crowd) -> AsyncIterator[Line]:
    """A process with these consumers; killed at the end, whatever became of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.event_crowd",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    line = Line(process)
    try:
        await line.say(crowd.to_line())
        yield line
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def pem(identity: Identity) -> dict[str, str]:
    return {
        "certificate": identity.certificate.decode(),
        "key": identity.key.decode(),
        "ca": identity.ca.decode(),
    }


async def _traffic(ledger: Ledger, count: int) -> None:
    """So many accreditations, spread over blocks as they come; returns when all are in blocks."""
    node = JsonRpcNode(ledger.founded.url, FAST)
    authority, registry = ledger.founded.authorities["TH"], ledger.founded.network.address("TrustRegistry")
    nonce, chain_id = await node.nonce(authority.address), await node.chain_id()
    sent = []
    for index in range(count):
        data = accreditation(Account.generate(), TH, BILL)
        transaction = Transaction(chain_id, nonce + index, 0, 2_000_000, registry, data)
        signed = await sign_transaction(LocalSigner(authority), transaction)
        sent.append(await node.send_raw(signed.raw))
        await asyncio.sleep(0.03)

    async def all_in_blocks() -> bool:
        return await node.transaction_receipt(sent[-1]) is not None

    await eventually(all_in_blocks, "the last transaction is in a block", PATIENCE_S)
    await node.close()


class Memory:
    """Resident memory of a process, KiB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._first = self._most = self._now()

    @property
    def grown(self) -> int:
        """At most, at any of the looks."""
        return self._most - self._first

    async def watch(self) -> None:
        while True:
            self._most = max(self._most, self._now())
            await asyncio.sleep(0.1)

    def _now(self) -> int:
        return int(self._process.memory_info().rss) // 1024


@asynccontextmanager
async def watched(pid: int) -> AsyncIterator[Memory]:
    memory = Memory(pid)
    watching = asyncio.create_task(memory.watch())
    try:
        yield memory
    finally:
        watching.cancel()


class Scene:
    """A service, and where every consumer before it begins."""

    def __init__(self, ledger: Ledger, start: pb.Cursor) -> None:
        self.ledger = ledger
        self.first_block = start.block_number + 1
        self._start = (start.block_number, start.log_index, start.block_hash.hex())

    def channels(self) -> list[dict[str, str]]:
        """Certificates of as many organisations as a process has connections."""
        identities = [self.ledger.identity(Account.generate(), "auditor") for _ in range(CHANNELS)]
        return [pem(identity) for identity in identities]

    def crowd(self, members: Sequence[Member], channels: list[dict[str, str]] | None = None) -> Crowd:
        """These consumers, in one process."""
        return Crowd(
            self.ledger.address,
            channels or self.channels(),
            list(members),
            self._start,
            "TrustRegistry",
            EVENTS,
        )


def members_of(process: int, count: int) -> list[Member]:
    """Of twenty consumers two are slow, and one is cut off."""
    kinds = [SLOW, SLOW, CUT] + [event_crowd.FAST] * 17
    return [
        Member(f"c{process}-{index}", kinds[index % len(kinds)], index % CHANNELS) for index in range(count)
    ]


async def _newest_place(ledger: Ledger) -> pb.Cursor:
    stranger = Account.generate()
    async with channel(ledger.address, ledger.identity(stranger, "auditor")) as connection:
        stub = rpc.LedgerServiceStub(connection)
        consumer = await Consumer(stub, organisations=[str(ledger.did(stranger))]).begin()
        progress = await consumer.caught_up()
        assert await consumer.finish() is grpc.StatusCode.OK
        return progress.cursor


async def _play(scene: Scene, consumers: int, doomed: int) -> list[dict[str, Any]]:
    """The whole show; what each consumer saw."""
    crowds = [scene.crowd(members_of(process, consumers // PROCESSES)) for process in range(PROCESSES)]
    channels = scene.channels()
    dying = scene.crowd([Member(f"d-{index}", DOOMED, index % CHANNELS) for index in range(doomed)], channels)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(running(crowd)) for crowd in (*crowds, dying)]
        for line in lines:
            await line.hear("attached")
        traffic = asyncio.create_task(_traffic(scene.ledger, TRANSACTIONS))
        held = await lines[-1].hear("holding")
        lines.pop().process.kill()
        heirs = [
            Member(item["name"], HEIR, index % CHANNELS, item["seen"]) for index, item in enumerate(held)
        ]
        lines.append(await stack.enter_async_context(running(scene.crowd(heirs, channels))))
        await lines[-1].hear("attached")
        await traffic
        for line in lines:  # all the others have had everything while the slow ones read nothing
            await line.hear("kept-up")
        told: list[dict[str, Any]] = []
        for line in lines:
            await line.say("release\n")
            told += await line.hear("done")
        return told


async def _show(ledger: Ledger, consumers: int, doomed: int) -> None:
    scene = Scene(ledger, await _newest_place(ledger))
    assert ledger.process is not None
    async with watched(ledger.process.pid) as memory:
        told = await _play(scene, consumers, doomed)
    expected = await positions_of(ledger.founded, "TrustRegistry", scene.first_block)
    assert len(expected) == EVENTS
    assert [item for item in told if item["wrong"]] == []
    assert [item["name"] for item in told if item["seen"] != expected] == []
    kinds = Counter(item["kind"] for item in told)
    assert kinds[HEIR] == doomed
    assert kinds[SLOW] >= consumers // 10
    assert sum(kinds.values()) == consumers // PROCESSES * PROCESSES + doomed
    assert all(item["redelivered"] for item in told if item["kind"] == CUT)
    assert memory.grown <= KIB_PER_CONSUMER * (consumers + doomed)


async def test_a_crowd_of_consumers(ledger: Ledger) -> None:
    """Two thousand on SQLite, three hundred on PostgreSQL: what differs there is where they are kept."""
    ledger.stop()
    ledger.start(UNACKNOWLEDGED_LIMIT="100", PROGRESS_INTERVAL_S="5")
    await opened(ledger)
    consumers, doomed = (285, 15) if ledger.database_url.startswith("postgresql") else (1900, 100)
    try:
        await _show(ledger, consumers, doomed)
    finally:
        ledger.stop()
        ledger.start()


async def test_a_stream_that_nobody_reads_is_broken_off_when_taken_over(ledger: Ledger) -> None:
    """Its handler waits for room on the connection, where no error reaches it."""
    ledger.stop()
    ledger.start(UNACKNOWLEDGED_LIMIT="10000")
    await opened(ledger)
    try:
        async with channel(ledger.address, ledger.identity(Account.generate(), "auditor")) as connection:
            stub = rpc.LedgerServiceStub(connection)
            older = await Consumer(stub, contracts=["TrustRegistry"]).begin()
            newer = await Consumer(stub, older.name).begin()
            await newer.event()
            async with asyncio.timeout(PATIENCE_S):
                assert await older.call.code() is not grpc.StatusCode.OK
            assert await newer.finish() is grpc.StatusCode.OK
    finally:
        ledger.stop()
        ledger.start()
