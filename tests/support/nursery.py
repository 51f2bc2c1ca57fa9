"""Services that start quickly: a process that has imported everything forks one for each order.

What is forked runs `python -m services.ledger` from its first line, in a process of its own with an
environment of its own; only the two seconds of importing are saved. Nothing here has a thread, a loop or a
connection, so nothing of the kind is inherited. One service at a time: the next order is taken when the last
service is dead.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from silkledger.runtime.orphans import end_with

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass
class Nursery:
    """Seen from a test."""

    process: asyncio.subprocess.Process

    @classmethod
    async def open(cls, service: str) -> Nursery:
        """Ready when everything is imported."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.support.nursery", service),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        nursery = cls(process)
        assert await nursery._told() == "imported"
        return nursery

    async def start(self, environment: Mapping[str, str], log: Path) -> int:
        """Fork a service; its process id."""
        assert self.process.stdin is not None
        order = json.dumps({"environment": dict(environment), "log": str(log)})
        self.process.stdin.write(order.encode() + b"\n")
        pid = await self._told()
        assert isinstance(pid, int)
        return pid

    async def ended(self) -> int:
        """Wait for the service to end: its exit code, negative for a signal."""
        code = await self._told()
        assert isinstance(code, int)
        return code

    async def close(self) -> None:
        """The kernel kills a service that still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def _told(self) -> Any:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, "the nursery died"
        return json.loads(line)


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _become(service: str, order: Mapping[str, Any], nursery: int) -> None:
    """Never returns: this process is the service from here on."""
    end_with(nursery)
    with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [service]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


def main(service: str) -> None:
    """Orders from stdin, one JSON line each."""
    end_with(os.getppid())
    importlib.import_module(f"{service}.__main__")
    del sys.modules[f"{service}.__main__"]  # it is run, with everything that it imports at hand
    _tell("imported")
    for line in sys.stdin:
        order = json.loads(line)
        nursery, pid = os.getpid(), os.fork()
        if pid == 0:
            _become(service, order, nursery)
            os._exit(0)
        _tell(pid)
        _, status = os.waitpid(pid, 0)
        _tell(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1])
