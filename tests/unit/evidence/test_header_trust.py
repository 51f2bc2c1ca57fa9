"""Which headers are trusted, on an engine with seals and on one without."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from silkledger.evidence.header import EngineKind
from silkledger.evidence.header_trust import trust_headers
from silkledger.evidence.qbft_extra import decode_extra_data
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import Assurance, Outcome
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Digest
from tests.unit.evidence.qbft_chain import Draft, validators
from tests.unit.evidence.refusals import refused
from tests.unit.evidence.world import DOCUMENT, World

DIGEST = Digest(sha256(DOCUMENT).digest())
SEALED = World(engine=EngineKind.QBFT, first_header=10)


def test_replay_from_a_pinned_epoch_block() -> None:
    verdict = verify_bundle(DIGEST, SEALED.evidence().encode(), SEALED.roots([10]))
    assert verdict.outcome is Outcome.PASS
    assert verdict.assurance is Assurance.SEALED_BY_QUORUM
    assert any("replay" in sentence for sentence in verdict.assumptions)


def test_skip_from_any_pinned_block() -> None:
    world = World(engine=EngineKind.QBFT, first_header=10, sparse=True)
    assert len(world.headers()) == 4
    verdict = verify_bundle(DIGEST, world.evidence().encode(), world.roots([10]))
    assert verdict.outcome is Outcome.PASS
    assert any("skips" in sentence for sentence in verdict.assumptions)


def test_genesis_is_a_start_for_everybody() -> None:
    world = World(engine=EngineKind.QBFT, first_header=0, sparse=True)
    headers = world.headers()
    roots = replace(world.roots([]), genesis_hash=headers[0].hash)
    assert [header.number for header in headers] == [0, 19, 20, 24]
    assert trust_headers(headers, roots).assurance is Assurance.SEALED_BY_QUORUM
    with refused(Reason.BLOCK_PIN_MISMATCH):
        trust_headers(headers, world.roots([]))


def test_headers_before_the_pinned_one_are_reached_by_parent_hashes() -> None:
    trust = trust_headers(SEALED.headers(), SEALED.roots([24]))
    assert trust.assurance is Assurance.SEALED_BY_QUORUM
    gap = [header for header in SEALED.headers() if header.number != 22]
    with refused(Reason.LINEAGE_NO_START):
        trust_headers(gap, SEALED.roots([24]))


def test_seals_that_no_hash_covers_are_verified_as_well() -> None:
    pinned = SEALED.headers()[0]
    members = validators(4)
    unsealed = Draft(
        number=10,
        members=members,
        parent=bytes(pinned.parent_hash),
        timestamp=1_800_000_000,
        state_root=pinned.state_root,
        receipts_root=pinned.receipts_root,
    ).with_seals([])
    assert unsealed.hash == pinned.hash
    with refused(Reason.SEAL_QUORUM):
        trust_headers([unsealed, *SEALED.headers()[1:]], SEALED.roots([10]))


def test_without_a_pinned_header_the_lineage_starts_nowhere() -> None:
    with refused(Reason.LINEAGE_NO_START):
        trust_headers(SEALED.headers(), SEALED.roots([]))
    verdict = verify_bundle(DIGEST, SEALED.evidence().encode(), SEALED.roots([]))
    assert verdict.outcome is Outcome.INCOMPLETE


def test_two_of_four_seals_fail_the_bundle() -> None:
    world = World(engine=EngineKind.QBFT, first_header=10)
    last = world.headers()[-1]
    seals = decode_extra_data(last.extra_data).seals[:2]
    draft = Draft(
        number=last.number,
        members=world.members,
        parent=bytes(last.parent_hash),
        timestamp=1_800_000_000,
        state_root=last.state_root,
        receipts_root=last.receipts_root,
    )
    bundle = world.evidence()
    bundle = replace(bundle, headers=(*bundle.headers[:-1], draft.with_seals(seals).raw))
    verdict = verify_bundle(DIGEST, bundle.encode(), world.roots([10]))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.check("headers").reason == Reason.SEAL_QUORUM


def test_a_pin_that_contradicts_is_told_before_anything_else() -> None:
    other = World(engine=EngineKind.QBFT, first_header=10, size=6)
    with refused(Reason.BLOCK_PIN_MISMATCH):
        trust_headers(SEALED.headers(), other.roots([24]))


def test_headers_out_of_order_or_that_do_not_link() -> None:
    plain = World()
    headers = plain.headers()
    with refused(Reason.HEADER_ORDER):
        trust_headers(headers[::-1], plain.roots())
    with refused(Reason.HEADER_ORDER):
        trust_headers([headers[0], headers[0]], plain.roots())
    strange = World(size=6).headers()
    with refused(Reason.HEADER_PARENT):
        trust_headers([strange[0], *strange[1:2], *headers[2:]], plain.roots())
