"""Service processes that a test starts, kills and starts again at the same address."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.nursery import Forked, nursery


def free_port() -> int:
    """A port that was free a moment ago, for a service whose address others keep."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ServiceProcess:
    """`python -m <module>` with its settings; `environment` without the prefix."""

    module: str
    directory: Path
    environment: dict[str, str]
    address: str = ""
    process: Forked | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.environment |= {"LISTEN": self.address, "READY_FILE": str(self.directory / "ready.json")}

    @property
    def log(self) -> str:
        return (self.directory / "service.log").read_text()[-4000:]

    def start(self) -> None:
        """Returns when the process has told that it listens."""
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        names = {f"SILKLEDGER_{name}": value for name, value in self.environment.items()}
        environment = {"PATH": os.environ["PATH"]} | names
        self.process = nursery(self.module).start(environment, self.directory / "service.log")
        deadline = time.monotonic() + 90
        while not ready.exists():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def stop(self) -> None:
        """In order. Nothing when it does not run."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log

    def kill(self) -> None:
        """SIGKILL, as when the power goes."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
