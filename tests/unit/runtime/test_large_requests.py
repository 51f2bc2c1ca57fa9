"""Large requests: read when there is room, refused before they are read, forgotten with their calls."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined] # not in the stubs

from silkledger.ledger.v1 import ledger_pb2
from silkledger.runtime import calls
from silkledger.runtime.errors import Code, ServiceError
from silkledger.runtime.intake import SMALL
from tests.support.pki import TestCa
from tests.unit.runtime.serving import DID, NAME, Probe, outcome, running, stub


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
                [asyncio.ensure_future(outcome(call)) for call in sent], return_when=asyncio.FIRST_COMPLETED
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
            told = await outcome(ledger.RegisterStatements(huge))
            assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "INTAKE_FULL")
            assert probe.registering == 0


async def test_who_calls_without_a_request_is_told(ca: TestCa, tmp_path: Path, probe: Probe) -> None:
    async with running(ca, tmp_path, probe) as server:
        opened, _ = stub(server, ca.organisation(DID))
        async with opened:
            call = opened.stream_unary(f"/{NAME}/RegisterStatements", None, None)
            told = await outcome(call(iter(())))
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
            told = await outcome(call(never()))
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
            await outcome(ledger.RegisterStatements(request))
            with collecting() as found:
                for call in (
                    ledger.GetCheckpoint(ledger_pb2.GetCheckpointRequest()),
                    ledger.RegisterStatements(request),
                ):
                    assert (await outcome(call) is None) is (error is None)
                assert await outcome(ledger.GetReceipt(ledger_pb2.GetReceiptRequest())) is not None
                await asyncio.sleep(0.1)
    left = [type(item).__name__ for item in found]
    assert not {cygrpc.RPCState.__name__, cygrpc.AbortError.__name__, "frame"}.intersection(left)


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
