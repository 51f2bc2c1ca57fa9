"""The SDK's event stream before a real service that dies and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from silkledger.client import Connection, Credentials, EventStream, EventWish, Resumed, RpcFailed
from silkledger.client.events import EventItem
from silkledger.ledger.v1 import ledger_pb2 as pb

from .conftest import Ledger, opened

PATIENCE_S = 30.0


def credentials(ledger: Ledger, directory: Path) -> Credentials:
    certificate, key, ca = ledger.identity(ledger.founded.agency, "agency").write(directory)
    return Credentials(ca, certificate, key)


async def take(stream: EventStream, count: int, *, acknowledge: bool) -> list[pb.ChainEvent]:
    """So many events; nothing else may come but progress."""
    found: list[pb.ChainEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        async for item in stream:
            if isinstance(item, pb.ChainEvent):
                found.append(item)
            else:
                assert isinstance(item, pb.Progress)
            if acknowledge:
                stream.acknowledge(item)
            if len(found) == count:
                break
    return found


async def test_a_program_goes_on_after_what_it_acknowledged(ledger: Ledger, tmp_path: Path) -> None:
    name = f"program-{tmp_path.name}-{ledger.database_url[:6]}"
    async with Connection(ledger.address, credentials(ledger, tmp_path)) as connection:
        async with EventStream(connection, EventWish(name)) as stream:
            first = await take(stream, 3, acknowledge=True)
        # The block was left in order: all three are durable.
        lost: list[pb.ChainEvent] = []

        async def break_off() -> None:
            async with EventStream(connection, EventWish(name)) as stream:
                lost.extend(await take(stream, 2, acknowledge=False))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await break_off()
        async with EventStream(connection, EventWish(name)) as stream:
            again = await take(stream, 3, acknowledge=True)
        assert [event.cursor for event in again[:2]] == [event.cursor for event in lost]
        async with EventStream(connection, EventWish(name, start=first[0].cursor)) as stream:
            (chosen,) = await take(stream, 1, acknowledge=False)
        assert chosen.cursor == first[1].cursor


async def test_a_stream_outlives_the_service(ledger: Ledger, tmp_path: Path) -> None:
    address, seen = ledger.address, list[EventItem]()
    reached, killed = asyncio.Event(), asyncio.Event()

    async def follow(connection: Connection) -> None:
        async with EventStream(connection, EventWish(f"follower-{tmp_path.name}")) as stream:
            async for item in stream:
                seen.append(item)
                if not killed.is_set() and len(seen) <= 2:
                    stream.acknowledge(item)
                if len(seen) == 4:
                    reached.set()
                    await killed.wait()
                if any(isinstance(item, Resumed) for item in seen) and isinstance(item, pb.ChainEvent):
                    stream.acknowledge(item)
                    return

    async with Connection(address, credentials(ledger, tmp_path)) as connection:
        following = asyncio.create_task(follow(connection))
        async with asyncio.timeout(2 * PATIENCE_S):
            await reached.wait()
            await asyncio.to_thread(ledger.kill)
            killed.set()
            await asyncio.to_thread(ledger.start, LISTEN=address)
            await opened(ledger)
            await following
    events = [item for item in seen if isinstance(item, pb.ChainEvent)]
    resumed = next(item for item in seen if isinstance(item, Resumed))
    again = events[-1]
    before = [event.cursor for event in events[:-1]]
    assert again.cursor in before  # what was not durably acknowledged comes again
    assert resumed.after is None or resumed.after in before
    if resumed.after is not None:
        assert before.index(again.cursor) == before.index(resumed.after) + 1


async def test_a_refusal_is_raised_and_not_retried(ledger: Ledger, tmp_path: Path) -> None:
    async with Connection(ledger.address, credentials(ledger, tmp_path)) as connection:
        stream = EventStream(connection, EventWish("typo", event_names=["Ancored"]))
        with pytest.raises(RpcFailed) as caught:
            await anext(aiter(stream))
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_UNKNOWN")


async def test_who_was_taken_over_does_not_come_back(ledger: Ledger, tmp_path: Path) -> None:
    wish = EventWish(f"desk-{tmp_path.name}")
    async with Connection(ledger.address, credentials(ledger, tmp_path)) as connection:

        async def until_taken_over(started: asyncio.Event) -> None:
            async for _ in EventStream(connection, wish):
                started.set()

        started = asyncio.Event()
        older = asyncio.create_task(until_taken_over(started))
        async with asyncio.timeout(PATIENCE_S):
            await started.wait()
            async with EventStream(connection, wish) as newer:
                await take(newer, 1, acknowledge=True)
                with pytest.raises(RpcFailed) as caught:
                    await older
    assert caught.value.reason == "CONSUMER_TAKEN_OVER"
    assert not caught.value.retryable
