"""A log changes its key while statements are registered: add on chain, both sign, the old one is ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.ledger.log_keys.signing import LogSigningKeys, check_log_keys
from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, Means, replay_ledger
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client.roots import unsealed_trust_roots
from silkledger.evidence.bundle import Bundle, decode_bundle
from silkledger.evidence.header import decode_header
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.evidence.verdict import CheckResult
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.contracts import encode_call
from silkledger.evm.node import JsonRpcNode
from silkledger.keys import PrivateKey, Suite, generate, save_key
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, parse_note, sign_checkpoint, verify_note
from silkledger.log.promise import verify_promise
from silkledger.log.receipt import parse_receipt, verify_receipt
from silkledger.registry.histories import origin_id
from silkledger.runtime.settings import SettingsError
from silkledger.statement import parse_statement
from silkledger.values import CountryCode
from tests.support.anvil import FAST
from tests.support.grpc_clients import channel

from .conftest import ROOT, Founded, Ledger, id_of, opened, reached, refused, register, send

CN = CountryCode("CN")

WHILE_IT_RESTARTS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""How a call ends that a stopping service cut off, or that found none."""


@dataclass
class Rotating:
    """A service with its two keys, and what was registered with it meanwhile."""

    service: Ledger
    new: PrivateKey
    promises: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Statement and promise, in the order of their acceptance."""

    @property
    def old_vkey(self) -> LogVerifierKey:
        return LogVerifierKey.of(self.service.origin, self.service.log_key.verifying_key)

    @property
    def new_vkey(self) -> LogVerifierKey:
        return LogVerifierKey.of(self.service.origin, self.new.verifying_key)

    def files(self, *names: str) -> dict[str, str]:
        """Settings: the first signs promises."""
        paths = [str(self.service.directory / name) for name in names]
        return {"LOG_KEY_FILE": paths[0], "FURTHER_LOG_KEY_FILES": ",".join(paths[1:])}

    def why_not(self, *names: str) -> str:
        """What a service with these keys says on refusing to start."""
        process = subprocess.run(
            [sys.executable, "-m", "services.ledger"],
            cwd=ROOT,
            env=self.service.environment(**self.files(*names)),
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        assert process.returncode == 2, process.stderr.decode()
        return process.stderr.decode()

    @asynccontextmanager
    async def serving(self, *names: str) -> AsyncIterator[Any]:
        """The service with these keys, and the agency's connection."""
        await asyncio.to_thread(self.service.start, **self.files(*names))
        try:
            await opened(self.service)
            agency = self.service.identity(self.service.founded.agency, "agency")
            async with channel(self.service.address, agency) as connection:
                yield rpc.LedgerServiceStub(connection)
        finally:
            await asyncio.to_thread(self.service.stop)

    @asynccontextmanager
    async def operator(self, role: str = "operator") -> AsyncIterator[Any]:
        identity = self.service.identity(Account.generate(), role)
        async with channel(self.service.address, identity) as connection:
            yield rpc.LedgerServiceStub(connection)

    async def keep_registering(self, stop: asyncio.Event) -> None:
        """One statement after the other, each until it is accepted, whatever becomes of the service."""
        agency = self.service.founded.agency
        while not stop.is_set():
            raw, request_id = self.service.statement(agency), str(uuid.uuid4())
            while True:
                try:
                    async with channel(self.service.address, self.service.identity(agency)) as connection:
                        stub = rpc.LedgerServiceStub(connection)
                        answer = await stub.RegisterStatements(register(raw, request_id=request_id))
                except grpc.aio.AioRpcError as error:
                    if error.code() not in WHILE_IT_RESTARTS:
                        raise
                    await asyncio.sleep(0.05)
                    continue
                self.promises.append((raw, answer.promise))
                break
            await asyncio.sleep(0.25)

    async def log_one(self, stub: Any) -> bytes:
        """A statement that is final, by the id."""
        raw = self.service.statement(self.service.founded.agency)
        answer = await stub.RegisterStatements(register(raw))
        self.promises.append((raw, answer.promise))
        await reached(stub, bytes(id_of(raw)), chain.EVIDENCE_STAGE_FINAL)
        return raw

    async def replay(self) -> Any:
        audited = Audited(self.service.founded.network, FAST, self.service.origin, str(self.old_vkey))
        databases = Databases.named([f"ledger={self.service.database_url}"])
        return await replay_ledger(
            audited, self.service.founded.url, databases, lambda *_: None, None, None, Means(processes=0)
        )


@pytest.fixture
def rotating(founded: Founded, tmp_path: Path) -> Iterator[Rotating]:
    service = Ledger(founded, tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite")
    new = generate(Suite.EDDSA)
    save_key(tmp_path / "new.pem", new)
    yield Rotating(service, new)
    if service.process is not None and service.process.poll() is None:
        service.kill()


async def change(stub: Any, kind: str, key: LogVerifierKey | str, request_id: str | None = None) -> None:
    request_id = request_id or str(uuid.uuid4())
    if kind == "add":
        await stub.AddLogKey(pb.AddLogKeyRequest(request_id=request_id, verifier_key=str(key)))
    else:
        await stub.EndLogKey(pb.EndLogKeyRequest(request_id=request_id, verifier_key=str(key)))


async def final(stub: Any, key: LogVerifierKey, *, ended: bool = False) -> pb.LogKey:
    """Wait until the key's addition, or its end, is final."""
    deadline = time.monotonic() + 30
    while True:
        answer = await stub.ListLogKeys(pb.ListLogKeysRequest())
        for found in answer.keys:
            block = found.ended_block if ended else found.added_block
            if found.verifier_key == str(key) and 0 < block <= answer.final_block:
                listed: pb.LogKey = found
                return listed
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.05)


async def receipt_of(stub: Any, raw: bytes) -> pb.GetReceiptResponse:
    found: pb.GetReceiptResponse = await stub.GetReceipt(pb.GetReceiptRequest(statement_id=bytes(id_of(raw))))
    return found


async def evidence_of(stub: Any, raw: bytes) -> Bundle:
    request = pb.GetEvidenceRequest(statement_id=bytes(id_of(raw)), relying_country="CN")
    return decode_bundle((await stub.GetEvidence(request)).bundle)


def failures(rotating: Rotating, raw: bytes, bundle: Bundle) -> dict[str, str]:
    """The checks that fail, for a verifier that pins the log by its first key."""
    newest = decode_header(bundle.headers[-1], FAST.header_kind)
    pin = PinnedLog(rotating.service.origin, str(rotating.old_vkey))
    roots = unsealed_trust_roots(rotating.service.founded.network, FAST, pin, {newest.number: newest.hash})
    digest = parse_statement(raw).digest
    verdict = verify_bundle(digest, bundle.encode(), roots, relying_country=CN)
    failed = {check.name: check.reason for check in verdict.checks if check.result is CheckResult.FAIL}
    assert verdict.outcome.good is not bool(failed), verdict
    return failed


def resigned(rotating: Rotating, bundle: Bundle, key: PrivateKey) -> Bundle:
    """The same head, signed by `key` alone."""
    head = Checkpoint.parse_body(parse_note(bundle.log.checkpoint.decode()).body)
    return replace(bundle, log=replace(bundle.log, checkpoint=sign_checkpoint(head, key).encode()))


async def test_a_log_changes_its_key_under_running_registration(rotating: Rotating) -> None:
    service, old, new = rotating.service, rotating.old_vkey, rotating.new_vkey
    both = [old, new]
    stop = asyncio.Event()

    # One key, which the service registers. A second one is added on chain while statements are accepted.
    async with rotating.serving("log.pem") as stub, rotating.operator() as operator:
        first = await rotating.log_one(stub)
        kept = await receipt_of(stub, first)
        early = await evidence_of(stub, first)
        registering = asyncio.create_task(rotating.keep_registering(stop))
        await check_refusals(rotating, stub, operator)
        request_id = str(uuid.uuid4())
        await change(operator, "add", new, request_id)
        await change(operator, "add", new, request_id)
        added = await final(operator, new)
        assert not added.signs

    # Both sign every checkpoint; the old one still signs promises.
    async with rotating.serving("log.pem", "new.pem") as stub:
        second = await rotating.log_one(stub)
        overlap = await receipt_of(stub, second)
        lines = [line.key_id for line in parse_note(overlap.checkpoint).signatures]
        assert lines == [old.key_id, new.key_id]
        assert verify_note(overlap.checkpoint, old) == verify_note(overlap.checkpoint, new)
        assert parse_receipt(overlap.receipt).key_id == old.key_id
        network = await stub.GetNetwork(pb.GetNetworkRequest())
        assert (network.log_verifier_key, list(network.log_verifier_keys)) == (str(old), [str(old), str(new)])

    # The new one signs first. The old one is ended, and from that moment it signs nothing more.
    async with rotating.serving("new.pem", "log.pem") as stub, rotating.operator() as operator:
        third = await rotating.log_one(stub)
        assert parse_receipt((await receipt_of(stub, third)).receipt).key_id == new.key_id
        assert (await refused(change(operator, "end", new))).reason == "LOG_KEY_IN_USE"
        during = await evidence_of(stub, third)
        await change(operator, "end", old)
        ended = await final(operator, old, ended=True)
        assert not ended.signs
        fourth = await rotating.log_one(stub)
        head = (await receipt_of(stub, fourth)).checkpoint
        assert [line.key_id for line in parse_note(head).signatures] == [new.key_id]
        assert (await refused(change(operator, "add", old))).reason == "LOG_KEY_OVER"

    # A service with a key that does not count refuses to start, and says which and why.
    said = await asyncio.to_thread(rotating.why_not, "new.pem", "log.pem")
    assert f"SILKLEDGER_FURTHER_LOG_KEY_FILES: {old} does not count on chain" in said

    # The old key is gone. What was anchored under it is proven by what was signed then.
    async with rotating.serving("new.pem") as stub:
        stop.set()
        await registering
        for raw, _ in rotating.promises:
            await reached(stub, bytes(id_of(raw)), chain.EVIDENCE_STAGE_FINAL)
        again = await receipt_of(stub, first)
        assert (again.receipt, again.checkpoint) == (kept.receipt, kept.checkpoint)
        bundles = {raw: await evidence_of(stub, raw) for raw in (first, second, third, fourth)}
    signers = [parse_receipt(bundle.log.receipt).key_id for bundle in bundles.values()]
    assert signers == [old.key_id, old.key_id, new.key_id, new.key_id]
    for raw, bundle in [*bundles.items(), (first, early), (third, during)]:
        assert failures(rotating, raw, bundle) == {}

    # Old and new receipts and promises verify by the log's keys, and none by a key that it was not made with.
    assert verify_receipt(kept.receipt, first, both, verify_note(kept.checkpoint, both)).index == 0
    made_with = []
    for raw, promise in rotating.promises:
        assert id_of(raw) in verify_promise(promise, both).statement_ids
        made_with.append(old if _verifies(promise, old) else new)
        assert _verifies(promise, made_with[-1])
    assert made_with == sorted(made_with, key=both.index)
    meanwhile = {
        key
        for (raw, _), key in zip(rotating.promises, made_with, strict=True)
        if raw not in (first, second, third, fourth)
    }
    assert meanwhile == set(both), "registered all the while, under either key"

    # A checkpoint by the ended key alone proves nothing anchored after its end, nor one by the new before.
    assert failures(rotating, fourth, resigned(rotating, bundles[fourth], service.log_key)) == {
        "checkpoint": Reason.CHECKPOINT_KEY
    }
    assert failures(rotating, first, resigned(rotating, bundles[first], rotating.new)) == {
        "checkpoint": Reason.CHECKPOINT_KEY
    }
    assert failures(rotating, second, resigned(rotating, bundles[second], rotating.new)) == {}

    # The auditor's replay takes the keys from the chain as well.
    report = await rotating.replay()
    assert (report.verdict, report.differences) == ("CLEAN", ()), report.unavailable
    assert report.entries == len(rotating.promises)


def _verifies(promise: bytes, key: LogVerifierKey) -> bool:
    try:
        verify_promise(promise, key)
    except ValueError:
        return False
    return True


async def check_refusals(rotating: Rotating, agency: Any, operator: Any) -> None:
    """What the contract would refuse, and who is no operator: refused, with the reason."""
    old, new = rotating.old_vkey, rotating.new_vkey
    assert (await refused(change(agency, "add", new))).reason == "PERMISSION_DENIED"
    assert (await refused(agency.ListLogKeys(pb.ListLogKeysRequest()))).reason == "PERMISSION_DENIED"
    cases = (
        ("add", "no key", "LOG_KEY_MALFORMED"),
        ("add", LogVerifierKey.of("log.example/other", rotating.new.verifying_key), "LOG_KEY_MALFORMED"),
        ("add", old, "LOG_KEY_COUNTS"),
        ("end", old, "LAST_LOG_KEY"),
        ("end", new, "LOG_KEY_ABSENT"),
    )
    for kind, key, reason in cases:
        assert (await refused(change(operator, kind, key))).reason == reason
    listed = await operator.ListLogKeys(pb.ListLogKeysRequest())
    assert [(key.verifier_key, key.signs) for key in listed.keys] == [(str(old), True)]
    async with rotating.operator("auditor") as auditor:
        assert len((await auditor.ListLogKeys(pb.ListLogKeysRequest())).keys) == 1


async def test_only_keys_that_count_on_chain_are_started_with(founded: Founded) -> None:
    origin, controller = f"log.example/{uuid.uuid4().hex[:8]}", Account.generate()
    a, b = generate(Suite.EDDSA), generate(Suite.EDDSA)
    key_a, key_b = (LogVerifierKey.of(origin, key.verifying_key) for key in (a, b))
    node, anchor = JsonRpcNode(founded.url, FAST), founded.network.address("LogAnchor")

    async def problems(*keys: PrivateKey) -> dict[str, str]:
        try:
            await check_log_keys(node, founded.network, LogSigningKeys(origin, *keys))
        except SettingsError as error:
            return error.problems
        return {}

    first, further = "SILKLEDGER_LOG_KEY_FILE", "SILKLEDGER_FURTHER_LOG_KEY_FILES"
    assert await problems(a) == {}
    assert "not registered yet" in (await problems(a, b))[further]
    arguments = (origin, key_a.recorded, bytes(32))
    await send(node, controller, anchor, encode_call("LogAnchor", "registerOrigin", arguments))
    assert await problems(a) == {}
    assert str(key_b) in (await problems(b))[first]
    assert str(key_b) in (await problems(a, b))[further]
    for function, key in (("addLogKey", key_b), ("endLogKey", key_a)):
        data = encode_call("LogAnchor", function, (origin_id(origin), key.recorded))
        await send(node, controller, anchor, data)
        if function == "addLogKey":
            assert await problems(a, b) == await problems(b, a) == await problems(b) == {}
    assert await problems(b) == {}
    assert str(key_a) in (await problems(a))[first]
    assert str(key_a) in (await problems(b, a))[further]
    await node.close()
