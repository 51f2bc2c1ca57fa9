"""The event stream of a real service on a real chain: delivery, acknowledgement, filters, limits, ends."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import grpc
import pytest

from silkledger.evm.node import JsonRpcNode
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.values import Did
from tests.support.anvil import FAST
from tests.support.event_streams import Consumer, ended, place_of

from .conftest import BILL, TH, UNACKNOWLEDGED_LIMIT, Connect, Ledger, accreditation, refused, send

BLOCK_DONE = 2**32 - 1


async def accredit(ledger: Ledger, issuer: Account) -> int:
    """Two events of the TrustRegistry that name `issuer`; returns their block."""
    node = JsonRpcNode(ledger.founded.url, FAST)
    try:
        registry = ledger.founded.network.address("TrustRegistry")
        data = accreditation(issuer, TH, BILL)
        return await send(node, ledger.founded.authorities["TH"], registry, data)
    finally:
        await node.close()


async def test_events_resume_after_what_was_acknowledged(ledger: Ledger, agency: Any) -> None:
    first = await Consumer(agency, event_names=["Accredited"], confirm_acknowledgements=True).begin()
    event = await first.event()
    assert (event.name, event.contract_name) == ("Accredited", "TrustRegistry")
    assert event.contract == bytes(ledger.founded.network.address("TrustRegistry"))
    assert json.loads(event.arguments_json)["issuer"] == str(ledger.founded.agency.address)
    await first.acknowledge(event.cursor)
    assert await first.next_of("acknowledged") == event.cursor
    await accredit(ledger, Account.generate())
    second = await first.event()
    assert place_of(second.cursor) > place_of(event.cursor)
    first.call.cancel()  # between delivery and acknowledgement
    again = await Consumer(agency, first.name, event_names=["Accredited"]).begin()
    assert (await again.event()).cursor == second.cursor
    again.call.cancel()


async def test_a_stream_whose_requests_end_ends_with_its_acknowledgements_durable(
    ledger: Ledger, agency: Any
) -> None:
    consumer = await Consumer(agency).begin()
    events = await consumer.events(3)
    await consumer.acknowledge(events[1].cursor)
    assert await consumer.finish() is grpc.StatusCode.OK
    again = await Consumer(agency, consumer.name).begin()
    assert (await again.event()).cursor == events[2].cursor
    again.call.cancel()


async def test_a_consumer_that_acknowledges_nothing_waits_alone(ledger: Ledger, agency: Any) -> None:
    silent, prompt = await Consumer(agency).begin(), await Consumer(agency).begin()
    delivered = await silent.events(UNACKNOWLEDGED_LIMIT)
    following = asyncio.ensure_future(silent.event())
    for _ in range(2 * UNACKNOWLEDGED_LIMIT):  # meanwhile the other stream goes on
        await prompt.acknowledge((await prompt.event()).cursor)
    assert not following.done()
    await silent.acknowledge(delivered[0].cursor)
    assert place_of((await following).cursor) > place_of(delivered[-1].cursor)
    silent.call.cancel()
    prompt.call.cancel()


async def test_a_cursor_may_stand_inside_a_block_or_after_it(ledger: Ledger, agency: Any) -> None:
    block = await accredit(ledger, Account.generate())
    everything = await Consumer(agency, contracts=["TrustRegistry"]).begin()
    seen: list[pb.ChainEvent] = []
    while not seen or seen[-1].cursor.block_number < block:
        seen.append(await everything.event())
        await everything.acknowledge(seen[-1].cursor)
    seen.append(await everything.event())
    inside = seen[-2].cursor
    assert inside.block_number == seen[-1].cursor.block_number == block
    from_inside = await Consumer(agency, start=inside).begin()
    assert (await from_inside.event()).cursor == seen[-1].cursor
    before = pb.Cursor(
        block_number=seen[-3].cursor.block_number,
        log_index=BLOCK_DONE,
        block_hash=seen[-3].cursor.block_hash,
    )
    after_a_block = await Consumer(agency, start=before, contracts=["TrustRegistry"]).begin()
    assert (await after_a_block.event()).cursor == inside
    for consumer in (everything, from_inside, after_a_block):
        consumer.call.cancel()


async def test_a_cursor_of_another_chain_is_told_as_a_gap(ledger: Ledger, agency: Any) -> None:
    for number, log_index in ((3, 0), (3, BLOCK_DONE), (0, BLOCK_DONE)):
        stranger = pb.Cursor(block_number=number, log_index=log_index, block_hash=bytes(32))
        consumer = await Consumer(agency, start=stranger).begin()
        gap = (await consumer.item()).gap
        resume = getattr(gap, "from")
        assert resume.block_number == max(number - 1, 0)
        assert place_of((await consumer.event()).cursor) > place_of(resume)
        await consumer.acknowledge(resume)
        await consumer.acknowledge(stranger)
        assert (await ended(consumer)).reason == "CURSOR_NOT_DELIVERED"


async def test_a_cursor_ahead_of_the_service_is_to_be_tried_later(ledger: Ledger, agency: Any) -> None:
    ahead = pb.Cursor(block_number=2**32 - 1, log_index=0, block_hash=bytes(32))
    told = await ended(await Consumer(agency, start=ahead).begin())
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "CHAIN_NOT_FOLLOWED")
    assert told.retry_after_s is not None


async def test_a_stream_begins_with_start_and_only_once(ledger: Ledger, agency: Any) -> None:
    call = agency.Subscribe()
    await call.write(pb.SubscribeRequest(acknowledge=pb.Cursor(block_number=1, block_hash=bytes(32))))
    assert (await refused(call.read())).reason == "STREAM_ORDER"
    consumer = await (await Consumer(agency).begin()).begin()
    assert (await ended(consumer)).reason == "STREAM_ORDER"


async def test_final_events_only(ledger: Ledger, agency: Any) -> None:
    issuer = Account.generate()
    wish: dict[str, Any] = {"organisations": [str(ledger.did(issuer))], "final_only": True}
    consumer = await Consumer(agency, **wish).begin()
    await consumer.caught_up()
    await accredit(ledger, issuer)
    event = await consumer.event()
    network = await agency.GetNetwork(pb.GetNetworkRequest())
    assert event.cursor.block_number <= network.final.number
    consumer.call.cancel()


async def test_filters_pass_what_they_name_and_nothing_else(ledger: Ledger, agency: Any) -> None:
    one, other = Account.generate(), Account.generate()
    by_name = await Consumer(agency, organisations=[str(ledger.did(one))]).begin()
    value = "0x" + bytes(one.address).hex().upper()
    argument = pb.ArgumentFilter(name="issuer", values=[value, "0x00"])
    by_argument = await Consumer(agency, event_names=["Accredited"], arguments=[argument]).begin()
    nothing = await Consumer(agency, contracts=["LogAnchor"], organisations=[str(ledger.did(one))]).begin()
    for consumer in (by_name, by_argument, nothing):
        await consumer.caught_up()
        assert not consumer.kept()
    await accredit(ledger, other)
    await accredit(ledger, one)
    for consumer in (by_name, by_argument):
        event = await consumer.event()
        arguments = json.loads(event.arguments_json)
        assert (event.name, arguments["issuer"]) == ("Accredited", str(one.address))
    progress = await nothing.next_of("progress")  # it moves all the same
    assert progress.cursor.block_number >= 1
    assert not nothing.kept()
    for consumer in (by_name, by_argument, nothing):
        consumer.call.cancel()


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"event_names": ["Anchored", "Ancored"]}, "event_names"),
        ({"contracts": ["TrustRegister"]}, "contracts"),
        ({"contracts": ["LogAnchor"], "event_names": ["Accredited"]}, "event_names"),
        ({"arguments": [pb.ArgumentFilter(name="isuer", values=["1"])]}, "arguments"),
        ({"organisations": ["did:ethr:0x1:0x" + "1" * 40]}, "organisations[0]"),
        ({"organisations": ["did:example:1"]}, "organisations[0]"),
    ],
)
async def test_a_filter_that_nothing_can_pass_is_refused(
    ledger: Ledger, agency: Any, wish: dict[str, Any], field: str
) -> None:
    told = await ended(await Consumer(agency, **wish).begin())
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_UNKNOWN")
    assert told.violations == ((field, "FILTER_UNKNOWN"),)


async def test_a_consumer_of_rare_events_stays_near_the_head(ledger: Ledger, agency: Any) -> None:
    wish: dict[str, Any] = {
        "organisations": [str(ledger.did(Account.generate()))],
        "confirm_acknowledgements": True,
    }
    consumer = await Consumer(agency, **wish).begin()
    first = (await consumer.caught_up()).cursor
    later = await consumer.next_of("progress")
    assert later.cursor.block_number > first.block_number > 1
    assert later.cursor.log_index == BLOCK_DONE
    await consumer.acknowledge(later.cursor)
    assert await consumer.next_of("acknowledged") == later.cursor
    consumer.call.cancel()
    again = await Consumer(agency, consumer.name).begin()
    await accredit(ledger, Account.generate())
    assert (await again.event()).cursor.block_number > later.cursor.block_number
    again.call.cancel()


async def test_of_two_streams_of_one_consumer_the_newer_goes_on(ledger: Ledger, agency: Any) -> None:
    older = await Consumer(agency, confirm_acknowledgements=True).begin()
    events = await older.events(2)
    await older.acknowledge(events[0].cursor)
    await older.next_of("acknowledged")
    newer = await Consumer(agency, older.name).begin()
    assert (await newer.event()).cursor == events[1].cursor
    told = await ended(older)
    assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "CONSUMER_TAKEN_OVER")
    assert told.retry_after_s is None  # to come back by itself would end the newer one
    await newer.acknowledge(events[1].cursor)
    assert await newer.finish() is grpc.StatusCode.OK


async def test_the_same_name_of_another_organisation_is_another_consumer(
    ledger: Ledger, agency: Any, connect: Connect
) -> None:
    stranger = connect(ledger.identity(Account.generate(), "bank"))
    mine = await Consumer(agency).begin()
    first = await mine.event()
    await mine.acknowledge(first.cursor)
    theirs = await Consumer(stranger, mine.name).begin()
    assert (await theirs.event()).cursor == first.cursor
    assert (await mine.event()).cursor != first.cursor
    assert await mine.finish() is grpc.StatusCode.OK
    assert (await theirs.finish()) is grpc.StatusCode.OK


async def test_a_stream_ends_with_its_certificate(ledger: Ledger, connect: Connect) -> None:
    did = Did.of(ledger.founded.network.chain_id, Account.generate().address)
    until = time.time() + 4
    stub = connect(ledger.ca.organisation(did, "auditor", seconds=4))
    consumer = await Consumer(stub).begin()
    await consumer.event()
    told = await ended(consumer)
    assert time.time() >= until - 1  # certificates end at whole seconds
    assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CLIENT_CERTIFICATE_REQUIRED")
