"""A real identity service process on a real chain, once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.calls import sign_call
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.deploy import deploy
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.identity.v1 import identity_pb2_grpc as rpc
from silkledger.keys.account import Account
from silkledger.registry.enrolment import Enrolment
from silkledger.runtime.db import parse_url
from silkledger.values import Address, CountryCode, Did
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import channel
from tests.support.nursery import Forked, nursery
from tests.support.pki import Identity, TestCa
from tests.support.postgres import *  # noqa: F403

TH, CN, LA = CountryCode("TH"), CountryCode("CN"), CountryCode("LA")


@dataclass
class Service:
    """The running process and what tests need to talk to it and to look behind it."""

    address: str
    process: Forked
    database_url: str
    network: Network
    node_url: str
    ca: TestCa
    operator: Identity
    authorities: dict[str, Account]

    def did(self, account: Account) -> Did:
        return Did.of(self.network.chain_id, account.address)

    def identity_of(self, account: Account, *roles: str) -> Identity:
        """A client certificate of the organisation that this account controls."""
        return self.ca.organisation(self.did(account), *roles)

    async def rows(self) -> dict[str, int]:
        """Rows of every table that a call may write."""
        engine = create_async_engine(parse_url(self.database_url))
        tables = ("organisation", "organisation_role", "relayed_call", "audit", "idempotency", "intent")
        lists = ("status_list", "status_list_call")
        async with engine.connect() as connection:
            counts = {
                table: int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())
                for table in (*tables, *lists)
            }
        await engine.dispose()
        return counts

    def call(
        self, account: Account, contract: str, function: str, *arguments: object, **change: Any
    ) -> chain.SignedCall:
        """A signed call; `change` overwrites its fields after signing."""
        deadline = change.pop("signed_deadline", int(time.time()) + 12 * 3600)
        request_id = change.pop("signed_id", secrets.token_bytes(32))
        gas = change.pop("signed_gas", 900_000)
        signed = sign_call(
            account,
            self.network,
            contract=contract,
            data=encode_call(contract, function, arguments),
            request_id=request_id,
            deadline=deadline,
            gas=gas,
        )
        fields = {name: getattr(signed, name) for name in ("actor", "target", "request_id", "deadline")}
        fields |= {name: getattr(signed, name) for name in ("gas", "data", "signature")}
        return chain.SignedCall(**(fields | change))


async def send(node: JsonRpcNode, account: Account, to: Address, data: bytes) -> None:
    """Send a transaction of the account's own and wait for its block."""
    nonce = await node.nonce(account.address)
    signed = await sign_transaction(
        LocalSigner(account), Transaction(await node.chain_id(), nonce, 0, 2_000_000, to, data)
    )
    tx_hash = await node.send_raw(signed.raw)
    found = []

    async def included() -> bool:
        found.append(await node.transaction_receipt(tx_hash))
        return found[-1] is not None

    await eventually(included, "the transaction is in a block")
    receipt = found[-1]
    assert receipt is not None
    assert receipt.receipt.status


async def _found(url: str) -> tuple[Network, dict[str, Account]]:
    """Deploy, and register three countries with an authority each."""
    node = JsonRpcNode(url, FAST)
    governance = Account.generate()
    network = await deploy(node, Account.generate(), governance.address, FAST)
    authorities = {country: Account.generate() for country in (TH, CN, LA)}
    for country, authority in authorities.items():
        data = encode_call("TrustRegistry", "registerCountry", (country.encode(), authority.address))
        await send(node, governance, network.address("TrustRegistry"), data)
    await node.close()
    return network, {str(country): authority for country, authority in authorities.items()}


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Network, dict[str, Account]]]:
    """A chain with the contracts and three countries."""
    embedded = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=0.1)
    embedded.start()
    try:
        network, authorities = asyncio.run(_found(embedded.url))
        yield embedded.url, network, authorities
    finally:
        embedded.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest,
    founded: tuple[str, Network, dict[str, Account]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """`python -m services.identity`, ready."""
    node_url, network, authorities = founded
    directory = tmp_path_factory.mktemp("identity")
    url = f"sqlite:///{directory}/identity.sqlite"
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("postgres_server"))
    ca = TestCa()
    operator = ca.organisation(Did.of(network.chain_id, Account.generate().address), "operator")
    process, address = started(directory, url, node_url, network, ca)
    try:
        asyncio.run(serving(address, operator))
        yield Service(address, process, url, network, node_url, ca, operator, authorities)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (directory / "service.log").read_text()


def new_database(server: Any) -> str:
    """URL of a fresh database of this PostgreSQL server."""
    name = f"identity_{uuid.uuid4().hex}"
    server.psql(f"CREATE DATABASE {name};")
    return str(server.get_uri(database=name))


def started(
    directory: Path, url: str, node_url: str, network: Network, ca: TestCa, **more: str
) -> tuple[Forked, str]:
    """A process of the service that has come up, and its address; the same keys for the same directory."""
    certificate, key, root = ca.server().write(directory / "tls")
    (directory / "ca.key").write_bytes(ca.key_pem)
    if not (directory / "lane.pem").exists():
        Account.generate().save(directory / "lane.pem")
    (directory / "ready.json").unlink(missing_ok=True)
    environment = {
        "MODE": "development",
        "DATABASE_URL": url,
        "NODE_URL": node_url,
        "ENGINE": "anvil",
        "CHAIN_ID": str(network.chain_id),
        "GENESIS_HASH": str(network.genesis_hash),
        "DIRECTORY": str(network.directory),
        "LISTEN": "127.0.0.1:0",
        "METRICS_LISTEN": "127.0.0.1:0",
        "TLS_CERT": str(certificate),
        "TLS_KEY": str(key),
        "TLS_CA": str(root),
        "LANE_KEY_FILE": str(directory / "lane.pem"),
        "CA_CERT": str(root),
        "CA_KEY": str(directory / "ca.key"),
        "READY_FILE": str(directory / "ready.json"),
        # A killed service's successor waits for it.
        "LANE_LEASE_MS": "2000",
    } | more
    names = {f"SILKLEDGER_{name}": value for name, value in environment.items()}
    names |= {"PATH": os.environ["PATH"]}
    process = nursery("services.identity").start(names, directory / "service.log")
    ready = _wait_ready(directory / "ready.json", process, directory / "service.log")
    return process, str(ready["address"])


def _wait_ready(file: Path, process: Forked, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


async def serving(address: str, identity: Identity) -> None:
    """Until the service says that it can answer: node followed, database there, a final block known."""
    request = health_pb2.HealthCheckRequest(service="silkledger.identity.v1.IdentityService")
    async with channel(address, identity) as opened:
        stub = health_pb2_grpc.HealthStub(opened)

        async def says_so() -> bool:
            return bool((await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING)

        await eventually(says_so, "the service is serving", timeout_s=60)


Connect = Callable[[Identity], "rpc.IdentityServiceAsyncStub"]


@pytest.fixture
async def connect(service: Service) -> AsyncIterator[Connect]:
    """Stubs with a client certificate of one's choice."""
    channels = []

    def stub(identity: Identity) -> rpc.IdentityServiceAsyncStub:
        channels.append(channel(service.address, identity))
        return rpc.IdentityServiceStub(channels[-1])

    yield stub
    for opened in channels:
        await opened.close(None)


@dataclass
class Applicant:
    """An organisation that wants to be enrolled: its keys and what it claims."""

    account: Account
    tls_key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> Applicant:
        return cls(Account.generate(), ec.generate_private_key(ec.SECP256R1()))

    def csr(self, key: Any = None, local: bool = False) -> str:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sample")])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        if local:
            names = [x509.DNSName("localhost"), x509.DNSName("evil.example")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        request = builder.sign(key or self.tls_key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def request(self, chain_id: int, **claims: Any) -> pb.EnrolOrganisationRequest:
        """A good request, with these claims; the proof covers them."""
        fields: dict[str, Any] = {
            "request_id": str(uuid.uuid4()),
            "name": "Sample Customs",
            "country": "TH",
            "roles": [pb.ROLE_AGENCY],
            "csr_pem": self.csr(),
            "controller_key": self.account.public_key,
        } | claims
        request = pb.EnrolOrganisationRequest(**fields)
        request.controller_proof = self.proof(request, chain_id)
        return request

    def proof(self, request: pb.EnrolOrganisationRequest, chain_id: int) -> bytes:
        words = {1: "agency", 2: "bank", 3: "auditor", 4: "authority", 5: "settlement-institution"}
        claims = Enrolment(
            request_id=request.request_id,
            chain_id=chain_id,
            name=request.name,
            country=CountryCode(request.country),
            roles=frozenset(words[role] for role in request.roles),
            lei=request.lei,
            uscc=request.uscc,
            bic=request.bic,
            endpoint=request.endpoint,
            csr_pem=request.csr_pem,
            controller_key=request.controller_key,
        )
        return claims.sign(self.account.key)
