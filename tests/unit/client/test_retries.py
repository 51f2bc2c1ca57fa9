"""Retries against a real server that fails on purpose: the same request again, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client import Connection, LedgerClient, RpcFailed
from silkledger.client.ledger import NotReached, batches
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.values import StatementId


def _status(code: grpc.StatusCode, message: str, *details: Message) -> object:
    packed = []
    for detail in details:
        item = AnyMessage()
        item.Pack(detail)
        packed.append(item)
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message=message, details=packed))


class Faulty(rpc.LedgerServiceServicer):
    """Answers with the given failures first, then accepts. Keeps every request."""

    def __init__(self, *failures: object) -> None:
        self.failures = list(failures)
        self.requests: list[pb.RegisterStatementsRequest] = []
        self.stages = [chain.EVIDENCE_STAGE_ACCEPTED]

    async def RegisterStatements(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        self.requests.append(request)
        if self.failures:
            await context.abort_with_status(self.failures.pop(0))
        return pb.RegisterStatementsResponse(promise=b"promise")

    async def GetStatement(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        return pb.GetStatementResponse(statement=pb.Statement(stage=stage))


@asynccontextmanager
async def _served(
    servicer: Faulty, *, patience: float = 10.0
) -> AsyncIterator[tuple[LedgerClient, list[float]]]:
    server = grpc.aio.server()
    rpc.add_LedgerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async with Connection(f"127.0.0.1:{port}", None, patience=patience, sleep=note) as connection:
        yield LedgerClient(connection), pauses
    await server.stop(None)


_UNAVAILABLE = _status(grpc.StatusCode.UNAVAILABLE, "restarting")


async def test_repeats_the_identical_request() -> None:
    servicer = Faulty(_UNAVAILABLE, _UNAVAILABLE)
    async with _served(servicer) as (ledger, pauses):
        response = await ledger.register([b"one", b"two"])
    assert response.promise == b"promise"
    assert len(servicer.requests) == 3
    assert len({request.SerializeToString() for request in servicer.requests}) == 1
    assert servicer.requests[0].request_id
    assert len(pauses) == 2


async def test_a_call_that_a_stopping_server_cut_off_is_repeated() -> None:
    servicer = Faulty(_status(grpc.StatusCode.CANCELLED, "stopping"))
    async with _served(servicer) as (ledger, _):
        assert (await ledger.register([b"one"])).promise == b"promise"
    first, second = servicer.requests
    assert first == second, "under the same request id"


async def test_a_call_that_is_cancelled_here_is_not_repeated() -> None:
    class Hanging(Faulty):
        entered = asyncio.Event()

        async def RegisterStatements(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
            self.requests.append(request)
            self.entered.set()
            await asyncio.Event().wait()

    servicer = Hanging()
    async with _served(servicer) as (ledger, pauses):
        call = asyncio.create_task(ledger.register([b"one"]))
        await asyncio.wait_for(servicer.entered.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert (len(servicer.requests), pauses) == (1, [])


async def test_retry_info_is_honoured() -> None:
    delay = Duration(seconds=3, nanos=250_000_000)
    full = _status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "queue full", error_details_pb2.RetryInfo(retry_delay=delay)
    )
    async with _served(Faulty(full)) as (ledger, pauses):
        await ledger.register([b"one"])
    assert pauses == [3.25]


async def test_a_delay_beyond_patience_is_not_waited_for() -> None:
    delay = Duration(seconds=60)
    full = _status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "queue full", error_details_pb2.RetryInfo(retry_delay=delay)
    )
    servicer = Faulty(full)
    async with _served(servicer) as (ledger, pauses):
        with pytest.raises(RpcFailed) as caught:
            await ledger.register([b"one"])
    assert caught.value.retry_after_s == 60
    assert caught.value.retryable
    assert pauses == []
    assert len(servicer.requests) == 1


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ],
)
async def test_nothing_else_is_repeated(code: grpc.StatusCode) -> None:
    servicer = Faulty(_status(code, "no"))
    async with _served(servicer) as (ledger, _):
        with pytest.raises(RpcFailed) as caught:
            await ledger.register([b"one"])
    assert caught.value.code is code
    assert len(servicer.requests) == 1


async def test_error_details_become_typed() -> None:
    refused = _status(
        grpc.StatusCode.INVALID_ARGUMENT,
        "high s",
        error_details_pb2.ErrorInfo(reason="HIGH_S", domain="silkledger", metadata={"index": "0"}),
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field="statements[0]", description="s is high")
            ]
        ),
    )
    async with _served(Faulty(refused)) as (ledger, _):
        with pytest.raises(RpcFailed) as caught:
            await ledger.register([b"one"])
    error = caught.value
    assert (error.reason, error.metadata) == ("HIGH_S", {"index": "0"})
    assert [(v.field, v.description) for v in error.violations] == [("statements[0]", "s is high")]
    assert error.to_json()["reason"] == "HIGH_S"


async def test_an_unreachable_service_is_unavailable_after_patience() -> None:
    async with Connection("127.0.0.1:1", None, patience=0.3) as connection:
        with pytest.raises(RpcFailed) as caught:
            await LedgerClient(connection).checkpoint()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert caught.value.reason == ""


async def test_waiting_for_a_stage() -> None:
    servicer = Faulty()
    servicer.stages = [
        chain.EVIDENCE_STAGE_ACCEPTED,
        chain.EVIDENCE_STAGE_LOGGED,
        chain.EVIDENCE_STAGE_FINAL,
    ]
    async with _served(servicer) as (ledger, _):
        (found,) = await ledger.wait_for_stage([StatementId(bytes(32))], chain.EVIDENCE_STAGE_ANCHORED)
    assert found.stage == chain.EVIDENCE_STAGE_FINAL


async def test_waiting_has_an_end() -> None:
    async with _served(Faulty()) as (ledger, _):
        with pytest.raises(NotReached, match="not final"):
            await ledger.wait_for_stage([StatementId(bytes(32))], chain.EVIDENCE_STAGE_FINAL, seconds=0.1)


def test_batches_keep_order_and_limits() -> None:
    statements = [bytes([index % 256]) * (index % 5000 + 1) for index in range(2500)]
    found = list(batches(statements))
    assert [item for batch in found for item in batch] == statements
    assert all(len(batch) <= 1000 and sum(map(len, batch)) <= 3 * 1024 * 1024 for batch in found)
    assert list(batches([])) == []
