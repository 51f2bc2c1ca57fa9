"""The server: mTLS, authentication, validation, error translation, health, reflection, rotation, drain."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from silkledger.chain.v1 import chain_pb2
from silkledger.ledger.v1 import ledger_pb2, ledger_pb2_grpc
from silkledger.runtime import calls
from silkledger.runtime.auth import caller
from silkledger.runtime.errors import Code, FieldViolation, ServiceError
from silkledger.runtime.intake import SMALL
from silkledger.runtime.server import NamedWorker, Server, Service, WorkerDied
from silkledger.runtime.settings import ServerSettings
from tests.support.grpc_clients import channel, channel_without_certificate, refusal_of
from tests.support.pki import TestCa

DID = "did:ethr:0x1c95:0x" + "11" * 20
NAME = "silkledger.ledger.v1.LedgerService"


class Probe(ledger_pb2_grpc.LedgerServiceServicer):
    """Answers with the caller, or raises what the test put in."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.registering = 0
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()

    async def GetCheckpoint(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.entered.set()
        await self.release.wait()
        if self.error is not None:
            raise self.error
        identity = caller()
        return ledger_pb2.GetCheckpointResponse(checkpoint=f"{identity.did} {sorted(identity.roles)}")

    async def RegisterStatements(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.registering += 1
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return ledger_pb2.RegisterStatementsResponse()

    async def GetReceipt(self, request: Any, context: Any) -> Any:  # noqa: N802
        return ledger_pb2.GetReceiptResponse()

    async def Subscribe(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            yield ledger_pb2.SubscribeResponse(gap=ledger_pb2.Gap(reason=request.start.consumer))


@pytest.fixture(scope="module")
def ca() -> TestCa:
    return TestCa()


@pytest.fixture
def probe() -> Probe:
    return Probe()


@asynccontextmanager
async def running(
    ca: TestCa, directory: Path, probe: Probe, limits: dict[str, Any] | None = None, **parts: Any
) -> AsyncIterator[Server]:
    cert, key, authority = ca.server().write(directory)
    settings = ServerSettings(
        database_url="sqlite:///unused",
        tls_cert=cert,
        tls_key=key,
        tls_ca=authority,
        ready_file=directory / "ready.json",
        **(limits or {}),
    )
    add: Callable[[grpc.aio.Server], None] = lambda server: (  # noqa: E731
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(probe, server)
    )
    server = await Server.start(
        settings, [Service(NAME, add, large_requests=("RegisterStatements",))], **parts
    )
    try:
        yield server
    finally:
        await server.stop(grace_s=2)


def stub(server: Server, identity: Any) -> tuple[grpc.aio.Channel, Any]:
    opened = channel(f"127.0.0.1:{server.port}", identity)
    return opened, ledger_pb2_grpc.LedgerServiceStub(opened)


async def refused(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


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


async def test_large_requests_wait_for_room_and_too_many_are_refused(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    probe.release.clear()
    large = ledger_pb2.RegisterStatementsRequest(request_id=str(uuid.UUID(int=1)), statements=[bytes(SMALL)])
    limits = {"intake_bytes": SMALL, "intake_waiting_bytes": 2 * SMALL}
    async with running(ca, tmp_path, probe, limits) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            sent = [ledger.RegisterStatements(large) for _ in range(3)]
            done, waiting = await asyncio.wait(
                [asyncio.ensure_future(_outcome(call)) for call in sent], return_when=asyncio.FIRST_COMPLETED
            )
            (told,) = [task.result() for task in done]
            assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "INTAKE_FULL")
            assert told.retry_after_s is not None
            assert probe.registering == 1, "one is worked on, the other waits"
            await ledger.GetReceipt(ledger_pb2.GetReceiptRequest(statement_id=bytes(32)))
            probe.release.set()
            assert [await task for task in waiting] == [None, None]


async def test_a_large_request_is_refused_before_it_is_read(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    """Its client learns the reason all the same, however much it still had to send."""
    probe.release.clear()
    huge = ledger_pb2.RegisterStatementsRequest(
        request_id=str(uuid.UUID(int=1)), statements=[bytes(64_000)] * 60
    )
    limits = {"intake_bytes": SMALL, "intake_waiting_bytes": 0}
    async with running(ca, tmp_path, probe, limits) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            told = await _outcome(ledger.RegisterStatements(huge))
            assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "INTAKE_FULL")
            assert probe.registering == 0


async def test_who_calls_without_a_request_is_told(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, _ = stub(server, ca.organisation(DID))
        async with opened:
            call = opened.stream_unary(f"/{NAME}/RegisterStatements", None, None)
            told = await _outcome(call(iter(())))
    assert told.violations == (("", "NO_REQUEST"),)


async def test_who_sends_too_slowly_is_told(
    ca: TestCa, tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "RECEIVE_S", 0.1)

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with running(ca, tmp_path, probe) as server:
        opened, _ = stub(server, ca.organisation(DID))
        async with opened:
            call = opened.stream_unary(f"/{NAME}/RegisterStatements", None, None)
            told = await _outcome(call(never()))
    assert told.violations == (("", "TOO_SLOW"),)


@contextmanager
def collecting() -> Iterator[list[Any]]:
    """What only the cycle collector freed meanwhile, known at the end."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.disable()
    found: list[Any] = []
    try:
        yield found
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize(
    "error", [ServiceError("SAMPLE", "no", code=Code.ABORTED), RuntimeError("fault"), None]
)
async def test_a_call_leaves_nothing_for_the_collector(
    ca: TestCa, tmp_path: Path, probe: Probe, error: Exception | None
) -> None:
    """The collector looks rarely: a request that waited for it would take memory until then."""
    probe.error = error
    request = ledger_pb2.RegisterStatementsRequest(request_id=str(uuid.UUID(int=1)), statements=[bytes(99)])
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            await _outcome(ledger.RegisterStatements(request))
            with collecting() as found:
                for call in (
                    ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest()),
                    ledger.RegisterStatements(request),
                ):
                    assert (await _outcome(call) is None) is (error is None)
                assert await _outcome(ledger.GetReceipt(ledger_pb2.GetReceiptRequest())) is not None
                await asyncio.sleep(0.1)
    left = [type(item).__name__ for item in found]
    assert not {"RPCState", "AbortError", "frame"}.intersection(left)


async def test_large_requests_are_forgotten_with_their_calls(
    ca: TestCa, tmp_path: Path, probe: Probe
) -> None:
    size, many = 1_000_000, 60
    large = ledger_pb2.RegisterStatementsRequest(
        request_id=str(uuid.UUID(int=1)), statements=[bytes(size // 20)] * 20
    )
    async with running(ca, tmp_path, probe) as server:
        opened, ledger = stub(server, ca.organisation(DID))
        async with opened:
            for _ in range(3):
                await ledger.RegisterStatements(large)
            with collecting():
                before = resident()
                for _ in range(many):
                    await ledger.RegisterStatements(large)
                grown = resident() - before
    assert grown < many * size / 3


def resident() -> int:
    """Bytes of memory that this process has for itself."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line)
    return int(line.split()[1]) * 1024


def test_what_is_left_for_the_collector_would_be_seen() -> None:
    class RPCState:
        pass

    with collecting() as found:
        state = RPCState()
        state.itself = state  # type: ignore[attr-defined]
        del state
    assert any(type(item).__name__ == "RPCState" for item in found)


async def _outcome(call: Any) -> Any:
    """None for OK, else how it was refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)


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
