"""The event stream when the chain is reorganised, the service is killed or stopped, or limits are reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.runtime.db import parse_url
from tests.support.anvil import FAST, eventually
from tests.support.event_streams import Consumer, ended, place_of, positions_of
from tests.support.grpc_clients import channel
from tests.support.postgres import *  # noqa: F403

from .conftest import BILL, TH, Founded, Ledger, accreditation, found, opened

NEVER_S = 100_000.0
"""Block time of a chain that makes blocks only when the test asks."""


class Chain:
    """A chain whose every block the test makes."""

    def __init__(self, embedded: EmbeddedChain) -> None:
        self.embedded = embedded

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await asyncio.to_thread(self.embedded.rpc, "evm_mine")

    async def reorganise(self, depth: int) -> None:
        """Replace the newest blocks by as many empty ones; their transactions are forgotten."""
        await asyncio.to_thread(self.embedded.rpc, "anvil_reorg", depth, [])

    @asynccontextmanager
    async def mining(self) -> AsyncIterator[None]:
        """Blocks come by themselves meanwhile."""

        async def drive() -> None:
            while True:
                await self.mine()
                await asyncio.sleep(0.02)

        driving = asyncio.create_task(drive())
        try:
            yield
        finally:
            driving.cancel()
            await asyncio.wait({driving})


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    embedded = EmbeddedChain(tmp_path / "chain", block_time_s=NEVER_S)
    embedded.start()
    yield Chain(embedded)
    embedded.stop()


@pytest.fixture
async def quiet(chain: Chain, tmp_path: Path, database_url: str) -> AsyncIterator[Ledger]:
    """A service on the chain of the test."""
    async with chain.mining():
        founded = await found(chain.embedded.url)
        (tmp_path / "ledger").mkdir()
        ledger = Ledger(founded, tmp_path / "ledger", database_url)
        await asyncio.to_thread(ledger.start, UNACKNOWLEDGED_LIMIT="100")
        await opened(ledger)
    yield ledger
    await asyncio.to_thread(ledger.stop)


@asynccontextmanager
async def connected(ledger: Ledger) -> AsyncIterator[Any]:
    async with channel(ledger.address, ledger.identity(ledger.founded.agency, "agency")) as opened_channel:
        yield rpc.LedgerServiceStub(opened_channel)


async def accredit(founded: Founded, issuer: Account) -> None:
    """Hand the node an accreditation; it waits for the next block."""
    node, authority = JsonRpcNode(founded.url, FAST), founded.authorities["TH"]
    registry = founded.network.address("TrustRegistry")
    transaction = Transaction(
        await node.chain_id(),
        await node.nonce(authority.address),
        0,
        2_000_000,
        registry,
        accreditation(issuer, TH, BILL),
    )
    signed = await sign_transaction(LocalSigner(authority), transaction)
    await node.send_raw(signed.raw)
    await node.close()


async def test_a_reorg_is_told_and_the_events_of_the_new_branch_are_delivered(
    quiet: Ledger, chain: Chain
) -> None:
    wish: dict[str, Any] = {"event_names": ["Accredited"], "confirm_acknowledgements": True}
    issuer = Account.generate()
    async with connected(quiet) as stub:
        watching = await Consumer(stub, **wish).begin()
        final = await Consumer(stub, final_only=True, **wish).begin()
        gone = await Consumer(stub, **wish).begin()
        for consumer in (watching, final, gone):
            await consumer.acknowledge((await consumer.event()).cursor)  # the founding's own
            await consumer.next_of("acknowledged")

        await accredit(quiet.founded, issuer)
        await chain.mine()
        lost = await watching.event()
        assert await gone.event() == lost
        await gone.acknowledge(lost.cursor)  # its checkpoint is in a block that will not last
        assert await gone.next_of("acknowledged") == lost.cursor
        gone.call.cancel()

        await chain.reorganise(1)
        await chain.mine()
        retracted = await watching.next_of("retracted")
        assert retracted.ancestor.number == lost.block.number - 1
        assert retracted.cursor.block_hash == retracted.ancestor.hash
        await watching.acknowledge(lost.cursor)  # sent before the consumer knew: void, and no error
        await watching.acknowledge(retracted.cursor)
        assert await watching.next_of("acknowledged") == retracted.cursor

        await accredit(quiet.founded, issuer)
        await chain.mine()
        again = await watching.event()
        assert (again.name, again.arguments_json) == (lost.name, lost.arguments_json)
        assert again.block.hash != lost.block.hash

        late = await Consumer(stub, gone.name, **wish).begin()
        gap = (await late.item()).gap
        assert getattr(gap, "from").block_number < lost.block.number
        assert (await late.event()) == again

        waiting = asyncio.ensure_future(final.event())
        await chain.mine(1)  # one block on it: not final
        await watching.acknowledge(again.cursor)
        await watching.next_of("acknowledged")
        assert not waiting.done()
        await chain.mine(1)
        assert await waiting == again
        for consumer in (watching, final, late):
            assert await consumer.finish() is grpc.StatusCode.OK


async def test_what_a_killed_service_had_committed_is_not_delivered_again(
    quiet: Ledger, chain: Chain
) -> None:
    async with connected(quiet) as stub:
        consumers = [await Consumer(stub, confirm_acknowledgements=True).begin() for _ in range(10)]
        durable, sent = {}, {}
        for consumer in consumers:
            events = await consumer.events(6)
            for event in events[:3]:
                await consumer.acknowledge(event.cursor)
            durable[consumer.name] = await consumer.next_of("acknowledged")
            for event in events[3:5]:  # whether these are committed nobody was told
                await consumer.acknowledge(event.cursor)
            sent[consumer.name] = [event.cursor for event in events]
        await asyncio.to_thread(quiet.kill)
    await asyncio.to_thread(quiet.start, UNACKNOWLEDGED_LIMIT="100")
    await opened(quiet)
    async with connected(quiet) as stub:
        for consumer in consumers:
            again = await Consumer(stub, consumer.name).begin()
            cursors = sent[consumer.name]
            first = cursors.index((await again.event()).cursor)
            assert cursors.index(durable[consumer.name]) < first <= 5
            rest = [event.cursor for event in await again.events(5 - first)]
            assert rest == cursors[first + 1 :]
            assert await again.finish() is grpc.StatusCode.OK


async def test_a_stopping_service_ends_its_streams_at_once(quiet: Ledger, chain: Chain) -> None:
    async with connected(quiet) as stub:
        consumer = await Consumer(stub).begin()
        events = await consumer.events(3)
        await consumer.acknowledge(events[1].cursor)
        async with asyncio.timeout(8):  # draining waits ten seconds for calls that do not end
            await asyncio.to_thread(quiet.stop)
        told = await ended(consumer)
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_STOPPING")
        assert told.retry_after_s is not None
    await asyncio.to_thread(quiet.start)
    async with chain.mining():
        await opened(quiet)
    async with connected(quiet) as stub:
        again = await Consumer(stub, consumer.name).begin()
        first = (await again.event()).cursor
        assert place_of(first) in (place_of(events[0].cursor), place_of(events[2].cursor))
        again.call.cancel()


async def test_no_more_streams_than_allowed(quiet: Ledger, chain: Chain) -> None:
    await asyncio.to_thread(quiet.stop)
    await asyncio.to_thread(quiet.start, STREAM_LIMIT="3", ORGANISATION_STREAM_LIMIT="2")
    await opened(quiet)
    stranger = quiet.identity(Account.generate(), "bank")
    async with connected(quiet) as mine, channel(quiet.address, stranger) as theirs_channel:
        theirs = rpc.LedgerServiceStub(theirs_channel)
        first, second = await Consumer(mine).begin(), await Consumer(mine).begin()
        await first.event()
        await second.event()
        told = await ended(await Consumer(mine).begin())
        assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAMS_EXHAUSTED")
        assert told.retry_after_s is not None
        third = await Consumer(theirs).begin()
        await third.event()
        told = await ended(await Consumer(theirs).begin())
        assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STREAMS_EXHAUSTED")
        newer = await Consumer(mine, first.name).begin()  # takes the place of its own older stream
        await newer.event()
        assert (await ended(first)).reason == "CONSUMER_TAKEN_OVER"
        assert await second.finish() is grpc.StatusCode.OK
        fourth = await Consumer(theirs).begin()  # there is room again
        await fourth.event()


async def test_consumers_far_behind_are_served_from_the_archive(quiet: Ledger, chain: Chain) -> None:
    await asyncio.to_thread(quiet.stop)
    await chain.mine(80)
    await asyncio.to_thread(quiet.start, UNACKNOWLEDGED_LIMIT="10000", EVENT_WINDOW_BLOCKS="4")
    await opened(quiet)
    expected = await positions_of(quiet.founded, "TrustRegistry", 1)
    assert len(expected) >= 5
    async with connected(quiet) as stub:
        wish: dict[str, Any] = {"contracts": ["TrustRegistry"]}
        consumers = [await Consumer(stub, **wish).begin() for _ in range(30)]
        for consumer in consumers:
            progress = await consumer.caught_up()
            assert progress.cursor.block_number >= 80
            told = [event.cursor.block_number << 32 | event.cursor.log_index for event in consumer.kept()]
            assert told == expected
        await accredit(quiet.founded, Account.generate())
        await chain.mine()
        fresh = [(await consumer.events(len(expected) + 1))[-1] for consumer in consumers]
        assert len({place_of(event.cursor) for event in fresh}) == 1
        for consumer in consumers:
            assert await consumer.finish() is grpc.StatusCode.OK


async def test_an_altered_archive_ends_the_streams_and_not_the_service(quiet: Ledger, chain: Chain) -> None:
    await asyncio.to_thread(quiet.stop)
    engine = create_async_engine(parse_url(quiet.database_url))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE chain_block SET header = receipts WHERE number = 5"))
    await engine.dispose()
    await asyncio.to_thread(quiet.start)
    async with connected(quiet) as stub:

        async def told() -> bool:
            consumer = await Consumer(stub).begin()
            error = await ended(consumer)
            assert error.reason == "CHAIN_NOT_FOLLOWED"
            return "was altered" in str(await consumer.call.details())

        async def follows() -> bool:
            return bool((await stub.GetNetwork(pb.GetNetworkRequest())).head.number > 5)

        await eventually(told, "the stream says why")
        await eventually(follows, "the service goes on")
