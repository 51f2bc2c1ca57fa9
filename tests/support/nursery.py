"""Services that start quickly: a process that has imported everything forks one for each order.

What is forked runs `python -m services.ledger` from its first line, in a process of its own with an
environment of its own; only the two seconds of importing are saved. Nothing here has a thread, a loop or a
connection, so nothing of the kind is inherited. Cold starts are tested where a stack is started as users
start it (tests/e2e), and where a start is refused.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import runpy
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from silkledger.runtime.orphans import end_with

ROOT: Final = Path(__file__).resolve().parents[2]
ENDED_S: Final = 10.0


@dataclass
class Forked:
    """A forked process, seen from a test: what subprocess.Popen has of one."""

    pid: int
    exit: Future[int] = field(default_factory=Future)
    """Its exit code, negative for a signal."""

    @property
    def returncode(self) -> int | None:
        return self.exit.result() if self.exit.done() else None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises: TimeoutError."""
        return self.exit.result(timeout)

    def send_signal(self, number: int) -> None:
        if not self.exit.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class NurseryDied(RuntimeError):
    """The process that services are forked from has ended, and they with it."""


class Nursery:
    """Seen from a test. It ends, and every service of it, with the test process."""

    def __init__(self, module: str) -> None:
        """Returns when everything is imported."""
        self._born: queue.SimpleQueue[Forked | NurseryDied | None] = queue.SimpleQueue()
        self._order = threading.Lock()
        self._process: subprocess.Popen[bytes]
        # The process dies with the *thread* that starts it, so that must be one that stays.
        threading.Thread(target=self._run, args=(module,), name=f"nursery {module}", daemon=True).start()
        if (died := self._born.get()) is not None:
            raise NurseryDied(str(died))

    def start(self, environment: Mapping[str, str], log: Path) -> Forked:
        """Fork a service; what it writes goes to the end of `log`."""
        order = json.dumps({"environment": dict(environment), "log": str(log)})
        with self._order:
            assert self._process.stdin is not None
            self._process.stdin.write(order.encode() + b"\n")
            self._process.stdin.flush()
            service = self._born.get(timeout=ENDED_S)
        if isinstance(service, NurseryDied):
            raise service
        assert service is not None
        return service

    def _run(self, module: str) -> None:
        command = [sys.executable, "-m", "tests.support.nursery", module]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        services: dict[int, Forked] = {}
        for line in self._process.stdout:
            what, *told = json.loads(line)
            if what == "imported":
                self._born.put(None)
            elif what == "born":
                services[told[0]] = service = Forked(told[0])
                service.exit.set_running_or_notify_cancel()  # whoever gives up waiting does not undo the end
                self._born.put(service)
            else:
                services.pop(told[0]).exit.set_result(told[1])
        died = NurseryDied(f"the nursery of {module} died")
        for service in services.values():
            service.exit.set_exception(died)
        self._born.put(died)


_nurseries: Final[dict[str, Nursery]] = {}
_making: Final = threading.Lock()


def nursery(module: str) -> Nursery:
    """The one of this test process for `python -m module`."""
    with _making:
        if module not in _nurseries:
            _nurseries[module] = Nursery(module)
        return _nurseries[module]


def _tell(*what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _become(module: str, order: Mapping[str, Any], parent: int) -> None:
    """This process is the service from here on."""
    end_with(parent)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with Path(order["log"]).open("ab") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _ended() -> Iterator[tuple[int, int]]:
    """Children that have ended since the last call, with their exit codes."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def main(module: str) -> None:
    """Orders from stdin, one JSON line each."""
    end_with(os.getppid())
    importlib.import_module(f"{module}.__main__")
    del sys.modules[f"{module}.__main__"]  # it is run, with everything that it imports at hand
    news, wakeup = os.pipe()
    os.set_blocking(news, False)
    os.set_blocking(wakeup, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup)
    _tell("imported")
    orders, parent = b"", os.getpid()
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(news, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if news in ready:
                os.read(news, 4096)
                for pid, code in _ended():
                    _tell("ended", pid, code)
            if 0 in ready:
                chunk = os.read(0, 65_536)
                if not chunk:
                    return
                *whole, orders = (orders + chunk).split(b"\n")
                for line in whole:
                    pid = os.fork()
                    if pid == 0:
                        selector.close()
                        os.close(news)
                        os.close(wakeup)
                        _become(module, json.loads(line), parent)
                        os._exit(0)
                    _tell("born", pid)


if __name__ == "__main__":
    main(sys.argv[1])
