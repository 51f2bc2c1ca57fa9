"""kill -9 loses nothing and doubles nothing; an older backup is noticed; refusals at start."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from tests.support.grpc_clients import channel
from tests.support.node_proxy import Fault, NodeProxy

from .conftest import ROOT, Founded, Ledger, id_of, opened, reached, refused, register


@pytest.fixture
async def own(founded: Founded, database_url: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    """A service of the test's own, on either database, to be killed."""
    service = Ledger(founded, tmp_path, database_url)
    await asyncio.to_thread(service.start)
    await opened(service)
    yield service
    await asyncio.to_thread(service.stop)


@pytest.fixture
async def own_sqlite(founded: Founded, tmp_path: Path) -> AsyncIterator[Ledger]:
    service = Ledger(founded, tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite")
    await asyncio.to_thread(service.start)
    await opened(service)
    yield service
    await asyncio.to_thread(service.stop)


async def until_answered(service: Ledger, request: Any) -> Any:
    """Call again and again, as a client does that lost the reply; other refusals are failures."""
    while True:
        async with channel(service.address, service.identity(service.founded.agency)) as opened_channel:
            try:
                return await rpc.LedgerServiceStub(opened_channel).RegisterStatements(request)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED):
                    raise
        await asyncio.sleep(0.1)


async def test_killed_in_the_middle_nothing_is_lost_and_nothing_is_doubled(own: Ledger) -> None:
    requests = [register(*(own.statement(own.founded.agency) for _ in range(20))) for _ in range(12)]
    calls = [asyncio.create_task(until_answered(own, request)) for request in requests]
    for _ in range(2):
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert done
        own.kill()
        await asyncio.to_thread(own.start)
    responses = await asyncio.gather(*calls)
    async with channel(own.address, own.identity(own.founded.agency, "auditor")) as opened_channel:
        stub = rpc.LedgerServiceStub(opened_channel)
        for request, response in zip(requests, responses, strict=True):
            ids = [bytes(id_of(raw)) for raw in request.statements]
            assert [item.statement_id for item in response.statements] == ids
            await reached(stub, ids[-1], chain.EVIDENCE_STAGE_FINAL)
        leaves = [
            entry.leaf for entry in (await stub.ListEntries(pb.ListEntriesRequest(page_size=1000))).entries
        ]
    assert sorted(leaves) == sorted(raw for request in requests for raw in request.statements)
    assert (await own.rows())["idempotency"] == len(requests)


def restore(folder: Path) -> None:
    """Put the backup in the place of the database."""
    for extra in ("-wal", "-shm"):
        (folder / f"ledger.sqlite{extra}").unlink(missing_ok=True)
    shutil.copy(folder / "backup", folder / "ledger.sqlite")


@pytest.mark.parametrize("slow", [0, 1], ids=["", "a node that is slow to say where its chain ends"])
async def test_an_older_backup_halts_the_log(
    own_sqlite: Ledger, proxy: NodeProxy, tmp_path: Path, slow: int
) -> None:
    """Before it halts it takes nothing either, however long the node needs to say that there is more."""
    own = own_sqlite
    proxy.spoil(Fault.TIME_OUT, slow, "eth_blockNumber")

    async def register_one() -> None:
        raw = own.statement(own.founded.agency)
        async with channel(own.address, own.identity(own.founded.agency)) as opened_channel:
            stub = rpc.LedgerServiceStub(opened_channel)
            await stub.RegisterStatements(register(raw))
            await reached(stub, bytes(id_of(raw)), chain.EVIDENCE_STAGE_FINAL)

    await register_one()
    await asyncio.to_thread(own.stop)
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "backup")
    await asyncio.to_thread(own.start)
    await opened(own)
    await register_one()
    await asyncio.to_thread(own.stop)
    await asyncio.to_thread(restore, tmp_path)

    await asyncio.to_thread(own.start, NODE_URL=proxy.url)
    async with channel(own.address, own.identity(own.founded.agency)) as opened_channel:
        stub = rpc.LedgerServiceStub(opened_channel)
        deadline = asyncio.get_running_loop().time() + 30
        while (
            told := await refused(stub.RegisterStatements(register(own.statement(own.founded.agency))))
        ).reason == ("CHAIN_NOT_FOLLOWED"):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
        assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LOG_HALTED")
        health = health_pb2_grpc.HealthStub(opened_channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert proxy.spoilt[Fault.TIME_OUT] == slow


def refused_start(service: Ledger, **change: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "services.ledger"],
        cwd=ROOT,
        env=service.environment(**change),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2, result.stderr
    return result.stderr


async def test_a_second_owner_production_mode_and_another_chain_are_refused_at_start(
    own_sqlite: Ledger, tmp_path: Path
) -> None:
    assert "owned by another running process" in await asyncio.to_thread(refused_start, own_sqlite)
    elsewhere = f"sqlite:///{tmp_path}/other.sqlite"
    told = await asyncio.to_thread(refused_start, own_sqlite, DATABASE_URL=elsewhere, MODE="production")
    assert "must not run in production mode" in told
    told = await asyncio.to_thread(
        refused_start, own_sqlite, DATABASE_URL=elsewhere, GENESIS_HASH="0x" + "11" * 32
    )
    assert "another genesis" in told
    told = await asyncio.to_thread(refused_start, own_sqlite, DATABASE_URL="", ORIGIN="")
    assert "SILKLEDGER_DATABASE_URL: is required; " in told
    assert "SILKLEDGER_ORIGIN: is required" in told
    assert "DEVELOPMENT ONLY" in own_sqlite.log
