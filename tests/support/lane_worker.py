"""A process with a lane and a follower, that stops itself (SIGSTOP) where it is told to.

`python -m tests.support.lane_worker` reads its order as one JSON line from stdin and tells events as JSON
lines on stdout: `owner` when it has the lane, `standby` when another has it, `failed` with the error of a
round, `stopping` just before it stops itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from silkledger.evm.follower import Follower
from silkledger.evm.lane import Lane
from silkledger.evm.lane_types import Intent, LaneLimits
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import NodeError
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import METADATA
from silkledger.keys.account import Account
from silkledger.runtime import db
from silkledger.runtime.lease import LeaseLost
from silkledger.runtime.sessions import StoppedSessions
from silkledger.values import TxHash
from tests.support.anvil import FAST, bare_network
from tests.support.chain_service import note

ROOT = Path(__file__).resolve().parents[2]
IDLE_IN_TRANSACTION_MS = 1000
"""As in production, below the lease of these workers."""


class LaneProcess:
    """The process, seen from a test."""

    def __init__(self, url: str, node_url: str, account: Account, **order: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.lane_worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        key = account.export_secret().hex()
        self._tell({"url": url, "node": node_url, "key": key} | order)

    def _tell(self, order: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def enqueue(self, first: int, count: int) -> None:
        self._tell({"enqueue": [first, count]})

    def wait_for(self, name: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """Read events until one is called `name`. Blocks: call it in a thread."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        for line in self._process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == name:
                return told
            if time.monotonic() > deadline:
                break
        raise AssertionError(f"no event {name!r} from the worker; stderr: {self.stop()}")

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait_stopped(self) -> None:
        """Until the kernel says that the process is stopped."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def ended(self) -> tuple[int, str]:
        """Wait for the process to end by itself: exit code and stderr."""
        _, errors = self._process.communicate(timeout=20)
        return self._process.returncode, errors

    def stop(self) -> str:
        """Kill it, stopped or not; what it wrote to stderr."""
        self._process.kill()
        return self._process.communicate()[1]


def _tell(name: str, **more: object) -> None:
    print(json.dumps({"event": name} | more), flush=True)  # noqa: T201


class _StopOnce:
    """Stops this process at one place, once, if that is the place that was ordered."""

    def __init__(self, place: str | None) -> None:
        self._place = place

    def __call__(self, place: str) -> None:
        if place == self._place:
            self._place = None
            _tell("stopping")
            os.kill(os.getpid(), signal.SIGSTOP)


class _Signer(LocalSigner):
    """Between reading the queue and storing: the lease was taken, nothing is written yet."""

    def __init__(self, account: Account, stop: _StopOnce) -> None:
        super().__init__(account)
        self._stop = stop

    async def sign(self, preimage: bytes) -> bytes:
        self._stop("signing")
        return await super().sign(preimage)


class _Node(JsonRpcNode):
    """Between storing and sending."""

    stop: _StopOnce

    async def send_raw(self, raw: bytes) -> TxHash:
        self.stop("sending")
        return await super().send_raw(raw)


def _stop_inside_transactions(engine: AsyncEngine, stop: _StopOnce) -> None:
    """After the signed bytes were inserted and before the commit, with the lane's row locked."""

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def _executed(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO attempt"):
            stop("storing")


async def _orders() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _enqueue(orders: asyncio.StreamReader, database: db.Database, lane: Lane) -> None:
    while line := await orders.readline():
        first, count = json.loads(line)["enqueue"]
        async with database.write() as conn:
            for i in range(first, first + count):
                await lane.enqueue(conn, Intent("note", str(i), f"note {i}".encode()))
        lane.wake()


async def _rounds(lane: Lane) -> None:
    said = None
    while True:
        try:
            await lane.step()
        except (NodeError, DBAPIError, LeaseLost) as error:
            _tell("failed", error=type(error).__name__)
        if lane.standby is not said:
            _tell("standby" if lane.standby else "owner")
            said = lane.standby
        await asyncio.sleep(0.02)


async def _create_tables(url: str) -> None:
    database = await db.Database.open(url)
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    await database.close()


async def _main() -> None:
    orders = await _orders()
    order = json.loads(await orders.readline())
    await _create_tables(order["url"])
    db.IDLE_IN_TRANSACTION_MS = IDLE_IN_TRANSACTION_MS  # type: ignore[misc]
    database = await db.Database.open(order["url"])
    stop = _StopOnce(order.get("stop_at"))
    _stop_inside_transactions(database._writer, stop)
    node = _Node(order["node"], FAST)
    node.stop = stop
    network = await bare_network(node)
    signer = _Signer(Account.from_secret(bytes.fromhex(order["key"])), stop)
    limits = LaneLimits(lease_s=order["lease_s"])
    lane = Lane(database, node, FAST, network, signer, {"note": note}, limits=limits)
    follower = Follower(database, node, FAST, network)
    never = asyncio.Event()
    await asyncio.gather(
        follower.run(never),
        StoppedSessions(database).run(never),
        _rounds(lane),
        _enqueue(orders, database, lane),
    )


if __name__ == "__main__":
    asyncio.run(_main())
