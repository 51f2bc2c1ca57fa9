"""Random chains: a proof returns exactly the events emitted, and no tampering leaves a good answer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from silkledger.evidence.completeness import BlockReceipts, CompletenessProof
from silkledger.evidence.header import EngineKind
from silkledger.evidence.receipts import EventLog, Receipt, bloom_of, decode_receipt
from tests.unit.evidence.event_world import OTHER, EventWorld, block_of, other_event, transfer
from tests.unit.evidence.qbft_chain import validators

LOGS = st.one_of(
    st.integers(0, 2**64).map(transfer),
    st.integers(0, 9).map(lambda value: transfer(value, OTHER)),
    st.just(other_event()),
)
BLOCKS = st.dictionaries(
    st.integers(10, 18), st.lists(st.lists(LOGS, max_size=3), max_size=4).map(lambda logs: block_of(*logs))
)


@st.composite
def worlds(draw: st.DrawFn) -> EventWorld:
    first = draw(st.integers(11, 17))
    return EventWorld(
        engine=draw(st.sampled_from(list(EngineKind))),
        members=validators(1),
        blocks=draw(BLOCKS),
        first=first,
        last=draw(st.integers(first, 17)),
    )


def emitted(world: EventWorld) -> list[tuple[int, int, EventLog]]:
    """Told by the world itself, in order."""
    return [
        (number, index, log)
        for number in range(world.first, world.last + 1)
        for index, receipt in enumerate(world.blocks.get(number, ()))
        for log in receipt.logs
        if log.address == world.question.contract and log.topics[0] == world.question.topic
    ]


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_the_events_are_those_that_were_emitted(world: EventWorld) -> None:
    answer = world.verify()
    assert answer.verdict.outcome.good, answer.verdict.checks
    found = [(event.block.number, event.transaction_index, event.log) for event in answer.events]
    assert found == emitted(world)


def silenced(receipt: Receipt, place: int) -> Receipt:
    """The receipt without one of its logs, made consistent in itself."""
    logs = receipt.logs[:place] + receipt.logs[place + 1 :]
    return replace(receipt, logs=logs, logs_bloom=bloom_of(logs))


def changed(receipt: Receipt, place: int) -> Receipt:
    """The receipt with other data in one of its logs."""
    other = replace(receipt.logs[place], data=receipt.logs[place].data + b"\0")
    return replace(receipt, logs=(*receipt.logs[:place], other, *receipt.logs[place + 1 :]))


def tampered(proof: CompletenessProof, data: st.DataObject) -> CompletenessProof:
    """One log of the proof dropped or altered."""
    places = [
        (position, index, place)
        for position, block in enumerate(proof.blocks)
        for index, value in enumerate(block.receipts)
        for place in range(len(decode_receipt(value).logs))
    ]
    assume(places)
    position, index, place = data.draw(st.sampled_from(places))
    how = data.draw(st.sampled_from([silenced, changed]))
    block = proof.blocks[position]
    values = list(block.receipts)
    values[index] = how(decode_receipt(values[index]), place).encode()
    other = BlockReceipts(block.number, tuple(values))
    return replace(proof, blocks=(*proof.blocks[:position], other, *proof.blocks[position + 1 :]))


@settings(max_examples=80, deadline=None)
@given(worlds(), st.data())
def test_no_log_can_be_dropped_or_altered(world: EventWorld, data: st.DataObject) -> None:
    answer = world.verify(tampered(world.proof(), data))
    assert not answer.verdict.outcome.good
    assert answer.events == ()


@settings(max_examples=60, deadline=None)
@given(worlds(), st.data())
def test_no_part_can_be_left_out(world: EventWorld, data: st.DataObject) -> None:
    proof = world.proof()
    parts = ["header", *(["block"] if proof.blocks else [])]
    if data.draw(st.sampled_from(parts)) == "header":
        gone = data.draw(st.integers(0, len(proof.headers) - 1))
        number = world.headers[0].number if world.engine is EngineKind.QBFT else world.first
        # Without seals the last header is the pinned one, with seals the first: nothing vouches without it.
        fewer = replace(proof, headers=proof.headers[:gone] + proof.headers[gone + 1 :])
        if world.engine is EngineKind.QBFT:
            assume(gone == 0 or number + gone >= world.first)
    else:
        gone = data.draw(st.integers(0, len(proof.blocks) - 1))
        fewer = replace(proof, blocks=proof.blocks[:gone] + proof.blocks[gone + 1 :])
    assert not world.verify(fewer).verdict.outcome.good


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 2**20), st.integers(1, 255))
def test_no_single_byte_can_change(world: EventWorld, position: int, flip: int) -> None:
    data = bytearray(world.proof().encode())
    data[position % len(data)] ^= flip
    assert not world.verify(bytes(data)).verdict.outcome.good
