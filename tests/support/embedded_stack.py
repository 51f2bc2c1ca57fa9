"""A real `silkledger up` in a process of its own, for tests that stop, kill and restart it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 120.0
STOP_SECONDS = 60.0

PARTS = {
    "anvil": lambda line: "anvil" in Path(line[0]).name,
    "ledger": lambda line: "services.ledger" in line,
    "identity": lambda line: "services.identity" in line,
    "settlement": lambda line: "services.settlement" in line,
}
"""How each part of the stack is known by its command line."""


async def until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Returns when the condition holds. Raises: AssertionError that says what did not come."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while not condition():
        assert loop.time() < give_up, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.05)


class RunningStack:
    """`silkledger up --data DIR`. `start` returns when the stack says that it is up."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    @property
    def log(self) -> Path:
        return self.data.parent / f"{self.data.name}-up-{self._starts}.log"

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    async def start(self) -> None:
        self._starts += 1
        with self.log.open("wb") as file:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "silkledger.cli", "up", "--data", str(self.data)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=ROOT,
                start_new_session=True,
            )
        waiting = asyncio.ensure_future(self.process.wait())
        await until(lambda: waiting.done() or "Silkledger is up" in self.said(), "the stack", READY_SECONDS)
        assert not waiting.done(), self.said()[-4000:]
        waiting.cancel()

    def pids_of(self, part: str) -> list[int]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        found = []
        for child in children:
            line = child.cmdline()
            if line and PARTS[part](line):
                found.append(child.pid)
        return sorted(found)

    async def kill(self, part: str) -> None:
        """SIGKILL one part (`up` is the supervisor itself) and wait until all of the stack is gone."""
        everything = psutil.Process(self.process.pid).children(recursive=True)
        victim = self.process.pid if part == "up" else self.pids_of(part)[0]
        os.kill(victim, signal.SIGKILL)
        await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        await until(
            lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in everything),
            "every child gone",
            STOP_SECONDS,
        )

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
