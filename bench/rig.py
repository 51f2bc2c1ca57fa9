"""A ledger service as it runs in earnest, for measuring: its own process, mTLS, a real chain, one database.

Everything is on loopback and removed at the end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc

from bench.chain import World, world
from bench.databases import database
from bench.issuer import issuer
from silkledger.keys import Suite, generate, save_key
from silkledger.keys.account import Account
from tests.support.grpc_clients import channel
from tests.support.pki import TestCa

ROOT: Final = Path(__file__).resolve().parents[1]
BLOCK_TIME_S: Final = 1.0
DEADLINE_S: Final = 60.0
"""For anything that has to come up, and for a call."""


class Service:
    """`python -m services.ledger` on a database, ready to accept."""

    def __init__(self, world: World, directory: Path, database_url: str, **change: str) -> None:
        self._directory = directory
        self._ca = TestCa()
        self._ca.server().write(directory / "tls")
        Account.generate().save(directory / "lane.pem")
        save_key(directory / "log.pem", generate(Suite.EDDSA))
        self.world = world
        self.database_url = database_url
        self._environment = self._settings(change)
        self._process: subprocess.Popen[bytes] | None = None

    def _settings(self, change: dict[str, str]) -> dict[str, str]:
        network, tls = self.world.network, self._directory / "tls"
        values = {
            "MODE": "development",
            "DATABASE_URL": self.database_url,
            "NODE_URL": self.world.url,
            "ENGINE": "anvil",
            "CHAIN_ID": str(network.chain_id),
            "GENESIS_HASH": str(network.genesis_hash),
            "DIRECTORY": str(network.directory),
            "TLS_CERT": str(tls / "tls.crt"),
            "TLS_KEY": str(tls / "tls.key"),
            "TLS_CA": str(tls / "ca.crt"),
            "LANE_KEY_FILE": str(self._directory / "lane.pem"),
            "LOG_KEY_FILE": str(self._directory / "log.pem"),
            "ORIGIN": "silkledger.example/bench",
            "READY_FILE": str(self._directory / "ready.json"),
        } | change
        return {"PATH": os.environ["PATH"]} | {f"SILKLEDGER_{name}": text for name, text in values.items()}

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the service is not running")
        return self._process.pid

    def start(self) -> None:
        with (self._directory / "service.log").open("ab") as log:
            command = [sys.executable, "-m", "services.ledger"]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stderr=log)
        deadline = time.monotonic() + DEADLINE_S
        while not (self._directory / "ready.json").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._directory / "service.log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(DEADLINE_S)

    def connect(self) -> grpc.aio.Channel:
        """mTLS as the agency."""
        address = json.loads((self._directory / "ready.json").read_text())["address"]
        return channel(address, self._ca.organisation(self.world.issuer.did, "agency"))

    def _tree(self) -> list[int]:
        """Process ids of the service and of the processes that verify for it."""
        tree = [self.pid]
        for pid in tree:
            for task in Path(f"/proc/{pid}/task").iterdir():
                tree += [int(child) for child in (task / "children").read_text().split()]
        return tree

    def peak_memory_mib(self) -> float:
        """Largest resident sizes so far of the service's processes, added up."""
        peaks = 0
        for pid in self._tree():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            peaks += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return peaks / 1024

    def cpu_s(self) -> float:
        """CPU time so far of the service's processes: unlike wall time, it leaves out who else runs here."""
        ticks = 0
        for pid in self._tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def service(dialect: str, **change: str) -> Iterator[Service]:
    """A service on a new chain and an empty database of the dialect; `change` overrides settings."""
    with (
        tempfile.TemporaryDirectory(prefix="silkledger-bench-") as folder,
        world(Path(folder) / "chain", BLOCK_TIME_S, issuer()) as founded,
        database(dialect, Path(folder)) as url,
    ):
        running = Service(founded, Path(folder), url, **change)
        running.start()
        try:
            yield running
        finally:
            running.stop()
