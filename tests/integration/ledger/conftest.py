"""A real ledger service process on a real chain, once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.deploy import deploy
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys import Suite, generate, save_key
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.runtime.db import parse_url
from silkledger.statement import sign_statement
from silkledger.values import CountryCode, Did, Digest, DocumentType, StatementId
from tests.support.anvil import FAST
from tests.support.grpc_clients import Refusal, channel, refusal_of
from tests.support.node_proxy import NodeProxy
from tests.support.nursery import Forked, nursery
from tests.support.pki import Identity, TestCa
from tests.support.postgres import *  # noqa: F403

ROOT = Path(__file__).resolve().parents[3]
TH, CN, LA = CountryCode("TH"), CountryCode("CN"), CountryCode("LA")
BILL, INVOICE = DocumentType("705"), DocumentType("380")
FAR = 4_000_000_000
"""A deadline, Unix seconds, that no test reaches."""
UNACKNOWLEDGED_LIMIT = 5
"""Events of one stream that wait for acknowledgement: small, so that a test reaches it."""


@dataclass
class Founded:
    """A chain with contracts, three countries, and an agency that TH accredited for bills of lading."""

    url: str
    network: Network
    authorities: dict[str, Account]
    agency: Account
    lane: Account


async def send(node: JsonRpcNode, account: Account, to: Any, data: bytes) -> int:
    """Send a transaction of the account's own, wait for its block."""
    nonce = await node.nonce(account.address)
    transaction = Transaction(await node.chain_id(), nonce, 0, 2_000_000, to, data)
    signed = await sign_transaction(LocalSigner(account), transaction)
    tx_hash = await node.send_raw(signed.raw)
    deadline = time.monotonic() + 20
    while (receipt := await node.transaction_receipt(tx_hash)) is None:
        assert time.monotonic() < deadline, "the transaction is in no block"
        await asyncio.sleep(0.02)
    assert receipt.receipt.status
    return receipt.block_number


def accreditation(issuer: Account, country: CountryCode, document_type: DocumentType) -> bytes:
    arguments = (
        issuer.address,
        country.encode(),
        document_type.to_bytes8(),
        2,
        0,
        0,
        bytes(32),
        False,
    )
    return encode_call("TrustRegistry", "accredit", arguments)


async def found(url: str) -> Founded:
    node = JsonRpcNode(url, FAST)
    governance = Account.generate()
    network = await deploy(node, Account.generate(), governance.address, FAST)
    registry = network.address("TrustRegistry")
    authorities = {country: Account.generate() for country in (TH, CN, LA)}
    for country, authority in authorities.items():
        data = encode_call("TrustRegistry", "registerCountry", (country.encode(), authority.address))
        await send(node, governance, registry, data)
    agency = Account.generate()
    await send(node, authorities[TH], registry, accreditation(agency, TH, BILL))
    recognise = encode_call(
        "TrustRegistry", "recognise", (CN.encode(), TH.encode(), BILL.to_bytes8(), 1, 0, 0)
    )
    await send(node, authorities[CN], registry, recognise)
    await node.close()
    return Founded(url, network, {str(c): a for c, a in authorities.items()}, agency, Account.generate())


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Founded]:
    embedded = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=0.1)
    embedded.start()
    try:
        yield asyncio.run(found(embedded.url))
    finally:
        embedded.stop()


@pytest.fixture
async def proxy(founded: Founded) -> AsyncIterator[NodeProxy]:
    """Between a service and the node, to misbehave."""
    made = NodeProxy(founded.url)
    await made.start()
    yield made
    await made.stop()


@dataclass
class Ledger:
    """The service's process; may be killed and started again on the same database."""

    founded: Founded
    directory: Path
    database_url: str
    ca: TestCa = field(default_factory=TestCa)
    origin: str = field(default_factory=lambda: f"silkledger.example/{uuid.uuid4().hex[:8]}")
    module: str = "services.ledger"
    process: subprocess.Popen[bytes] | Forked | None = None
    address: str = ""

    def __post_init__(self) -> None:
        self.ca.server().write(self.directory / "tls")
        Account.generate().save(self.directory / "lane.pem")
        self.log_key = generate(Suite.EDDSA)
        save_key(self.directory / "log.pem", self.log_key)

    @property
    def log(self) -> str:
        return (self.directory / "service.log").read_text()

    def environment(self, **change: str) -> dict[str, str]:
        network = self.founded.network
        values = {
            "MODE": "development",
            "DATABASE_URL": self.database_url,
            "NODE_URL": self.founded.url,
            "ENGINE": "anvil",
            "CHAIN_ID": str(network.chain_id),
            "GENESIS_HASH": str(network.genesis_hash),
            "DIRECTORY": str(network.directory),
            "TLS_CERT": str(self.directory / "tls" / "tls.crt"),
            "TLS_KEY": str(self.directory / "tls" / "tls.key"),
            "TLS_CA": str(self.directory / "tls" / "ca.crt"),
            "LANE_KEY_FILE": str(self.directory / "lane.pem"),
            "LOG_KEY_FILE": str(self.directory / "log.pem"),
            # Both ways of checking signatures are run: in the service itself, and in a process of its own.
            "VERIFY_PROCESSES": "1" if self.database_url.startswith("postgresql") else "0",
            "ORIGIN": self.origin,
            "READY_FILE": str(self.directory / "ready.json"),
            "ANCHOR_INTERVAL_MS": "200",
            # A killed service's successor waits for them.
            "LOG_LEASE_MS": "2000",
            "LANE_LEASE_MS": "2000",
            "UNACKNOWLEDGED_LIMIT": str(UNACKNOWLEDGED_LIMIT),
            "PROGRESS_INTERVAL_S": "1",
        } | change
        return {"PATH": os.environ["PATH"]} | {f"SILKLEDGER_{name}": text for name, text in values.items()}

    def start(self, **change: str) -> None:
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        environment, log = self.environment(**change), self.directory / "service.log"
        if self.module == "services.ledger":
            self.process = nursery(self.module).start(environment, log)
        else:
            with log.open("ab") as file:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", self.module], cwd=ROOT, env=environment, stderr=file
                )
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        self.address = json.loads(ready.read_text())["address"]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def did(self, account: Account) -> Did:
        return Did.of(self.founded.network.chain_id, account.address)

    def identity(self, account: Account, *roles: str) -> Identity:
        return self.ca.organisation(self.did(account), *roles)

    async def rows(self) -> dict[str, int]:
        """Rows of every table that a registering or relaying call may write."""
        engine = create_async_engine(parse_url(self.database_url))
        counts = {}
        async with engine.connect() as connection:
            for table in ("accepted", "idempotency", "audit", "relayed_call"):
                counts[table] = int(
                    (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
                )
            entries = await connection.execute(text("SELECT coalesce(sum(width), 0) FROM entry_pack"))
            counts["entries"] = int(entries.scalar_one())
        await engine.dispose()
        return counts

    def statement(self, account: Account, *, signer: Account | None = None, **change: Any) -> bytes:
        """A statement of the account's organisation about a fresh document."""
        did = self.did(account)
        fields: dict[str, Any] = {
            "issuer": did,
            "kid": f"{did}#controller",
            "subject": "urn:sample:bl:1",
            "document_type": BILL,
            "digest": Digest(hashlib.sha256(secrets.token_bytes(16)).digest()),
            "content_type": "application/json",
            "issued_at": int(time.time()),
            "salt": secrets.token_bytes(16),
        } | change
        return sign_statement((signer or account).key, **fields)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ledger(
    request: pytest.FixtureRequest, founded: Founded, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    """`python -m services.ledger`, ready."""
    directory = tmp_path_factory.mktemp("ledger")
    url = f"sqlite:///{directory}/ledger.sqlite"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        name = f"ledger_{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name};")
        url = str(server.get_uri(database=name))
    service = Ledger(founded, directory, url)
    service.start()
    try:
        asyncio.run(opened(service))
        yield service
    finally:
        service.stop()


async def opened(service: Ledger) -> None:
    """Wait until health says SERVING."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with channel(service.address, service.ca.client()) as connection:
        health = health_pb2_grpc.HealthStub(connection)
        deadline = time.monotonic() + 30
        while (await health.Check(health_pb2.HealthCheckRequest())).status != 1:
            assert time.monotonic() < deadline, service.log
            await asyncio.sleep(0.05)


Connect = Callable[[Identity], "rpc.LedgerServiceAsyncStub"]


@pytest.fixture
async def connect(ledger: Ledger) -> AsyncIterator[Connect]:
    """Stubs with a client certificate of one's choice."""
    channels = []

    def stub(identity: Identity) -> rpc.LedgerServiceAsyncStub:
        channels.append(channel(ledger.address, identity))
        return rpc.LedgerServiceStub(channels[-1])

    yield stub
    for opened in channels:
        await opened.close(None)


@pytest.fixture
async def agency(ledger: Ledger, connect: Connect) -> rpc.LedgerServiceAsyncStub:
    """The accredited agency's connection."""
    return connect(ledger.identity(ledger.founded.agency, "agency"))


def register(*statements: bytes, request_id: str | None = None) -> pb.RegisterStatementsRequest:
    return pb.RegisterStatementsRequest(request_id=request_id or str(uuid.uuid4()), statements=statements)


async def refused(call: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


async def reached(stub: rpc.LedgerServiceAsyncStub, statement_id: bytes, stage: int) -> pb.Statement:
    """Wait until a statement has reached a stage."""
    deadline = time.monotonic() + 30
    while True:
        found = (await stub.GetStatement(pb.GetStatementRequest(statement_id=statement_id))).statement
        if found.stage >= stage:
            return found
        assert time.monotonic() < deadline, f"stays at stage {found.stage}"
        await asyncio.sleep(0.05)


def id_of(raw: bytes) -> StatementId:
    from silkledger.statement import parse_statement

    return parse_statement(raw).id
