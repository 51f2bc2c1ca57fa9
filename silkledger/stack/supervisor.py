"""Child processes that live and die together.

Guarantees: children are stopped in the reverse order of their waves, SIGTERM first, SIGKILL after the
deadline; a child that dies by itself is named; on Linux no child outlives its parent,
however the parent dies. Does not restart anything: a stack that lost a part stops and says so.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from silkledger.runtime.orphans import ending_with_parent

STOP_SECONDS: Final = 15.0
"""How long a child may take to finish after SIGTERM before it is killed."""

READY_SECONDS: Final = 60.0
"""How long a child may take to become ready."""


class ChildDied(RuntimeError):
    """A child ended though nobody asked it to. `name` says which."""

    def __init__(self, name: str, status: int, log: Path | None) -> None:
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        last = _last_lines(log)
        super().__init__(f"{name} died ({how})" + (f"; its log ends:\n{last}" if last else ""))
        self.name = name
        self.status = status


class ChildNotReady(RuntimeError):
    """A child did not become ready in time."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to run. `ready` returns when it serves; None means as soon as it runs."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    ready: Callable[[], Awaitable[None]] | None = None
    cwd: Path | None = None
    wave: int = 0
    """Later waves are stopped first; children of one wave are stopped at once."""


def _last_lines(log: Path | None, count: int = 12) -> str:
    if log is None or not log.exists():
        return ""
    lines = log.read_bytes()[-8192:].decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-count:])


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: asyncio.subprocess.Process


class Supervisor:
    """Starts children, watches them, stops them. Use from one event loop, in the main thread."""

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self._failure: asyncio.Future[ChildDied] = asyncio.get_running_loop().create_future()
        self._watchers: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def pids(self) -> dict[str, int]:
        return {child.spec.name: child.process.pid for child in self._children}

    async def start(self, spec: ChildSpec, ready_seconds: float = READY_SECONDS) -> None:
        """Returns when the child is ready. Raises: `ChildDied`, `ChildNotReady`."""
        process = await self._spawn(spec)
        child = _Child(spec, process)
        self._children.append(child)
        watcher = asyncio.create_task(self._watch(child))
        self._watchers.add(watcher)
        if spec.ready is None:
            return
        ready = asyncio.ensure_future(spec.ready())
        try:
            done, _ = await asyncio.wait(
                {ready, watcher}, timeout=ready_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if not ready.done():
                ready.cancel()
        if watcher in done:
            raise ChildDied(spec.name, process.returncode or 0, spec.log)
        if ready not in done:
            raise ChildNotReady(f"{spec.name} was not ready within {ready_seconds:.0f} s")
        ready.result()

    async def failure(self) -> ChildDied:
        """Waits for the first child that dies by itself."""
        return await asyncio.shield(self._failure)

    async def stop_all(self, stop_seconds: float = STOP_SECONDS) -> list[str]:
        """Stops every child, wave after wave, the last one first. Returns those that had to be killed."""
        self._stopping = True
        killed: list[str] = []
        for wave in sorted({child.spec.wave for child in self._children}, reverse=True):
            children = [child for child in self._children if child.spec.wave == wave]
            stopped = await asyncio.gather(*(_stop(child.process, stop_seconds) for child in children))
            killed += [child.spec.name for child, ok in zip(children, stopped, strict=True) if not ok]
        await asyncio.gather(*self._watchers)
        self._children.clear()
        return killed

    async def _spawn(self, spec: ChildSpec) -> asyncio.subprocess.Process:
        log = None
        if spec.log is not None:
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *spec.argv,
                env={**os.environ, **spec.env},
                cwd=spec.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log if log is not None else asyncio.subprocess.DEVNULL,
                stderr=log if log is not None else asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us: we stop the children in order
                preexec_fn=ending_with_parent(),
            )
        finally:
            if log is not None:
                os.close(log)

    async def _watch(self, child: _Child) -> None:
        status = await child.process.wait()
        if not self._stopping and not self._failure.done():
            self._failure.set_result(ChildDied(child.spec.name, status, child.spec.log))


async def _stop(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """True when the process ended by itself after SIGTERM."""
    if process.returncode is not None:
        return True
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return True
