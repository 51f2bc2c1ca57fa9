"""Works on replay operations: one process each, at low priority, gone on with after a crash.

An operation is RUNNING until its outcome is committed. It belongs to the process whose lease stands in its
row; a service that is stopped gives the lease up, one that was killed loses it, and whoever takes it over
starts the replay again in the same directory, where it goes on at the last block that was committed. After
MOST_RUNS runs that ended without an outcome it is FAILED with REPLAY_ABORTED.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from services.ledger.replays import storage
from services.ledger.replays.operations import now_ms
from services.ledger.replays.storage import Outcome, ReplayRow, ReplayState
from silkledger.runtime.db import SQLITE, Database
from silkledger.runtime.telemetry import logger

ROOT: Final = Path(__file__).resolve().parents[3]
"""Where the packages lie."""
LEASE_MS: Final = 15_000
BEAT_S: Final = 1.0
"""How often a lease is renewed, progress told, and a cancellation looked for."""
MOST_RUNS: Final = 10
NICE: Final = 10
"""By how much a replay stands behind the service for the processor."""
_LINE: Final = 1 << 20
"""Longest line that a replay tells."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What every replay of this service is told."""

    job: Mapping[str, Any]
    """See silkledger/audit/__main__.py; `work` and `upto` are added."""
    directory: Path | None
    """Work directories are made here, one per operation. None: nothing is offered."""
    at_once: int


class Lost(Exception):
    """Another process has taken the operation over."""


class Cancelled(Exception):
    """Its caller wants no more of it."""


class Runner:
    """Takes operations that nobody works on. `run` it."""

    def __init__(self, database: Database, settings: ReplaySettings) -> None:
        self._database = database
        self._settings = settings
        self._owner = str(uuid.uuid4())
        self._wake = asyncio.Event()

    @property
    def offered(self) -> bool:
        return self._settings.directory is not None

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; then the replays under way end, and are gone on with after the next start."""
        directory = self._settings.directory
        if directory is None:
            await stop.wait()
            return
        if self._database.dialect == SQLITE:
            async with self._database.write() as connection:
                await storage.release_all(connection)
        working: set[asyncio.Task[None]] = set()
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                while len(working) < self._settings.at_once and (row := await self._take()) is not None:
                    working.add(asyncio.create_task(self._work(row, directory / row.id)))
                await self._pause(stopping, working)
                working = {task for task in working if not _ended(task)}
        finally:
            stopping.cancel()
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    async def _pause(self, stopping: asyncio.Task[Any], working: set[asyncio.Task[None]]) -> None:
        """Until something ends, is asked for, or may have been left by another process."""
        waking = asyncio.create_task(self._wake.wait())
        await asyncio.wait(
            {stopping, waking, *working}, timeout=LEASE_MS / 3000, return_when=asyncio.FIRST_COMPLETED
        )
        waking.cancel()
        self._wake.clear()

    async def _take(self) -> ReplayRow | None:
        try:
            async with self._database.write() as connection:
                row = await storage.free(connection, now_ms())
                if row is None or not await storage.claim(connection, row, self._owner, now_ms() + LEASE_MS):
                    return None
        except DBAPIError as error:
            logger().warning("replays_not_read", error=type(error).__name__)
            return None
        return row

    async def _work(self, row: ReplayRow, work: Path) -> None:
        """One operation to its end, or until it is taken or stopped."""
        try:
            outcome = await self._outcome(row, work)
            async with self._database.write() as connection:
                ended = await storage.end(connection, row.id, self._owner, outcome, now_ms())
        except Lost:
            return
        except DBAPIError as error:  # the lease runs out, and it is gone on with
            logger().warning("replay_interrupted", replay=row.id, error=type(error).__name__)
            return
        except asyncio.CancelledError:
            async with self._database.write() as connection:
                await storage.release(connection, row.id, self._owner)
            raise
        if ended:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
            logger().info("replay_ended", replay=row.id, state=outcome.state.value)

    async def _outcome(self, row: ReplayRow, work: Path) -> Outcome:
        if row.cancelled:
            return _failed("REPLAY_CANCELLED", "cancelled by its caller")
        if row.runs >= MOST_RUNS:
            return _failed("REPLAY_ABORTED", f"{row.runs} runs ended without a result")
        try:
            told = await self._run_process(row, work)
        except Cancelled:
            return _failed("REPLAY_CANCELLED", "cancelled by its caller")
        if "result" in told:
            return await asyncio.to_thread(_succeeded, told["result"], work)
        reason = "REPLAY_NODE_UNAVAILABLE" if told.get("error") == "NodeUnavailable" else "REPLAY_REFUSED"
        if "error" not in told:
            reason = "REPLAY_ABORTED"
        return _failed(reason, f"{told.get('error', 'the process')}: {told.get('detail', 'ended early')}")

    async def _run_process(self, row: ReplayRow, work: Path) -> dict[str, Any]:
        """The last line that the replay told; {} when it told none. Raises: Lost, Cancelled."""
        await asyncio.to_thread(work.mkdir, parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "silkledger.audit",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        progress = _Progress(row.done, row.total)
        reading = asyncio.create_task(self._read(process, row, work, progress))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=BEAT_S)
                await self._beat(row, progress)
            return await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _read(
        self, process: asyncio.subprocess.Process, row: ReplayRow, work: Path, progress: _Progress
    ) -> dict[str, Any]:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        job = {**self._settings.job, "upto": row.upto_block, "work": str(work), "nice": NICE}
        process.stdin.write(json.dumps(job).encode() + b"\n")
        last: dict[str, Any] = {}
        async for line in process.stdout:
            last = json.loads(line)
            if "total" in last:
                progress.done, progress.total = last["done"], last["total"]
                last = {}
        return last

    async def _beat(self, row: ReplayRow, progress: _Progress) -> None:
        async with self._database.write() as connection:
            until = now_ms() + LEASE_MS
            held = await storage.hold(
                connection, row.id, self._owner, until, now_ms(), progress.done, progress.total
            )
            now = await storage.get(connection, row.id)
        if not held:
            raise Lost
        if now is not None and now.cancelled:
            raise Cancelled


@dataclass(slots=True)
class _Progress:
    done: int
    total: int


def _ended(task: asyncio.Task[None]) -> bool:
    """Raises what the task raised: a fault of ours ends the worker, and the service says so."""
    if not task.done():
        return False
    task.result()
    return True


def _failed(reason: str, message: str) -> Outcome:
    return Outcome(ReplayState.FAILED, {"reason": reason, "message": message[:1000]})


def _succeeded(result: Mapping[str, Any], work: Path) -> Outcome:
    return Outcome(
        ReplayState.SUCCEEDED,
        {
            "verdict": result["verdict"],
            "digest": result["digest"],
            "last_block": result["block"],
            "differences": result["differences"],
            "unavailable": result["unavailable"],
            "report": (work / "report.json").read_bytes(),
            "page": (work / "report.html").read_bytes(),
        },
    )
