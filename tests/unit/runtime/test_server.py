"""The server: mTLS, authentication, validation, error translation, health, reflection, rotation, drain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from silkledger.chain.v1 import chain_pb2
from silkledger.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from silkledger.runtime.errors import Code, FieldViolation, ServiceError
from silkledger.runtime.server import NamedWorker, WorkerDied
from tests.support.grpc_clients import channel, channel_without_certificate, refusal_of
from tests.support.pki import TestCa
from tests.unit.runtime.serving import DID, NAME, Probe, refused, running, stub


async def test_the_caller_is_the_certificates_did_with_its_roles(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID, "agency", "auditor"))
        async with opened:
            answer = await ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest())
        assert answer.checkpoint == f"{DID} ['agency', 'auditor']"
        assert f'"address": "127.0.0.1:{server.port}"' in (tmp_path / "ready.json").read_text()


async def test_no_client_certificate_gets_no_connection(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async with (
        running(ca, tmp_path, probe) as server,
        channel_without_certificate(f"127.0.0.1:{server.port}", ca.pem) as opened,
    ):
        call = ledger_pb2_grpc.LedgerServiceStub(opened).GetCheckpoint(ledger_pb2.GetCheckpointRequest())
        told = await refused(call)
    assert told.code is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_ca_gets_no_connection(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    stranger = TestCa().organisation(DID)
    identity = type(stranger)(stranger.certificate, stranger.key, ca.pem)
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, identity)
        async with opened:
            told = await refused(ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest()))
    assert told.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("urn:silkledger:role:agency",),
        (DID, DID[:-1] + "2"),
        (DID, "urn:silkledger:role:king"),
        ("did:ethr:x",),
    ],
)
async def test_a_certificate_without_one_good_did_is_unauthenticated(
    ca: TestCa, tmp_path: Path, probe: Probe, uris: tuple[str, ...]
) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.client(*uris))
        async with opened:
            told = await refused(ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest()))
    assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CLIENT_CERTIFICATE_REQUIRED")
    assert not probe.entered.is_set()


async def test_the_wire_contract_is_checked_before_the_handler(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            await ledger.GetReceipt(ledger_pb2.GetReceiptRequest(statement_id=bytes(32)))
            told = await refused(ledger.GetReceipt(ledger_pb2.GetReceiptRequest(statement_id=b"short")))
            call = chain_pb2.SignedCall(
                actor=b"x", target=bytes(20), request_id=bytes(32), deadline=1, gas=30000
            )
            nested = await refused(
                ledger.RelayCall(chain_pb2.RelayCallRequest(request_id="no", call=call)),
            )
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert told.violations == (("statement_id", "BYTES_LEN"),)
    assert {field for field, _ in nested.violations} == {
        "request_id",
        "call.actor",
        "call.data",
        "call.signature",
    }


async def test_bytes_that_are_no_message_are_refused(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, _ = stub(server, ca.organisation(DID))
        async with opened:
            call = opened.unary_unary(f"/{NAME}/GetReceipt", None, None)
            told = await refused(call(b"\x0a\xff"))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert told.violations == (("", "NOT_PROTOBUF"),)


async def test_an_expected_error_arrives_with_all_its_details(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    probe.error = ServiceError(
        "SAMPLE_REASON",
        "full",
        code=Code.RESOURCE_EXHAUSTED,
        violations=[FieldViolation("a[1].b", "BAD", "is bad")],
        retry_after_s=0.25,
        metadata={"k": "v"},
    )
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            told = await refused(ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest()))
    assert told.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (told.reason, told.domain, told.metadata) == ("SAMPLE_REASON", "silkledger", {"k": "v"})
    assert told.violations == (("a[1].b", "BAD"),)
    assert told.retry_after_s == 0.25


async def test_a_fault_is_told_without_its_text(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    probe.error = RuntimeError("password=hunter2")
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest())
    told = refusal_of(caught.value)
    assert (told.code, told.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert set(told.metadata) == {"correlation_id"}
    assert "hunter2" not in str(caught.value)


async def test_every_message_of_a_stream_is_validated(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            call = ledger.Subscribe()
            start = ledger_pb2.SubscribeStart(consumer="desk")
            await call.write(ledger_pb2.SubscribeRequest(start=start))
            first = await call.read()
            assert first.gap.reason == "desk"
            await call.write(ledger_pb2.SubscribeRequest())
            told = await refused(call.read())
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_one_connection_carries_thousands_of_streams(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            calls = [ledger.Subscribe() for _ in range(2000)]
            start = ledger_pb2.SubscribeRequest(start=ledger_pb2.SubscribeStart(consumer="desk"))
            async with asyncio.timeout(60):
                for call in calls:
                    await call.write(start)
                for call in calls:  # all of them are open at once
                    assert (await call.read()).gap.reason == "desk"
            for call in calls:
                call.cancel()


async def test_health_follows_its_checks(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    well = True

    async def check() -> str | None:
        return None if well else "the node does not answer"

    async with (
        running(ca, tmp_path, probe, checks={"node": check}) as server,
        channel(f"127.0.0.1:{server.port}", ca.client()) as opened,
    ):
        health = health_pb2_grpc.HealthStub(opened)
        for name in ("", NAME):
            await server.health.update()
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        well = False
        await server.health.update()
        for name in ("", NAME):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.health.problems == {"node": "the node does not answer"}


async def test_health_does_not_serve_before_its_first_checks(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    asked, answer_now = asyncio.Event(), asyncio.Event()

    async def check() -> str | None:
        asked.set()
        await answer_now.wait()
        return None

    async with (
        running(ca, tmp_path, probe, checks={"node": check}) as server,
        channel(f"127.0.0.1:{server.port}", ca.client()) as opened,
    ):
        await asked.wait()
        health = health_pb2_grpc.HealthStub(opened)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        answer_now.set()


async def test_a_check_that_raises_counts_as_failed(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async def check() -> str | None:
        raise ConnectionError

    async with running(ca, tmp_path, probe, checks={"node": check}) as server:
        assert await server.health.update() is False
        assert server.health.problems == {"node": "ConnectionError"}


async def test_draining_lets_a_call_in_flight_end_and_tells_health_first(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    probe.release.clear()
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            call = asyncio.ensure_future(ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest()))
            await asyncio.wait_for(probe.entered.wait(), 5)
            stopping = asyncio.create_task(server.stop(grace_s=5))
            await asyncio.sleep(0)
            probe.release.set()
            assert (await call).checkpoint.startswith(DID)
            await stopping


async def test_a_deadline_cancels_the_handler(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    probe.release.clear()
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            told = await refused(ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest(), timeout=0.2))
    assert told.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_certificates_are_rotated_without_restart(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async with running(ca, tmp_path, probe) as server:
        successor = TestCa("Sample next CA")
        successor.server().write(tmp_path)
        opened, ledger = stub(server, successor.organisation(DID))
        async with opened:
            answer = await ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest())
            assert answer.checkpoint.startswith(DID)
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            told = await refused(ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest()))
    assert told.code is grpc.StatusCode.UNAVAILABLE


async def test_a_worker_that_dies_is_told(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async def dies(_stop: asyncio.Event) -> None:
        raise ValueError("broken")

    async with running(ca, tmp_path, probe, workers=[NamedWorker("lane", dies)]) as server:
        with pytest.raises(WorkerDied, match="lane") as caught:
            await asyncio.wait_for(server.wait(asyncio.Event()), 5)
    assert isinstance(caught.value.__cause__, ValueError)
