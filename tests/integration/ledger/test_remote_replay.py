"""Replays over gRPC: who may, one at a time, the report, cancellation, and what a crash leaves of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.keys.account import Account
from silkledger.ledger.v1 import audit_pb2 as pb
from silkledger.ledger.v1 import audit_pb2_grpc as audit_rpc
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.runtime.db import parse_url
from tests.support.grpc_clients import channel
from tests.support.pki import Identity

from .conftest import Ledger, id_of, opened, reached, refused, register

Stub: TypeAlias = "audit_rpc.AuditServiceAsyncStub"
Audits = Callable[[Identity], Stub]


@pytest.fixture(scope="module")
def offering(ledger: Ledger) -> Ledger:
    """The ledger with a directory for replays, and some entries."""

    async def fill() -> None:
        await opened(ledger)
        account = ledger.founded.agency
        async with channel(ledger.address, ledger.identity(account, "agency")) as connection:
            stub = rpc.LedgerServiceStub(connection)
            batch = [ledger.statement(account) for _ in range(5)]
            await stub.RegisterStatements(register(*batch))
            await reached(stub, bytes(id_of(batch[-1])), chain.EVIDENCE_STAGE_FINAL)

    ledger.stop()
    restart(ledger)
    asyncio.run(fill())
    return ledger


def restart(ledger: Ledger) -> None:
    ledger.start(REPLAY_DIRECTORY=str(ledger.directory / "replays"))


@pytest.fixture
async def audits(offering: Ledger) -> AsyncIterator[Audits]:
    channels = []

    def stub(identity: Identity) -> Stub:
        channels.append(channel(offering.address, identity))
        return audit_rpc.AuditServiceStub(channels[-1])

    yield stub
    for one in channels:
        await one.close(None)


def auditor(ledger: Ledger) -> Identity:
    return ledger.identity(Account.generate(), "auditor")


def started(request_id: str | None = None) -> pb.StartReplayRequest:
    return pb.StartReplayRequest(request_id=request_id or str(uuid.uuid4()))


async def done(stub: Stub, name: str) -> pb.ReplayOperation:
    deadline = time.monotonic() + 60
    while True:
        operation = (await stub.GetReplay(pb.GetReplayRequest(name=name))).operation
        if operation.done:
            return operation
        assert time.monotonic() < deadline, operation
        await asyncio.sleep(0.1)


async def report(stub: Stub, name: str, kind: pb.ReportFormat.ValueType = pb.REPORT_FORMAT_JSON) -> bytes:
    request = pb.ReadReplayReportRequest(name=name, format=kind)
    return b"".join([item.piece async for item in stub.ReadReplayReport(request)])


async def test_an_auditor_gets_the_report_of_the_services_database(offering: Ledger, audits: Audits) -> None:
    stub = audits(auditor(offering))
    request = started()
    first = await stub.StartReplay(request)
    assert await stub.StartReplay(request) == first  # AIP-155: the same call is one operation
    operation = await done(stub, first.operation.name)
    assert operation.response.verdict == pb.REPLAY_VERDICT_CLEAN
    assert operation.metadata.blocks_done == operation.metadata.blocks_total > 0
    document = json.loads(await report(stub, first.operation.name))
    assert document["reportDigest"] == operation.response.report_digest
    assert document["entries"] >= 5
    assert {total["table"] for total in document["totals"]} >= {"chain_block", "history", "anchor"}
    page = await report(stub, first.operation.name, pb.REPORT_FORMAT_HTML)
    assert operation.response.report_digest.encode() in page
    assert not (offering.directory / "replays" / first.operation.name.removeprefix("replays/")).exists()
    listed = await stub.ListReplays(pb.ListReplaysRequest())
    assert [item.name for item in listed.operations] == [first.operation.name]


async def test_a_report_can_be_as_of_a_block(offering: Ledger, audits: Audits) -> None:
    stub = audits(auditor(offering))
    request = pb.StartReplayRequest(request_id=str(uuid.uuid4()), upto_block=5)
    operation = await done(stub, (await stub.StartReplay(request)).operation.name)
    assert operation.response.last_block == 5
    assert operation.metadata.upto_block == 5


@pytest.mark.parametrize("role", ["agency", "bank", "authority"])
async def test_who_is_no_auditor_is_refused(offering: Ledger, audits: Audits, role: str) -> None:
    stub = audits(offering.identity(offering.founded.agency, role))
    name = f"replays/{uuid.uuid4()}"
    for call in (
        stub.StartReplay(started()),
        stub.GetReplay(pb.GetReplayRequest(name=name)),
        stub.ListReplays(pb.ListReplaysRequest()),
        stub.CancelReplay(pb.CancelReplayRequest(name=name)),
    ):
        found = await refused(call)
        assert (found.code, found.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await report(stub, name)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_another_auditors_replay_is_not_found(offering: Ledger, audits: Audits) -> None:
    one, other = audits(auditor(offering)), audits(auditor(offering))
    name = (await one.StartReplay(started())).operation.name
    for call in (
        other.GetReplay(pb.GetReplayRequest(name=name)),
        other.CancelReplay(pb.CancelReplayRequest(name=name)),
    ):
        assert (await refused(call)).reason == "REPLAY_NOT_FOUND"
    assert not (await other.ListReplays(pb.ListReplaysRequest())).operations
    assert (await done(one, name)).HasField("response")


async def test_a_caller_has_one_replay_at_a_time(offering: Ledger, audits: Audits) -> None:
    stub = audits(auditor(offering))
    first = (await stub.StartReplay(started())).operation.name
    found = await refused(stub.StartReplay(started()))
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "REPLAY_RUNNING")
    assert found.retry_after_s is not None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await report(stub, first)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await done(stub, first)
    second = (await stub.StartReplay(started())).operation.name
    assert (await done(stub, second)).HasField("response")


async def test_a_cancelled_replay_ends_and_frees_its_place(offering: Ledger, audits: Audits) -> None:
    stub = audits(auditor(offering))
    first = (await stub.StartReplay(started())).operation.name
    await stub.CancelReplay(pb.CancelReplayRequest(name=first))
    operation = await done(stub, first)
    assert operation.error.reason == "REPLAY_CANCELLED"
    second = (await stub.StartReplay(started())).operation.name
    ended = await done(stub, second)
    assert ended.HasField("response")
    assert (await stub.CancelReplay(pb.CancelReplayRequest(name=second))).operation == ended


async def test_after_a_kill_a_replay_is_gone_on_with(offering: Ledger, audits: Audits) -> None:
    who = auditor(offering)
    stub = audits(who)
    name = (await stub.StartReplay(started())).operation.name
    work = offering.directory / "replays" / name.removeprefix("replays/")
    deadline = time.monotonic() + 30
    while not (work / "replay.sqlite3").exists():  # the replay's own process has begun
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    offering.kill()
    await asyncio.to_thread(restart, offering)
    await opened(offering)
    operation = await done(audits(who), name)
    assert operation.response.verdict == pb.REPLAY_VERDICT_CLEAN
    assert operation.metadata.runs == 2
    assert not work.exists()


async def test_one_that_never_ends_is_told_as_aborted(offering: Ledger, audits: Audits) -> None:
    """As if ten services had died over it."""
    who = auditor(offering)
    name = (await audits(who).StartReplay(started())).operation.name
    offering.kill()
    engine = create_async_engine(parse_url(offering.database_url))
    async with engine.begin() as connection:
        change = text(
            "UPDATE replay_operation SET runs = 10, state = 'RUNNING', lease_until_ms = 0 WHERE id = :id"
        )
        await connection.execute(change, {"id": name.removeprefix("replays/")})
    await engine.dispose()
    await asyncio.to_thread(restart, offering)
    await opened(offering)
    assert (await done(audits(who), name)).error.reason == "REPLAY_ABORTED"


async def test_a_tampered_database_is_told(offering: Ledger, audits: Audits) -> None:
    stub = audits(auditor(offering))
    engine = create_async_engine(parse_url(offering.database_url))
    async with engine.begin() as connection:
        before = await connection.scalar(text("SELECT time FROM chain_block WHERE number = 3"))
        await connection.execute(text("UPDATE chain_block SET time = time + 1 WHERE number = 3"))
    try:
        name = (await stub.StartReplay(started())).operation.name
        operation = await done(stub, name)
        assert operation.response.verdict == pb.REPLAY_VERDICT_DIFFERENT
        (difference,) = json.loads(await report(stub, name))["differences"]
        assert (difference["table"], difference["key"], difference["field"]) == (
            "chain_block",
            "number=3",
            "time",
        )
    finally:
        async with engine.begin() as connection:
            change = text("UPDATE chain_block SET time = :time WHERE number = 3")
            await connection.execute(change, {"time": before})
        await engine.dispose()


async def test_a_replay_is_another_process_at_a_lower_priority(offering: Ledger, audits: Audits) -> None:
    stub = audits(auditor(offering))
    name = (await stub.StartReplay(started())).operation.name
    assert offering.process is not None
    deadline = time.monotonic() + 30
    nices: set[int] = set()
    while not nices:
        assert time.monotonic() < deadline
        nices = {nice for nice in map(_nice, _children(offering.process.pid)) if nice}
        await asyncio.sleep(0)
    assert nices == {10}
    await done(stub, name)


def _children(pid: int) -> list[int]:
    """Processes that any of its threads started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the thread has ended meanwhile
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _nice(pid: int) -> int:
    try:
        return os.getpriority(os.PRIO_PROCESS, pid)
    except ProcessLookupError:
        return 0


async def test_without_a_directory_none_are_offered(offering: Ledger) -> None:
    offering.stop()
    offering.start()
    try:
        await opened(offering)
        async with channel(offering.address, auditor(offering)) as connection:
            found = await refused(audit_rpc.AuditServiceStub(connection).StartReplay(started()))
        assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REPLAY_NOT_OFFERED")
    finally:
        offering.stop()
        restart(offering)
