"""Two banks' real settlement services with an identity service on a real chain, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import signal
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network
from silkledger.evm.deploy import deploy
from silkledger.evm.node import JsonRpcNode
from silkledger.identity.v1 import identity_pb2 as identity
from silkledger.identity.v1 import identity_pb2_grpc as identity_rpc
from silkledger.keys.account import Account
from silkledger.registry.enrolment import Enrolment
from silkledger.runtime.db import parse_url
from silkledger.settlement.v1 import settlement_pb2_grpc as rpc
from silkledger.statement import sign_statement
from silkledger.values import CountryCode, Did, Digest, DocumentType
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import channel
from tests.support.nursery import Forked, nursery
from tests.support.pki import Identity, TestCa
from tests.support.postgres import *  # noqa: F403

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "samples" / "iso20022"
ROLES = {"bank": identity.ROLE_BANK, "settlement-institution": identity.ROLE_SETTLEMENT_INSTITUTION}
EXPIRY_BLOCKS = 400
"""Of both banks; forty seconds here at the least, unless a test makes blocks faster."""
VAULT = (
    "payment",
    "payment_change",
    "message",
    "signed",
    "outbox",
    "statement_file",
    "idempotency",
    "intent",
)


@dataclass
class BankService:
    """One bank: its organisation and its running process."""

    account: Account
    did: Did
    address: str
    database_url: str
    client: Identity
    process: Forked

    async def rows(self) -> dict[str, int]:
        """Rows of every table that a call may write."""
        engine = create_async_engine(parse_url(self.database_url))
        async with engine.connect() as connection:
            found = {
                table: int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())
                for table in VAULT
            }
        await engine.dispose()
        return found


@dataclass
class Stage:
    """Everything a settlement test needs."""

    ca: TestCa
    network: Network
    node_url: str
    institution: Account
    a: BankService
    b: BankService
    identity_address: str
    operator: Identity

    def did(self, account: Account) -> Did:
        return Did.of(self.network.chain_id, account.address)

    def mine(self, blocks: int) -> None:
        """Time passes."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "anvil_mine", "params": [hex(blocks)]}
        request = urllib.request.Request(
            self.node_url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            assert "error" not in json.load(reply)

    def statement(self, account: Account, content: bytes) -> bytes:
        """A statement of the account's organisation over the content."""
        did = self.did(account)
        return sign_statement(
            account.key,
            issuer=did,
            kid=f"{did}#controller",
            subject="urn:silkledger:sample:status",
            document_type=DocumentType("312"),
            digest=Digest(hashlib.sha256(content).digest()),
            content_type="application/xml",
            issued_at=int(time.time()),
            salt=secrets.token_bytes(16),
        )


Ready = Callable[[], str]
"""Waits until a process has told its address, and returns it."""


def spawn(
    stack: ExitStack, module: str, directory: Path, environment: dict[str, str]
) -> tuple[Ready, Forked]:
    """Start a service process. Stopped, and its exit code checked, with the stack."""
    ready = directory / "ready.json"
    log = directory / "service.log"
    names = {f"SILKLEDGER_{name}": value for name, value in environment.items()}
    names |= {"PATH": os.environ["PATH"], "SILKLEDGER_READY_FILE": str(ready)}
    process = nursery(module).start(names, log)

    def stop() -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()[-4000:]

    stack.callback(stop)

    def address() -> str:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.02)
        return str(json.loads(ready.read_text())["address"])

    return address, process


async def serving(address: str, who: Identity, name: str) -> None:
    async with channel(address, who) as opened:
        stub = health_pb2_grpc.HealthStub(opened)

        async def well() -> bool:
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

        await eventually(well, f"{name} is serving", timeout_s=60)


@pytest.fixture(scope="session")
def chain() -> Iterator[tuple[str, Network]]:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        embedded = EmbeddedChain(Path(directory) / "chain", block_time_s=0.1)
        embedded.start()
        try:

            async def found() -> Network:
                node = JsonRpcNode(embedded.url, FAST)
                network = await deploy(node, Account.generate(), Account.generate().address, FAST)
                await node.close()
                return network

            yield embedded.url, asyncio.run(found())
        finally:
            embedded.stop()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def stage(
    request: pytest.FixtureRequest, chain: tuple[str, Network], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Identity service, bank A (CN), bank B (TH), settlement institution (CN), all enrolled."""
    node_url, network = chain
    ca = TestCa()

    def database(directory: Path, name: str) -> str:
        if request.param == "sqlite":
            return f"sqlite:///{directory}/{name}.sqlite"
        server = request.getfixturevalue("postgres_server")
        unique = f"{name}_{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {unique};")
        return str(server.get_uri(database=unique))

    def common(directory: Path, name: str) -> dict[str, str]:
        certificate, key, root = ca.server().write(directory / "tls")
        return {
            "MODE": "development",
            "DATABASE_URL": database(directory, name),
            "NODE_URL": node_url,
            "ENGINE": "anvil",
            "CHAIN_ID": str(network.chain_id),
            "GENESIS_HASH": str(network.genesis_hash),
            "DIRECTORY": str(network.directory),
            "TLS_CERT": str(certificate),
            "TLS_KEY": str(key),
            "TLS_CA": str(root),
        }

    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("identity")
        environment = common(directory, "identity")
        (directory / "ca.key").write_bytes(ca.key_pem)
        Account.generate().save(directory / "lane.pem")
        environment |= {"LANE_KEY_FILE": str(directory / "lane.pem")}
        environment |= {"CA_CERT": environment["TLS_CA"], "CA_KEY": str(directory / "ca.key")}
        address = spawn(stack, "services.identity", directory, environment)[0]()
        operator = ca.organisation(Did.of(network.chain_id, Account.generate().address), "operator")
        institution = Account.generate()

        def bank(name: str, bic: str, accounts: str) -> Callable[[], BankService]:
            """Starts; the answer waits until the bank is there."""
            folder = tmp_path_factory.mktemp(name)
            account = Account.generate()
            did = Did.of(network.chain_id, account.address)
            client = ca.bank(did)
            certificate, key, _ = client.write(folder / "client")
            account.save(folder / "controller.pem")
            seed = folder / "seed"
            seed.write_bytes(secrets.token_bytes(32))
            seed.chmod(0o600)
            settings = common(folder, name) | {
                "BANK_DID": str(did),
                "BANK_BIC": bic,
                "BANK_KEY_FILE": str(folder / "controller.pem"),
                "SEED_FILE": str(seed),
                "IDENTITY_ENDPOINT": address,
                "ACCOUNTS": accounts,
                "SETTLEMENT_INSTITUTION": str(Did.of(network.chain_id, institution.address)),
                "CLIENT_CERT": str(certificate),
                "CLIENT_KEY": str(key),
                "TLS_CERT": str(certificate),
                "TLS_KEY": str(key),
                "EXPIRY_BLOCKS": str(EXPIRY_BLOCKS),
            }
            ready, process = spawn(stack, "services.settlement", folder, settings)
            return lambda: BankService(account, did, ready(), settings["DATABASE_URL"], client, process)

        started = (
            bank("bank_a", "SMPACNB0XXX", "SAMPLECNY0001"),
            bank("bank_b", "SMPBTHB0XXX", "SAMPLECNY0002"),
        )
        asyncio.run(serving(address, operator, "silkledger.identity.v1.IdentityService"))
        a, b = (one() for one in started)
        asyncio.run(_enrol_all(address, operator, network, a, b, institution))
        for one in (a, b):
            asyncio.run(serving(one.address, one.client, "silkledger.settlement.v1.SettlementService"))
        yield Stage(ca, network, node_url, institution, a, b, address, operator)


async def _enrol_all(
    address: str, operator: Identity, network: Network, a: BankService, b: BankService, institution: Account
) -> None:
    for account, name, country, bic, role, endpoint in (
        (a.account, "Sample Bank A", "CN", "SMPACNB0XXX", "bank", a.address),
        (b.account, "Sample Bank B", "TH", "SMPBTHB0XXX", "bank", b.address),
        (institution, "Sample Settlement Institution", "CN", "SMPSCNB0XXX", "settlement-institution", ""),
    ):
        await enrol(address, operator, network.chain_id, account, name, country, bic, role, endpoint)


async def enrol(
    address: str,
    operator: Identity,
    chain_id: int,
    account: Account,
    name: str,
    country: str,
    bic: str,
    role: str,
    endpoint: str,
) -> None:
    """Enrol an organisation with the identity service."""
    claims = Enrolment(
        request_id=str(uuid.uuid4()),
        chain_id=chain_id,
        name=name,
        country=CountryCode(country),
        roles=frozenset({role}),
        lei="",
        uscc="",
        bic=bic,
        endpoint=endpoint,
        csr_pem=_csr(),
        controller_key=account.public_key,
    )
    async with channel(address, operator) as opened:
        await identity_rpc.IdentityServiceStub(opened).EnrolOrganisation(
            identity.EnrolOrganisationRequest(
                request_id=claims.request_id,
                name=name,
                country=country,
                roles=[ROLES[role]],
                bic=bic,
                endpoint=endpoint,
                csr_pem=claims.csr_pem,
                controller_key=account.public_key,
                controller_proof=claims.sign(account.key),
            )
        )


def _csr() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sample")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


Connect = Callable[[BankService, Identity], "rpc.SettlementServiceAsyncStub"]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Stubs to a bank's service, with a client certificate of one's choice."""
    channels = []

    def stub(bank: BankService, who: Identity) -> rpc.SettlementServiceAsyncStub:
        channels.append(channel(bank.address, who))
        return rpc.SettlementServiceStub(channels[-1])

    yield stub
    for opened in channels:
        await opened.close(None)
