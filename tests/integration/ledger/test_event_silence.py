"""A consumer that falls silent loses its place; one that is only slow keeps it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from tests.support.event_streams import Consumer, ended
from tests.support.grpc_clients import channel
from tests.support.mute_proxy import MuteProxy

from .conftest import Founded, Ledger, opened

KEEPALIVE_S = 1
LOST_WITHIN_S = 2 * KEEPALIVE_S + 3.0
"""Asked after one time of silence, closed after another; and three seconds for a busy machine."""


@pytest.fixture
def ledger(founded: Founded, tmp_path: Path) -> Iterator[Ledger]:
    """With two places for the organisation."""
    (tmp_path / "ledger").mkdir()
    made = Ledger(founded, tmp_path / "ledger", f"sqlite:///{tmp_path}/ledger.sqlite")
    made.start(KEEPALIVE_S=str(KEEPALIVE_S), ORGANISATION_STREAM_LIMIT="2")
    yield made
    made.stop()


async def taken(stub: Any) -> bool:
    """Whether every place is taken."""
    tried = await Consumer(stub).begin()
    with suppress(grpc.aio.AioRpcError):
        await tried.event()
        tried.call.cancel()
        return False
    assert await tried.call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return True


async def test_a_silent_consumer_loses_its_place_and_a_slow_one_keeps_it(ledger: Ledger) -> None:
    await opened(ledger)
    who = ledger.identity(ledger.founded.agency, "agency")
    proxy = MuteProxy(ledger.address)
    async with (
        proxy.running(),
        channel(proxy.address, who) as muted,
        channel(ledger.address, who) as slow_channel,
        channel(ledger.address, who) as other,
    ):
        silent = await Consumer(rpc.LedgerServiceStub(muted)).begin()
        slow = await Consumer(rpc.LedgerServiceStub(slow_channel)).begin()
        await silent.event()
        first = await slow.event()
        stub = rpc.LedgerServiceStub(other)
        assert await taken(stub)
        proxy.speaking.clear()
        muted_at = time.monotonic()
        while await taken(stub):
            assert time.monotonic() - muted_at < LOST_WITHIN_S, "the silent one keeps its place"
            await asyncio.sleep(0.1)
        took = time.monotonic() - muted_at
        assert took > KEEPALIVE_S, "it was not given the time to answer"

        # The slow one has read and acknowledged nothing meanwhile, for longer than the silent one was given.
        await asyncio.sleep(max(0.0, muted_at + LOST_WITHIN_S - time.monotonic()))
        third = await Consumer(stub).begin()
        await third.event()
        assert await taken(stub), "the slow one has lost its place"
        await slow.acknowledge(first.cursor)
        assert await slow.finish() is grpc.StatusCode.OK
        third.call.cancel()
        proxy.speaking.set()
        told = await ended(silent)
        assert told.code is grpc.StatusCode.UNAVAILABLE
