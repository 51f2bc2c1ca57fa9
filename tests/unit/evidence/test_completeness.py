"""All events of a kind in a range, or a reason: every way in which a proof falls short has its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from silkledger import cbor
from silkledger.evidence.completeness import (
    BlockReceipts,
    CompletenessProof,
    EventQuestion,
    decode_completeness,
)
from silkledger.evidence.completeness_verdict import CompletenessVerdict, verify_completeness
from silkledger.evidence.header import EngineKind
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import Receipt, bloom_of
from silkledger.evidence.verdict import Assurance, Outcome
from silkledger.values import Address
from tests.unit.evidence.event_world import (
    CONTRACT,
    OTHER,
    TRANSFER,
    EventWorld,
    block_of,
    other_event,
    transfer,
)
from tests.unit.evidence.qbft_chain import validators
from tests.unit.evidence.refusals import assert_fails, assert_undecided, refused

PLAIN = EventWorld()
SEALED = EventWorld(engine=EngineKind.QBFT)


def found(answer: CompletenessVerdict) -> list[tuple[int, int, int, int, object]]:
    return [
        (e.block.number, e.transaction_index, e.log_index, e.receipt_log_index, (e.arguments or {})["value"])
        for e in answer.events
    ]


ALL = [(12, 0, 0, 0, 1), (12, 1, 2, 1, 2), (16, 1, 0, 0, 3)]


def fails(answer: CompletenessVerdict, check: str, reason: Reason) -> None:
    assert_fails(answer.verdict, check, reason)
    assert answer.events == ()


def test_all_events_are_returned_with_their_places_under_seals() -> None:
    answer = SEALED.verify()
    assert answer.verdict.outcome is Outcome.PASS, answer.verdict.checks
    assert answer.verdict.assurance is Assurance.SEALED_BY_QUORUM
    assert found(answer) == ALL
    assert answer.verdict.as_of is not None and answer.verdict.as_of.number == 17
    assert any("pinned block 10" in sentence for sentence in answer.trust_roots)
    assert any("blocks before 11 and after 17" in sentence for sentence in answer.not_checked)
    assert [check.name for check in answer.verdict.checks] == [
        "proof",
        "network",
        "question",
        "blocks",
        "headers",
        "receipts",
        "events",
    ]


def test_without_seals_it_is_development_only_and_rests_on_the_pinned_block() -> None:
    answer = PLAIN.verify()
    assert answer.verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY
    assert found(answer) == ALL
    nowhere = PLAIN.verify(roots=replace(PLAIN.roots(), pinned_blocks={}))
    assert_undecided(nowhere.verdict, "headers", Reason.BLOCK_NOT_PINNED)
    assert nowhere.events == ()


def test_only_blocks_whose_bloom_admits_the_event_carry_receipts() -> None:
    assert [block.number for block in PLAIN.proof().blocks] == [12, 15, 16]


def test_a_range_without_any_is_proven_as_well() -> None:
    empty = EventWorld(blocks={13: block_of([other_event()])})
    answer = empty.verify()
    assert answer.verdict.outcome.good
    assert answer.events == ()


def test_without_a_declaration_the_arguments_are_not_read_and_that_is_said() -> None:
    answer = verify_completeness(PLAIN.proof().encode(), PLAIN.roots(), PLAIN.question)
    assert [event.arguments for event in answer.events] == [None] * 3
    assert any("no declaration" in sentence for sentence in answer.not_checked)


def with_receipts(number: int, receipts: tuple[Receipt, ...], world: EventWorld = PLAIN) -> CompletenessProof:
    """The proof with other receipts in one block."""
    proof = world.proof()
    values = tuple(receipt.encode() for receipt in receipts)
    blocks = tuple(BlockReceipts(b.number, values) if b.number == number else b for b in proof.blocks)
    return replace(proof, blocks=blocks)


def without_block(proof: CompletenessProof, number: int) -> CompletenessProof:
    """The proof without the header of one block."""
    gone = next(
        header.raw
        for header in PLAIN.headers + SEALED.headers
        if header.number == number and header.raw in proof.headers
    )
    return replace(proof, headers=tuple(raw for raw in proof.headers if raw != gone))


@pytest.mark.parametrize("world", [PLAIN, SEALED], ids=["plain", "sealed"])
@pytest.mark.parametrize("number", [11, 14, 17])
def test_a_missing_block(world: EventWorld, number: int) -> None:
    fails(world.verify(without_block(world.proof(), number)), "blocks", Reason.RANGE_BLOCK_MISSING)


def test_a_range_that_ends_before_what_was_asked_or_is_another_one() -> None:
    shorter = replace(PLAIN.proof(), question=replace(PLAIN.question, last=16))
    fails(PLAIN.verify(shorter), "question", Reason.OTHER_RANGE)
    wider = replace(PLAIN.question, last=99)
    fails(PLAIN.verify(replace(PLAIN.proof(), question=wider), wider), "blocks", Reason.RANGE_BLOCK_MISSING)


def test_another_contract_or_event_than_asked_for() -> None:
    asked = replace(PLAIN.question, contract=OTHER)
    fails(PLAIN.verify(question=asked), "question", Reason.OTHER_CONTRACT)
    asked = replace(PLAIN.question, topic=b"\x01" * 32)
    fails(PLAIN.verify(question=asked), "question", Reason.OTHER_EVENT)


def test_another_network() -> None:
    fails(PLAIN.verify(roots=replace(PLAIN.roots(), chain_id=1)), "network", Reason.NETWORK_MISMATCH)


def test_receipts_that_were_altered() -> None:
    altered = block_of([transfer(9)], [other_event(), transfer(2)])
    fails(PLAIN.verify(with_receipts(12, altered)), "receipts", Reason.RECEIPTS_ROOT)
    swapped = block_of([other_event(), transfer(2)], [transfer(1)])
    fails(PLAIN.verify(with_receipts(12, swapped)), "receipts", Reason.RECEIPTS_ROOT)
    failed = tuple(replace(receipt, status=False) for receipt in PLAIN.blocks[12])
    fails(PLAIN.verify(with_receipts(12, failed)), "receipts", Reason.RECEIPTS_ROOT)
    silenced = replace(PLAIN.blocks[12][0], logs=())
    fails(PLAIN.verify(with_receipts(12, (silenced, PLAIN.blocks[12][1]))), "receipts", Reason.RECEIPT_BLOOM)


def test_receipts_that_were_left_out_or_put_in() -> None:
    first, second = PLAIN.blocks[12]
    fails(PLAIN.verify(with_receipts(12, (first,))), "receipts", Reason.RECEIPTS_LEFT_OUT)
    fails(PLAIN.verify(with_receipts(12, ())), "receipts", Reason.RECEIPTS_LEFT_OUT)
    fails(PLAIN.verify(with_receipts(12, (second,))), "receipts", Reason.RECEIPTS_ROOT)
    bare = (replace(first, logs=(), logs_bloom=bloom_of(())), second)
    fails(PLAIN.verify(with_receipts(16, PLAIN.blocks[16][:1])), "receipts", Reason.RECEIPTS_LEFT_OUT)
    fails(PLAIN.verify(with_receipts(12, bare)), "receipts", Reason.RECEIPTS_ROOT)
    more = (*PLAIN.blocks[12], second)
    fails(PLAIN.verify(with_receipts(12, more)), "receipts", Reason.RECEIPTS_ROOT)


def test_a_block_whose_bloom_admits_the_event_cannot_go_without_receipts() -> None:
    proof = PLAIN.proof()
    for number in (12, 15, 16):
        fewer = tuple(block for block in proof.blocks if block.number != number)
        fails(PLAIN.verify(replace(proof, blocks=fewer)), "receipts", Reason.RECEIPTS_MISSING)


def test_receipts_where_the_bloom_rules_the_event_out_or_outside_the_range() -> None:
    proof = PLAIN.proof()
    for number in (13, 18):
        values = tuple(receipt.encode() for receipt in PLAIN.blocks.get(number, ()))
        blocks = sorted((*proof.blocks, BlockReceipts(number, values)), key=lambda block: block.number)
        fails(PLAIN.verify(replace(proof, blocks=tuple(blocks))), "receipts", Reason.RECEIPTS_NOT_NEEDED)


def test_a_header_whose_bloom_is_not_that_of_its_receipts() -> None:
    full = EventWorld(blooms={12: b"\xff" * 256})
    fails(full.verify(), "receipts", Reason.RECEIPTS_BLOOM)


def test_what_a_lying_bloom_hides_is_said_to_rest_on_the_validators() -> None:
    """The limit of the proof: whoever vouches for a header vouches for its bloom."""
    hidden = EventWorld(blooms={12: bytes(256)})
    answer = hidden.verify()
    assert found(answer) == ALL[2:]
    assert any("blooms" in sentence for sentence in answer.verdict.assumptions)


def test_a_parent_that_does_not_match() -> None:
    other = EventWorld(blocks={**PLAIN.blocks, 14: block_of([other_event()])})
    proof = PLAIN.proof()
    raw = [header.raw for header in other.headers if header.number == 14]
    mixed = tuple(
        raw[0] if header.number == 14 else header.raw for header in PLAIN.headers if header.number >= 11
    )
    fails(PLAIN.verify(replace(proof, headers=mixed)), "headers", Reason.HEADER_PARENT)


def test_another_chain_than_the_pinned_one() -> None:
    other = EventWorld(blocks={12: PLAIN.blocks[12]})
    fails(other.verify(roots=PLAIN.roots()), "headers", Reason.BLOCK_PIN_MISMATCH)


def test_too_few_seals_and_other_validators() -> None:
    four = validators(4)
    short = EventWorld(engine=EngineKind.QBFT, special={14: lambda draft: draft.sealed(four[:2])})
    fails(short.verify(), "headers", Reason.SEAL_QUORUM)
    strangers = EventWorld(
        engine=EngineKind.QBFT, special={14: lambda d: replace(d, members=validators(4, 70)).sealed()}
    )
    fails(strangers.verify(), "headers", Reason.QBFT_VALIDATORS)
    fails(
        strangers.verify(
            roots=replace(strangers.roots(), pinned_blocks={11: strangers.headers[1].hash}),
            proof=replace(strangers.proof(), headers=tuple(h.raw for h in strangers.headers[1:-1])),
        ),
        "headers",
        Reason.LINEAGE_SKIP,
    )
    unpinned = SEALED.verify(roots=replace(SEALED.roots(), pinned_blocks={}))
    assert_undecided(unpinned.verdict, "headers", Reason.LINEAGE_NO_START)


def test_an_event_that_is_not_as_declared() -> None:
    """The same first topic, but one indexed argument less: another contract's kind of event."""
    log = replace(transfer(1), topics=transfer(1).topics[:2], data=bytes(32) + transfer(1).data)
    world = EventWorld(blocks={12: block_of([log])})
    fails(world.verify(), "events", Reason.EVENT_DECLARATION)
    assert verify_completeness(world.proof().encode(), world.roots(), world.question).verdict.outcome.good


@pytest.mark.parametrize("engine", list(EngineKind))
def test_no_byte_can_change(engine: EngineKind) -> None:
    """Every byte of a small proof: never a good answer, so never one with fewer or more events."""
    world = EventWorld(
        engine=engine,
        members=validators(1),
        blocks={12: PLAIN.blocks[12]},
        first=12,
        last=12,
        start=10,
        end=12,
    )
    data = world.proof().encode()
    assert world.verify(data).verdict.outcome.good
    survivors = []
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        if world.verify(bytes(changed)).verdict.outcome.good:
            survivors.append(position)
    assert survivors == []


def test_one_form_only() -> None:
    proof = PLAIN.proof()
    data = proof.encode()
    assert decode_completeness(data) == proof
    fields = cbor.decode(data)
    bad: list[object] = [
        {**fields, 1: 2},
        {**fields, 1: True},
        {**fields, 6: 0},
        {key: value for key, value in fields.items() if key != 5},
        {**fields, 3: {**fields[3], 3: 18}},
        {**fields, 3: {**fields[3], 3: 0}},
        {**fields, 3: {**fields[3], 1: bytes(19)}},
        {**fields, 3: {**fields[3], 4: 2**64 - 1, 5: 1}},
        {**fields, 4: [1]},
        {**fields, 5: fields[5][::-1]},
        {**fields, 5: [*fields[5], fields[5][-1]]},
        {**fields, 5: [[12]]},
        {**fields, 5: [[-1, []]]},
        [],
    ]
    for value in bad:
        with refused(Reason.PROOF_MALFORMED):
            decode_completeness(cbor.encode(value))
    for raw in (b"", data[:-1], data + b"\0", bytes(33 * 1024 * 1024)):
        with refused(Reason.PROOF_MALFORMED):
            decode_completeness(raw)


def test_a_question_is_about_some_blocks_after_genesis() -> None:
    for first, last in ((0, 5), (5, 4), (-1, 1)):
        with pytest.raises(ValueError):
            EventQuestion(CONTRACT, TRANSFER.topic, first, last)
    with pytest.raises(ValueError):
        EventQuestion(Address(bytes(20)), b"", 1, 1)
