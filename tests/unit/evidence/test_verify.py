"""The verdict on a good bundle, and on every way of making it bad that evidence has to withstand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from silkledger.evidence.bundle import Bundle, Contract, ContractState
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import prove_receipt
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.evidence.verdict import Assurance, CheckResult, Outcome
from silkledger.evidence.verify import verify_bundle
from silkledger.keys import PrivateKey
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.log.receipt import make_receipt
from silkledger.values import Address, CountryCode, Digest
from tests.unit.evidence.refusals import assert_fails, assert_undecided
from tests.unit.evidence.world import (
    CN,
    DOCUMENT,
    ORIGIN,
    START,
    World,
    log_private_key,
    origin_record,
)
from tests.unit.registry import records

DIGEST = Digest(sha256(DOCUMENT).digest())
NAMES = (
    "bundle",
    "network",
    "statement",
    "document",
    "blocks",
    "headers",
    "state",
    "anchor",
    "log_key",
    "checkpoint",
    "cosignatures",
    "receipt",
    "registration",
    "promise",
    "issuer_key",
    "statement_signature",
    "authority_known",
    "authority_in_force",
    "status_known",
    "status_in_force",
)


def test_a_good_bundle_on_an_engine_without_seals_is_never_a_production_pass() -> None:
    verdict = World().verify()
    assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY
    assert verdict.outcome.good
    assert verdict.assurance is Assurance.ENGINE_WITHOUT_SEALS
    assert tuple(check.name for check in verdict.checks) == NAMES
    assert verdict.as_of is not None
    assert (verdict.as_of.number, verdict.as_of.time) == (24, START + 24)
    assert verdict.reasons == (Reason.WITNESSES_NOT_PINNED, Reason.PROMISE_NOT_IN_BUNDLE)
    assert any("no commit seals" in sentence for sentence in verdict.assumptions)
    assert verdict.notices == ()


@pytest.mark.parametrize("as_of", [20, 21, 24])
def test_any_block_whose_header_is_there_can_be_asked_for(as_of: int) -> None:
    verdict = World().verify(as_of=as_of)
    assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY
    assert verdict.as_of is not None
    assert verdict.as_of.number == as_of


def test_the_registration_block_may_be_the_newest() -> None:
    assert World(as_of=20).verify().outcome is Outcome.PASS_DEVELOPMENT_ONLY


def test_other_blocks_cannot_be_asked_for() -> None:
    assert_undecided(World().verify(as_of=25), "blocks", Reason.AS_OF_NOT_IN_BUNDLE)
    assert_fails(World().verify(as_of=19), "blocks", Reason.AS_OF_BEFORE_REGISTRATION)


def test_nothing_pinned_is_incomplete() -> None:
    world = World()
    verdict = verify_bundle(DIGEST, world.evidence().encode(), world.roots([]))
    assert_undecided(verdict, "headers", Reason.BLOCK_NOT_PINNED)
    assert verdict.assurance is Assurance.UNSPECIFIED
    not_asked = {"cosignatures", "promise"}
    left = {check.name for check in verdict.checks if check.result is not CheckResult.PASS}
    assert left == {"headers"} | not_asked


def test_headers_with_a_gap_need_both_sides_pinned() -> None:
    world = World(sparse=True)
    bundle = world.evidence().encode()
    assert_undecided(verify_bundle(DIGEST, bundle, world.roots([24])), "headers", Reason.BLOCK_NOT_PINNED)
    verdict = verify_bundle(DIGEST, bundle, world.roots([20, 24]))
    assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY


def test_a_pinned_block_with_another_hash() -> None:
    world, other = World(), World(size=6)
    assert_fails(
        verify_bundle(DIGEST, world.evidence().encode(), other.roots()), "headers", Reason.BLOCK_PIN_MISMATCH
    )


def test_another_document() -> None:
    world = World()
    verdict = verify_bundle(Digest(bytes(32)), world.evidence().encode(), world.roots())
    assert_fails(verdict, "document", Reason.DOCUMENT_DIGEST)
    assert "says nothing about" in verdict.check("document").detail


@pytest.mark.parametrize("field", ["chain_id", "genesis_hash", "directory"])
def test_another_network(field: str) -> None:
    world = World()
    bundle = world.evidence()
    other = {"chain_id": 1, "genesis_hash": bundle.headers and type(bundle.network.genesis_hash)(bytes(32))}
    value = other.get(field, Address(bytes(20)))
    change: dict[str, Any] = {field: value}
    changed = replace(bundle, network=replace(bundle.network, **change))
    assert_fails(world.verify(changed), "network", Reason.NETWORK_MISMATCH)


def test_no_bundle_at_all() -> None:
    world = World()
    for data in (b"", b"\xa0", b"not a bundle", world.evidence().encode() + b"\x00"):
        verdict = verify_bundle(DIGEST, data, world.roots())
        assert_fails(verdict, "bundle", Reason.BUNDLE_MALFORMED if data != b"\xa0" else Reason.BUNDLE_VERSION)
        assert verdict.as_of is None
        assert {check.reason for check in verdict.checks[1:]} == {Reason.PREREQUISITE}


def test_the_relying_country_must_be_said_and_its_recognition_be_there() -> None:
    world = World()
    bundle = world.evidence().encode()
    silent = world.roots(relying=None)
    assert_undecided(verify_bundle(DIGEST, bundle, silent), "authority_known", Reason.RELYING_COUNTRY_MISSING)
    home = verify_bundle(DIGEST, bundle, silent, relying_country=CN)
    assert home.outcome is Outcome.PASS_DEVELOPMENT_ONLY
    laos = verify_bundle(DIGEST, bundle, silent, relying_country=CountryCode("LA"))
    assert_undecided(laos, "authority_known", Reason.HISTORY_NOT_IN_BUNDLE)


# Anchor and log


def test_a_receipt_moved_to_another_index() -> None:
    world = World()
    bundle = world.evidence()
    moved = replace(bundle, anchor=replace(bundle.anchor, transaction_index=0))
    assert_fails(world.verify(moved), "anchor", Reason.PROOF_NODE_HASH)
    absent = tuple(prove_receipt(world.receipts(), 0))
    beyond = replace(bundle, anchor=replace(bundle.anchor, transaction_index=2**40, receipt_proof=absent))
    assert world.verify(beyond).check("anchor").result is CheckResult.FAIL


def test_a_log_moved_to_another_receipt_or_place() -> None:
    world = World()
    bundle = world.evidence()
    other = tuple(prove_receipt(world.receipts(), 2))
    swapped = replace(
        bundle, anchor=replace(bundle.anchor, transaction_index=2, receipt_proof=other, log_index=0)
    )
    assert_fails(world.verify(swapped), "anchor", Reason.ANCHOR_EVENT)
    for index, reason in ((0, Reason.ANCHOR_EVENT), (2, Reason.ANCHOR_LOG_INDEX)):
        changed = replace(bundle, anchor=replace(bundle.anchor, log_index=index))
        assert_fails(world.verify(changed), "anchor", reason)


def test_an_anchor_block_whose_header_is_missing() -> None:
    world = World()
    bundle = world.evidence()
    for number in (19, 60):
        changed = replace(bundle, anchor=replace(bundle.anchor, block_number=number))
        assert_fails(world.verify(changed), "blocks", Reason.ANCHOR_BLOCK_MISSING)


def test_an_anchor_that_was_not_the_first_to_cover_the_leaf() -> None:
    assert_fails(World(previous_size=3).verify(), "registration", Reason.ANCHOR_NOT_FIRST)


@pytest.mark.parametrize("size", [4, 9])
def test_a_checkpoint_of_another_size_is_linked_by_a_consistency_proof(size: int) -> None:
    world = World(checkpoint_size=size)
    assert world.verify().outcome is Outcome.PASS_DEVELOPMENT_ONLY
    bundle = world.evidence()
    assert bundle.log.consistency is not None
    for path in (None, (), bundle.log.consistency[1:], (*bundle.log.consistency, bytes(32))):
        changed = replace(bundle, log=replace(bundle.log, consistency=path))
        assert_fails(world.verify(changed), "registration", Reason.SIZE_NOT_LINKED)


def test_a_consistency_proof_where_none_is_needed() -> None:
    world = World()
    bundle = world.evidence()
    changed = replace(bundle, log=replace(bundle.log, consistency=()))
    assert_fails(world.verify(changed), "registration", Reason.SIZE_NOT_LINKED)


def test_a_leaf_that_the_anchored_tree_does_not_have() -> None:
    world = World(size=5, leaf_index=6, checkpoint_size=9, previous_size=2)
    assert_fails(world.verify(), "registration", Reason.ANCHOR_DOES_NOT_COVER)


def _receipt(world: World, key: PrivateKey | None = None, **changes: object) -> bytes:
    tree = world.tree()
    given: dict[str, object] = {
        "origin": ORIGIN,
        "size": world.size,
        "index": world.leaf_index,
        "path": tree.inclusion_path(world.leaf_index, world.size),
        "root": tree.root(world.size),
    }
    return make_receipt(key or world.log_key, **(given | changes))  # type: ignore[arg-type]


def _with_receipt(world: World, receipt: bytes) -> Bundle:
    bundle = world.evidence()
    return replace(bundle, log=replace(bundle.log, receipt=receipt))


def test_inclusion_proofs_that_prove_nothing() -> None:
    world = World()
    path = world.tree().inclusion_path(2, 5)
    cases: list[tuple[dict[str, Any], Reason]] = [
        ({"size": 0, "path": []}, Reason.RECEIPT_SIZE_ZERO),
        ({"index": 5}, Reason.RECEIPT_INDEX),
        ({"path": [*path, bytes(32)]}, Reason.RECEIPT_PATH_TOO_LONG),
        ({"path": path[:-1]}, Reason.RECEIPT_PATH_TOO_SHORT),
        ({"path": [bytes(32), *path[1:]]}, Reason.RECEIPT_SIGNATURE),
    ]
    for changes, reason in cases:
        assert_fails(world.verify(_with_receipt(world, _receipt(world, **changes))), "receipt", reason)
    assert_fails(world.verify(_with_receipt(world, b"\xd2")), "receipt", Reason.RECEIPT_MALFORMED)


def test_a_receipt_of_a_neighbouring_size_that_also_leads_to_the_root() -> None:
    world = World(size=5)
    path = world.tree().inclusion_path(2, 5)
    verdict = world.verify(_with_receipt(world, _receipt(world, size=6, path=path)))
    assert_fails(verdict, "receipt", Reason.RECEIPT_SIZE)


def test_a_receipt_or_checkpoint_signed_by_another_log_key() -> None:
    world = World()
    other = log_private_key(2)
    assert_fails(world.verify(_with_receipt(world, _receipt(world, other))), "receipt", Reason.RECEIPT_KEY)
    bundle = world.evidence()
    note = sign_checkpoint(Checkpoint(ORIGIN, 5, world.tree().root(5)), other).encode()
    changed = replace(bundle, log=replace(bundle.log, checkpoint=note))
    assert_fails(world.verify(changed), "checkpoint", Reason.CHECKPOINT_KEY)
    elsewhere = sign_checkpoint(
        Checkpoint("log.example/other", 5, world.tree().root(5)), world.log_key
    ).encode()
    changed = replace(bundle, log=replace(bundle.log, checkpoint=elsewhere))
    assert_fails(world.verify(changed), "log_key", Reason.ORIGIN_MISMATCH)


def test_a_checkpoint_with_a_second_signature_line() -> None:
    world = World()
    bundle = world.evidence()
    note = bundle.log.checkpoint + bundle.log.checkpoint.split(b"\n\n")[1]
    changed = replace(bundle, log=replace(bundle.log, checkpoint=note))
    assert_fails(world.verify(changed), "log_key", Reason.CHECKPOINT_MALFORMED)


def test_a_log_registered_only_after_the_anchor() -> None:
    world = World()
    key = next(iter(world.histories[Contract.LOG_ANCHOR]))
    world.histories[Contract.LOG_ANCHOR][key] = [origin_record(21, world.log_key)]
    assert_fails(world.verify(), "log_key", Reason.ORIGIN_NOT_REGISTERED)


def test_a_pinned_log_must_be_the_registered_one() -> None:
    world = World()
    bundle = world.evidence().encode()
    good = PinnedLog(ORIGIN, str(LogVerifierKey.of(ORIGIN, world.log_key.verifying_key)))
    bad = PinnedLog(ORIGIN, str(LogVerifierKey.of(ORIGIN, log_private_key(2).verifying_key)))
    assert verify_bundle(DIGEST, bundle, replace(world.roots(), log=good)).outcome.good
    verdict = verify_bundle(DIGEST, bundle, replace(world.roots(), log=bad))
    assert_fails(verdict, "log_key", Reason.LOG_KEY_NOT_PINNED)


# State


def _with_state(
    bundle: Bundle, contract: Contract, change: Callable[[ContractState], ContractState]
) -> Bundle:
    states = tuple(change(state) if state.contract is contract else state for state in bundle.states)
    return replace(bundle, states=states)


def test_a_record_left_out_added_or_redated() -> None:
    world = World()
    world.status_record(records.document_status(22, 1, 22))
    bundle = world.evidence()

    def with_records(change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Bundle:
        def edit(state: ContractState) -> ContractState:
            history = state.histories[0]
            return replace(state, histories=(replace(history, records=change(history.records)),))

        return _with_state(bundle, Contract.DOCUMENT_STATUS, edit)

    changes: list[Callable[[tuple[Any, ...]], tuple[Any, ...]]] = [
        lambda items: (),
        lambda items: (*items, items[0]),
        lambda items: tuple(replace(item, block_number=99) for item in items),
    ]
    for change in changes:
        assert_fails(world.verify(with_records(change)), "state", Reason.HISTORY_HEAD)


def test_a_history_or_contract_left_out() -> None:
    world = World()
    bundle = world.evidence()
    without = replace(bundle, states=bundle.states[:-1])
    assert_undecided(world.verify(without), "status_known", Reason.HISTORY_NOT_IN_BUNDLE)


def test_a_contract_that_is_not_there() -> None:
    world = World()
    roots = world.roots()
    roots = replace(roots, contracts={**roots.contracts, "DocumentStatus": Address(b"\x99" * 20)})
    verdict = verify_bundle(DIGEST, world.evidence().encode(), roots)
    assert verdict.check("state").result is CheckResult.FAIL
    assert not verdict.outcome.good
