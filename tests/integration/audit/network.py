"""A whole network for the auditor: ledger, identity and two banks on one chain and one kind of database."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from silkledger.audit.replay import Audited
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client.manifests import ManifestDocument, sign_documents
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.deploy import deploy
from silkledger.evm.node import JsonRpcNode
from silkledger.keys import Suite, generate, save_key
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as ledger_rpc
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.projections.statements import parse_entry
from silkledger.settlement.v1 import settlement_pb2 as spb
from silkledger.settlement.v1 import settlement_pb2_grpc as settlement_rpc
from silkledger.statement import sign_statement
from silkledger.values import Did, Digest, DocumentType
from tests.integration.ledger.conftest import BILL, CN, LA, TH, accreditation, register, send
from tests.integration.settlement.conftest import SAMPLES, enrol, serving
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import channel
from tests.support.pki import Identity, TestCa
from tests.support.processes import ServiceProcess

SERVICE_NAMES = {
    "identity": "silkledger.identity.v1.IdentityService",
    "ledger": "silkledger.ledger.v1.LedgerService",
    "settlement-a": "silkledger.settlement.v1.SettlementService",
    "settlement-b": "silkledger.settlement.v1.SettlementService",
}
ORIGIN = "silkledger.example/audited"
BICS = {"settlement-a": ("SMPACNB0XXX", "CN"), "settlement-b": ("SMPBTHB0XXX", "TH")}
COMPARED = ("ledger", "identity", "settlement-a")
"""Databases that the auditor is given."""


@dataclass
class AuditedNetwork:
    """Everything runs, or nothing: `start`, `stop`, `kill` are about all four services."""

    folder: Path
    chain: EmbeddedChain
    make_database: Callable[[Path, str], str]
    ca: TestCa = field(default_factory=TestCa)
    accounts: dict[str, Account] = field(default_factory=dict)
    services: dict[str, ServiceProcess] = field(default_factory=dict)
    network: Any = None

    def did(self, name: str) -> Did:
        return Did.of(self.network.chain_id, self.accounts[name].address)

    def identity_of(self, name: str, *roles: str) -> Identity:
        return self.ca.organisation(self.did(name), *roles)

    def database(self, name: str) -> str:
        return self.services[name].environment["DATABASE_URL"]

    def fresh_database(self, name: str) -> str:
        """The service's database is lost: it gets an empty one."""
        folder = self.services[name].directory
        self.services[name].environment["DATABASE_URL"] = self.make_database(folder, name)
        return self.database(name)

    @property
    def audited(self) -> Audited:
        key = str(LogVerifierKey.of(ORIGIN, self.log_key.verifying_key))
        return Audited(self.network, FAST, ORIGIN, key)

    async def found(self) -> None:
        """Contracts, countries, an agency, and the services' settings."""
        names = ("governance", "th", "cn", "la", "agency", "settlement-a", "settlement-b", "institution")
        self.accounts = {name: Account.generate() for name in (*names, "operator")}
        node = JsonRpcNode(self.chain.url, FAST)
        self.network: Network = await deploy(
            node, Account.generate(), self.accounts["governance"].address, FAST
        )
        registry = self.network.address("TrustRegistry")
        for country, name in ((TH, "th"), (CN, "cn"), (LA, "la")):
            arguments = (country.encode(), self.accounts[name].address)
            call = encode_call("TrustRegistry", "registerCountry", arguments)
            await send(node, self.accounts["governance"], registry, call)
        await send(node, self.accounts["th"], registry, accreditation(self.accounts["agency"], TH, BILL))
        await node.close()
        self._settings()

    def _settings(self) -> None:
        identity = self._service("identity", "services.identity")
        (identity.directory / "ca.key").write_bytes(self.ca.key_pem)
        identity.environment |= {
            "LANE_KEY_FILE": self._lane_key(identity.directory),
            "CA_CERT": identity.environment["TLS_CA"],
            "CA_KEY": str(identity.directory / "ca.key"),
            "LANE_LEASE_MS": "2000",
        }
        ledger = self._service("ledger", "services.ledger")
        self.log_key = generate(Suite.EDDSA)
        save_key(ledger.directory / "log.pem", self.log_key)
        ledger.environment |= {
            "LANE_KEY_FILE": self._lane_key(ledger.directory),
            "LOG_KEY_FILE": str(ledger.directory / "log.pem"),
            "VERIFY_PROCESSES": "0",
            "ORIGIN": ORIGIN,
            "ANCHOR_INTERVAL_MS": "200",
            # A killed service's successor waits for them.
            "LOG_LEASE_MS": "2000",
            "LANE_LEASE_MS": "2000",
        }
        for name, (bic, _) in BICS.items():
            self._bank(name, bic)

    def _bank(self, name: str, bic: str) -> None:
        bank = self._service(name, "services.settlement")
        folder = bank.directory
        certificate, key, _ = self.ca.bank(self.did(name)).write(folder / "client")
        self.accounts[name].save(folder / "controller.pem")
        (folder / "seed").write_bytes(secrets.token_bytes(32))
        (folder / "seed").chmod(0o600)
        bank.environment |= {
            "BANK_DID": str(self.did(name)),
            "BANK_BIC": bic,
            "BANK_KEY_FILE": str(folder / "controller.pem"),
            "SEED_FILE": str(folder / "seed"),
            "IDENTITY_ENDPOINT": self.services["identity"].address,
            "ACCOUNTS": "SAMPLECNY0001" if name.endswith("a") else "SAMPLECNY0002",
            "SETTLEMENT_INSTITUTION": str(self.did("institution")),
            "CLIENT_CERT": str(certificate),
            "CLIENT_KEY": str(key),
            "TLS_CERT": str(certificate),
            "TLS_KEY": str(key),
        }

    def _service(self, name: str, module: str) -> ServiceProcess:
        folder = self.folder / name
        folder.mkdir()
        certificate, key, root = self.ca.server().write(folder / "tls")
        self.services[name] = ServiceProcess(
            module,
            folder,
            {
                "MODE": "development",
                "DATABASE_URL": self.make_database(folder, name),
                "NODE_URL": self.chain.url,
                "ENGINE": "anvil",
                "CHAIN_ID": str(self.network.chain_id),
                "GENESIS_HASH": str(self.network.genesis_hash),
                "DIRECTORY": str(self.network.directory),
                "METRICS_LISTEN": "127.0.0.1:0",
                "TLS_CERT": str(certificate),
                "TLS_KEY": str(key),
                "TLS_CA": str(root),
            },
        )
        return self.services[name]

    @staticmethod
    def _lane_key(folder: Path) -> str:
        Account.generate().save(folder / "lane.pem")
        return str(folder / "lane.pem")

    async def start(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(one.start) for one in self.services.values()))
        for name, service in self.services.items():
            who = self.ca.bank(self.did(name)) if name in BICS else self.identity_of("operator", "operator")
            await serving(service.address, who, SERVICE_NAMES[name])

    async def stop(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(one.stop) for one in self.services.values()))

    async def kill(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(one.kill) for one in self.services.values()))

    async def enrol(self) -> None:
        """Both banks and the settlement institution."""
        operator = self.identity_of("operator", "operator")
        address, chain_id = self.services["identity"].address, self.network.chain_id
        for name, (bic, country) in BICS.items():
            arguments = (f"Sample {name}", country, bic, "bank", self.services[name].address)
            await enrol(address, operator, chain_id, self.accounts[name], *arguments)
        arguments = ("Sample Settlement Institution", "CN", "SMPSCNB0XXX", "settlement-institution", "")
        await enrol(address, operator, chain_id, self.accounts["institution"], *arguments)


@contextmanager
def running_chain(folder: Path) -> Iterator[EmbeddedChain]:
    embedded = EmbeddedChain(folder, block_time_s=0.1)
    embedded.start()
    try:
        yield embedded
    finally:
        embedded.stop()


def statement(audited: AuditedNetwork) -> bytes:
    """About a document of its own, by the agency."""
    did = audited.did("agency")
    return sign_statement(
        audited.accounts["agency"].key,
        issuer=did,
        kid=f"{did}#controller",
        subject="urn:sample:bl:1",
        document_type=BILL,
        digest=Digest(hashlib.sha256(secrets.token_bytes(16)).digest()),
        content_type="application/json",
        issued_at=int(time.time()),
        salt=secrets.token_bytes(16),
    )


async def registered(audited: AuditedNetwork, count: int) -> list[bytes]:
    """That many statements, accepted."""
    batch = [statement(audited) for _ in range(count)]
    address, who = audited.services["ledger"].address, audited.identity_of("agency", "agency")
    async with channel(address, who) as connection:
        await ledger_rpc.LedgerServiceStub(connection).RegisterStatements(register(*batch))
    return batch


async def registered_manifest(audited: AuditedNetwork, documents: int) -> bytes:
    """A manifest over so many documents, accepted."""
    held = sign_documents(
        audited.accounts["agency"],
        audited.did("agency"),
        [
            ManifestDocument(f"bill-{number}", f"urn:sample:bl:{number}", Digest(secrets.token_bytes(32)))
            for number in range(documents)
        ],
        subject="urn:sample:bills",
        document_type=BILL,
    )
    address, who = audited.services["ledger"].address, audited.identity_of("agency", "agency")
    async with channel(address, who) as connection:
        leaves = b"".join(document.leaf.encode() for document in held.documents)
        request = pb.RegisterManifestRequest(request_id=rid(), manifest=held.raw, leaves=leaves)
        await ledger_rpc.LedgerServiceStub(connection).RegisterManifest(request)
    return held.raw


async def until_final(audited: AuditedNetwork, raws: list[bytes]) -> None:
    """Until the last statement of every batch is under a final anchor."""
    address, who = audited.services["ledger"].address, audited.identity_of("agency", "agency")
    async with channel(address, who) as connection:
        stub = ledger_rpc.LedgerServiceStub(connection)
        for raw in raws:
            request = pb.GetStatementRequest(statement_id=bytes(parse_entry(raw).id))

            async def final(request: pb.GetStatementRequest = request) -> bool:
                found = (await stub.GetStatement(request)).statement
                return bool(found.stage == chain.EVIDENCE_STAGE_FINAL)

            await eventually(final, "a statement is final", timeout_s=60, pause_s=0.1)


def rid() -> str:
    return str(uuid.uuid4())


class Payments:
    """Payments from bank A to bank B."""

    def __init__(self, audited: AuditedNetwork) -> None:
        self._audited = audited
        self.legs: list[spb.LegId] = []

    async def _with(self, bank: str, work: Callable[[Any], Awaitable[None]]) -> None:
        who = self._audited.ca.bank(self._audited.did(bank))
        async with channel(self._audited.services[bank].address, who) as connection:
            await work(settlement_rpc.SettlementServiceStub(connection))

    async def submit(self, *samples: str) -> None:
        async def work(stub: Any) -> None:
            for name in samples:
                message = (SAMPLES / name).read_bytes()
                reply = await stub.SubmitPayment(spb.SubmitPaymentRequest(request_id=rid(), message=message))
                self.legs += [payment.leg for payment in reply.payments]

        await self._with("settlement-a", work)

    async def accept(self) -> None:
        """Bank B accepts what it has been told of, as soon as it has been."""

        async def work(stub: Any) -> None:
            for leg in self.legs:
                await eventually(lambda leg=leg: _delivered(stub, leg), "delivered", 60, 0.1)  # type: ignore[misc]
                found = (await stub.GetPayment(spb.GetPaymentRequest(leg=leg))).payment
                if found.state == spb.PAYMENT_STATE_VALIDATED:
                    await stub.AcceptPayment(spb.AcceptPaymentRequest(request_id=rid(), leg=leg))

        await self._with("settlement-b", work)

    async def settle(self) -> None:
        """The institution's word at both banks, then final on chain."""
        message = (SAMPLES / "pacs.002-settlement-institution.xml").read_bytes()
        signed = _over(self._audited, message)

        async def confirm(stub: Any) -> None:
            for leg in self.legs:
                await eventually(lambda leg=leg: _in(stub, leg, spb.PAYMENT_STATE_ACCEPTED), "told", 60, 0.1)  # type: ignore[misc]
            request = spb.ConfirmSettlementRequest(request_id=rid(), message=message, signed_statement=signed)
            await stub.ConfirmSettlement(request)

        async def final(stub: Any) -> None:
            for leg in self.legs:
                await eventually(lambda leg=leg: _final(stub, leg), "settled and final", 120, 0.1)  # type: ignore[misc]

        for bank in BICS:
            await self._with(bank, confirm)
        for bank in BICS:
            await self._with(bank, final)


def _over(audited: AuditedNetwork, content: bytes) -> bytes:
    did = audited.did("institution")
    return sign_statement(
        audited.accounts["institution"].key,
        issuer=did,
        kid=f"{did}#controller",
        subject="urn:silkledger:sample:status",
        document_type=DocumentType("312"),
        digest=Digest(hashlib.sha256(content).digest()),
        content_type="application/xml",
        issued_at=int(time.time()),
        salt=secrets.token_bytes(16),
    )


async def _payment(stub: Any, leg: spb.LegId) -> Any:
    """None: the bank does not know it."""
    try:
        return (await stub.GetPayment(spb.GetPaymentRequest(leg=leg))).payment
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise


async def _delivered(stub: Any, leg: spb.LegId) -> bool:
    found = await _payment(stub, leg)
    return found is not None and found.state >= spb.PAYMENT_STATE_VALIDATED


async def _in(stub: Any, leg: spb.LegId, state: int) -> bool:
    found = await _payment(stub, leg)
    return found is not None and found.state == state


async def _final(stub: Any, leg: spb.LegId) -> bool:
    found = await _payment(stub, leg)
    settled = found is not None and found.state == spb.PAYMENT_STATE_SETTLED
    return settled and found.evidence == chain.EVIDENCE_STAGE_FINAL
