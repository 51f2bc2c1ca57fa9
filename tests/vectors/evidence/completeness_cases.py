"""The questions of tests/vectors/evidence/completeness.json: a proof, trust roots, what is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from silkledger import cbor
from silkledger.evidence.completeness import BlockReceipts, CompletenessProof, EventQuestion
from silkledger.evidence.header import EngineKind
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import Receipt, bloom_of
from silkledger.evidence.trust_roots import TrustRoots
from tests.unit.evidence.event_world import OTHER, EventWorld, block_of, other_event, transfer
from tests.unit.evidence.qbft_chain import validators

REASONS = frozenset(
    {
        Reason.OTHER_CONTRACT,
        Reason.OTHER_EVENT,
        Reason.OTHER_RANGE,
        Reason.RANGE_BLOCK_MISSING,
        Reason.RECEIPTS_MISSING,
        Reason.RECEIPTS_NOT_NEEDED,
        Reason.RECEIPTS_LEFT_OUT,
        Reason.RECEIPTS_ROOT,
        Reason.RECEIPTS_BLOOM,
    }
)
"""Reasons that only such proofs give."""
PLAIN = EventWorld()
SEALED = EventWorld(engine=EngineKind.QBFT)


@dataclass(frozen=True, slots=True)
class Case:
    """One question. The expected answer is computed, and then committed."""

    name: str
    proof: bytes
    roots: TrustRoots
    question: EventQuestion


def cases() -> Iterator[Case]:
    yield from _good()
    yield from _form()
    yield from _questions()
    yield from _headers()
    yield from _receipts()


def _case(
    name: str,
    world: EventWorld,
    proof: CompletenessProof | bytes | None = None,
    *,
    question: EventQuestion | None = None,
    roots: TrustRoots | None = None,
) -> Case:
    given = world.proof() if proof is None else proof
    data = given if isinstance(given, bytes) else given.encode()
    return Case(name, data, roots or world.roots(), question or world.question)


def _good() -> Iterator[Case]:
    yield _case("plain", PLAIN)
    yield _case("sealed", SEALED)
    yield _case("sealed-skip", replace(SEALED, start=11))
    yield _case("sealed-pinned-after", SEALED, roots=SEALED.roots(17))
    yield _case("no-such-event", EventWorld(blocks={13: block_of([other_event()])}))
    yield _case("one-block", EventWorld(first=12, last=12))
    many = [[transfer(index)] for index in range(130)]
    yield _case("many-receipts", EventWorld(blocks={12: block_of(*many)}, first=12, last=12))
    no_topics = replace(transfer(1), topics=())
    yield _case("log-without-topics", EventWorld(blocks={12: block_of([no_topics], [transfer(2)])}))


def _form() -> Iterator[Case]:
    data = PLAIN.proof().encode()
    fields = cbor.decode(data)
    variants: Mapping[str, object] = {
        "version-2": {**fields, 1: 2},
        "key-6": {**fields, 6: 0},
        "key-5-missing": {key: value for key, value in fields.items() if key != 5},
        "range-empty": {**fields, 3: {**fields[3], 3: 18}},
        "range-from-genesis": {**fields, 3: {**fields[3], 3: 0}},
        "contract-short": {**fields, 3: {**fields[3], 1: bytes(19)}},
        "topic-long": {**fields, 3: {**fields[3], 2: bytes(33)}},
        "header-no-bytes": {**fields, 4: [1]},
        "blocks-descend": {**fields, 5: fields[5][::-1]},
        "block-twice": {**fields, 5: [fields[5][0], *fields[5]]},
        "block-of-one": {**fields, 5: [[12]]},
        "no-map": [],
    }
    for name, value in variants.items():
        yield _case(f"form-{name}", PLAIN, cbor.encode(value))
    yield _case("form-empty", PLAIN, b"")
    yield _case("form-cut", PLAIN, data[:-1])
    yield _case("form-trailing", PLAIN, data + b"\0")


def _questions() -> Iterator[Case]:
    asked = PLAIN.question
    yield _case("question-contract", PLAIN, question=replace(asked, contract=OTHER))
    yield _case("question-event", PLAIN, question=replace(asked, topic=b"\x01" * 32))
    yield _case("question-first", PLAIN, question=replace(asked, first=10))
    yield _case("question-last", PLAIN, question=replace(asked, last=16))
    yield _case("network-chain", PLAIN, roots=replace(PLAIN.roots(), chain_id=1))
    yield _case("network-genesis", PLAIN, roots=replace(PLAIN.roots(), genesis_hash=PLAIN.headers[0].hash))


def _without(world: EventWorld, number: int) -> CompletenessProof:
    proof = world.proof()
    gone = next(header.raw for header in world.headers if header.number == number)
    return replace(proof, headers=tuple(raw for raw in proof.headers if raw != gone))


def _headers() -> Iterator[Case]:
    for name, world in (("plain", PLAIN), ("sealed", SEALED)):
        for number in (11, 14, 17):
            yield _case(f"{name}-lacks-{number}", world, _without(world, number))
        proof = world.proof()
        yield _case(f"{name}-reversed", world, replace(proof, headers=proof.headers[::-1]))
        doubled = (*proof.headers[:3], *proof.headers[2:])
        yield _case(f"{name}-block-twice", world, replace(proof, headers=doubled))
        nothing = replace(world.roots(), pinned_blocks={})
        yield _case(f"{name}-nothing-pinned", world, roots=nothing)
        yield _case(f"{name}-no-headers", world, replace(proof, headers=()))
        yield _case(f"{name}-header-broken", world, replace(proof, headers=(b"\xc0", *proof.headers[1:])))
    yield _case("plain-lacks-pinned", PLAIN, _without(PLAIN, 18))
    other = EventWorld(blocks={**PLAIN.blocks, 14: block_of([other_event()])})
    mixed = [o if h.number == 14 else h for h, o in zip(PLAIN.headers, other.headers, strict=True)]
    raw = tuple(header.raw for header in mixed if header.number >= 11)
    yield _case("plain-other-block", PLAIN, replace(PLAIN.proof(), headers=raw))
    yield _case("plain-other-chain", other, roots=PLAIN.roots())
    four = validators(4)
    short = EventWorld(engine=EngineKind.QBFT, special={14: lambda d: d.sealed(four[:2])})
    yield _case("sealed-quorum", short)
    strangers = validators(4, first=70)
    special = {14: lambda d: replace(d, members=strangers).sealed()}
    yield _case("sealed-strangers", EventWorld(engine=EngineKind.QBFT, special=special))
    skipping = EventWorld(engine=EngineKind.QBFT, start=11, special=special)
    yield _case("sealed-strangers-skip", skipping)


def _with(number: int, *receipts: Receipt, world: EventWorld = PLAIN) -> CompletenessProof:
    proof = world.proof()
    values = tuple(receipt.encode() for receipt in receipts)
    blocks = tuple(BlockReceipts(b.number, values) if b.number == number else b for b in proof.blocks)
    return replace(proof, blocks=blocks)


def _receipts() -> Iterator[Case]:
    proof, (first, second) = PLAIN.proof(), PLAIN.blocks[12]
    silent = replace(first, logs=(), logs_bloom=bloom_of(()))
    variants = {
        "altered": _with(12, *block_of([transfer(9)], [other_event(), transfer(2)])),
        "failed": _with(12, replace(first, status=False), second),
        "swapped": _with(12, second, first),
        "left-out-last": _with(12, first),
        "left-out-first": _with(12, second),
        "left-out-all": _with(12),
        "put-in": _with(12, first, second, second),
        "silenced": _with(12, silent, second),
        "silenced-with-bloom": _with(12, replace(first, logs=()), second),
        "gas": _with(12, first, replace(second, cumulative_gas_used=41_999)),
        "typed-otherwise": _with(12, replace(first, tx_type=1), second),
    }
    for name, changed in variants.items():
        yield _case(f"receipts-{name}", PLAIN, changed)
    for number in (12, 15, 16):
        fewer = tuple(block for block in proof.blocks if block.number != number)
        yield _case(f"receipts-lack-{number}", PLAIN, replace(proof, blocks=fewer))
    for number in (13, 18):
        values = tuple(receipt.encode() for receipt in PLAIN.blocks.get(number, ()))
        blocks = sorted((*proof.blocks, BlockReceipts(number, values)), key=lambda block: block.number)
        yield _case(f"receipts-too-many-{number}", PLAIN, replace(proof, blocks=tuple(blocks)))
    for name, value in (("empty", b""), ("no-receipt", b"\xc0"), ("type", b"\x02"), ("rlp", b"\xf8\x00")):
        broken = (BlockReceipts(12, (value,)), *proof.blocks[1:])
        yield _case(f"receipt-{name}", PLAIN, replace(proof, blocks=broken))
    yield _case("bloom-full", EventWorld(blooms={12: b"\xff" * 256}))
    yield _case("bloom-hides", EventWorld(blooms={12: bytes(256)}))
