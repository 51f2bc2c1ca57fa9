"""Every way of cheating that evidence must withstand, in one table: each fails with its own reason code.

All on sealed blocks, where the same bundle untouched is a production PASS. Who signed twice at one height is
named by another proof: test_equivocation.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import rlp

from silkledger.evidence.bundle import Bundle, Contract
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import prove_receipt
from silkledger.evidence.trie import EMPTY_TRIE_ROOT
from silkledger.evidence.verdict import Assurance, CheckResult, Outcome, Verdict
from silkledger.log.receipt import make_receipt
from silkledger.registry.histories import accreditation_status_key
from silkledger.statement import parse_statement
from silkledger.values import BlockHash, Did
from tests.support.qbft_chain import EXTRA_DATA, Turn, Validator, keccak
from tests.unit.evidence.cheating import Case, edited
from tests.unit.evidence.cheating_documents import DOCUMENT_CASES, document, own_witness, witnessed
from tests.unit.evidence.manifest_world import ManifestWorld
from tests.unit.evidence.refusals import assert_fails
from tests.unit.evidence.sealed_world import AS_OF, FOUR, REGISTRATION, Items, SealedWorld
from tests.unit.evidence.witnesses import NAMES, pin, promise, with_cosignatures
from tests.unit.evidence.world import (
    CHAIN_ID,
    GRANT,
    ORIGIN,
    World,
    account,
    log_private_key,
)
from tests.unit.registry import records

FIFTH, STRANGER = Validator(90), Validator(91)
RECEIPTS_ROOT = 5


def sealed_by(*sealers: Validator) -> Callable[[], Verdict]:
    return lambda: SealedWorld(turns={AS_OF: Turn(sealers=sealers)}).verify()


def extra_data(edit: Callable[[Items], None]) -> Callable[[], Verdict]:
    """The newest header's extraData, edited after sealing."""

    def cheat() -> Verdict:
        world = SealedWorld()
        bundle = world.bundle()
        header = rlp.decode(bundle.headers[-1])
        items = rlp.decode(header[EXTRA_DATA])
        edit(items)
        header[EXTRA_DATA] = rlp.encode(items)
        return world.verify(replace(bundle, headers=(*bundle.headers[:-1], rlp.encode(header))))

    return cheat


def third_seal_over_round_1(items: Items) -> None:
    header = rlp.decode(SealedWorld().chain.headers[-1].raw)
    header[EXTRA_DATA] = rlp.encode([*items[:3], b"\x01", []])
    seals = items[4]
    assert isinstance(seals, list)
    seals[2] = FOUR[2].seal(keccak(rlp.encode(header)))


def padded_round(items: Items) -> None:
    items[3] = b"\x00"


VOTES = {
    number: Turn(proposer=voter, vote=(FIFTH, True))
    for number, voter in {8: FOUR[0], 9: FOUR[1], 11: FOUR[2]}.items()
}
"""Three votes for a fifth validator, two of them before epoch block 10."""


def vote_across_an_epoch() -> Verdict:
    return SealedWorld(turns=VOTES, counted_epoch=30_000).verify()


def no_receipts(number: int, items: Items) -> None:
    if number == REGISTRATION:
        items[RECEIPTS_ROOT] = EMPTY_TRIE_ROOT


def moved_receipt(_: World, bundle: Bundle) -> Bundle:
    return replace(bundle, anchor=replace(bundle.anchor, transaction_index=0))


def moved_log(world: World, bundle: Bundle) -> Bundle:
    proof = tuple(prove_receipt(world.receipts(), 2))
    return replace(
        bundle, anchor=replace(bundle.anchor, transaction_index=2, receipt_proof=proof, log_index=0)
    )


def log_receipt(hashes: int = 3, **changes: object) -> Callable[[], Verdict]:
    """A receipt of inclusion with so many path hashes (three are right), other parts changed, signed."""

    def edit(world: World, bundle: Bundle) -> Bundle:
        tree, size = world.tree(), world.size
        path = [*tree.inclusion_path(world.leaf_index, size), bytes(32)][:hashes]
        parts = {"size": size, "index": world.leaf_index, "path": path, "key": world.log_key} | changes
        receipt = make_receipt(origin=ORIGIN, root=tree.root(size), **parts)  # type: ignore[arg-type]
        return replace(bundle, log=replace(bundle.log, receipt=receipt))

    return edited(edit)


def told(change: Callable[[World], None], as_of: int | None = None) -> Callable[[], Verdict]:
    """The verdict after `change` happened on the ledger."""

    def cheat() -> Verdict:
        sealed = SealedWorld()
        change(sealed.world)
        return sealed.verify(as_of=as_of)

    return cheat


def key_of_later(world: World) -> None:
    successor = account(70)
    world.statement = parse_statement(world.sign(successor, Did.of(CHAIN_ID, world.issuer.address)))
    world.identity_record(records.owner(REGISTRATION, bytes(successor.address)))


def suspended(world: World) -> None:
    key = accreditation_status_key(GRANT)
    world.record(Contract.TRUST_REGISTRY, key, records.grant_status(10, GRANT, 2, 10))


def revoked(world: World) -> None:
    world.status_record(records.document_status(23, 1, 23))


def revoked_before(world: World) -> None:
    world.status_record(records.document_status(23, 1, 21))


def two_at_one_height(world: World, bundle: Bundle) -> Bundle:
    other = SealedWorld(turns={AS_OF: Turn(proposer=FOUR[2])}).bundle().headers[-1]
    return replace(bundle, headers=(*bundle.headers, other))


def other_genesis(_: World, bundle: Bundle) -> Bundle:
    return replace(bundle, network=replace(bundle.network, genesis_hash=BlockHash(bytes(32))))


def other_chain(_: World, bundle: Bundle) -> Bundle:
    return replace(bundle, network=replace(bundle.network, chain_id=1))


R = Reason
CASES = (
    Case("two of four seals", "headers", R.SEAL_QUORUM, sealed_by(*FOUR[:2])),
    Case("the same seal twice", "headers", R.SEAL_DUPLICATE, sealed_by(FOUR[0], FOUR[1], FOUR[1])),
    Case("a seal by a non-validator", "headers", R.SEAL_NOT_VALIDATOR, sealed_by(*FOUR[:3], STRANGER)),
    Case("a seal over another round", "headers", R.SEAL_OTHER_ROUND, extra_data(third_seal_over_round_1)),
    Case("a vote counted across an epoch", "headers", R.QBFT_VALIDATORS, vote_across_an_epoch),
    Case("a sixth item", "blocks", R.QBFT_EXTRA_ITEMS, extra_data(lambda items: items.append(b""))),
    Case("non-minimal RLP", "blocks", R.RLP_NOT_CANONICAL, extra_data(padded_round)),
    Case("a receipt moved to another index", "anchor", R.PROOF_NODE_HASH, edited(moved_receipt)),
    Case("a log moved to another receipt", "anchor", R.ANCHOR_EVENT, edited(moved_log)),
    Case("an empty root", "anchor", R.PROOF_EMPTY_ROOT, lambda: SealedWorld(reseal=no_receipts).verify()),
    Case("inclusion in size 0", "receipt", R.RECEIPT_SIZE_ZERO, log_receipt(size=0, hashes=0)),
    Case("an index beyond the size", "receipt", R.RECEIPT_INDEX, log_receipt(index=5)),
    Case("a path one hash too long", "receipt", R.RECEIPT_PATH_TOO_LONG, log_receipt(hashes=4)),
    Case("a retired log key", "receipt", R.RECEIPT_KEY, log_receipt(key=log_private_key(2))),
    Case("an issuer key of later", "issuer_key", R.ISSUER_KEY_NOT_IN_FORCE, told(key_of_later)),
    Case("a suspended accreditation", "authority_known", R.ACCREDITATION_SUSPENDED, told(suspended)),
    Case("a document revoked at N", "status_known", R.DOCUMENT_REVOKED, told(revoked)),
    Case("revoked later, effective before", "status_in_force", R.DOCUMENT_REVOKED, told(revoked_before, 22)),
    Case("two sealed headers at one height", "headers", R.HEADER_ORDER, edited(two_at_one_height)),
    Case("another genesis or chain id", "network", R.NETWORK_MISMATCH, edited(other_genesis)),
    *DOCUMENT_CASES,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_fails_with_its_own_reason(case: Case) -> None:
    assert_fails(case.cheat(), case.check, case.reason)


def test_no_two_share_check_and_reason() -> None:
    assert len({(case.check, case.reason) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("replay", [True, False])
def test_untouched_it_passes(replay: bool) -> None:
    verdict = SealedWorld(replay=replay, turns=VOTES | {17: Turn(round=3)}).verify()
    assert verdict.outcome is Outcome.PASS, verdict.checks
    assert verdict.assurance is Assurance.SEALED_BY_QUORUM


def test_untouched_a_document_of_a_manifest_passes_cosigned_and_promised() -> None:
    world = ManifestWorld(first_header=0)
    sealed = SealedWorld(world)
    bundle = replace(with_cosignatures(sealed.bundle(), *NAMES[:2]), promise=promise(world))
    verdict = sealed.verify(bundle, roots=replace(sealed.roots(), witnesses=pin(2)))
    assert verdict.outcome is Outcome.PASS, verdict.checks
    assert verdict.reasons == ()
    assert verdict.check("document").detail == "document 3 of the 5 of a manifest"
    assert all(name in verdict.check("cosignatures").detail for name in NAMES[:2])
    assert "accepted 2027-01-15T08:00:00Z" in verdict.check("promise").detail


def test_a_key_under_a_pinned_witness_name_does_not_count() -> None:
    assert_fails(witnessed(1, edit=own_witness)(), "cosignatures", Reason.COSIGNATURES_TOO_FEW)


def test_the_same_document_at_another_index_of_an_even_manifest() -> None:
    assert_fails(document(index=3)(), "document", Reason.DOCUMENT_ROOT)


def test_revoking_the_manifest_revokes_each_of_its_documents() -> None:
    world = ManifestWorld(first_header=0)
    revoked(world)
    assert_fails(SealedWorld(world).verify(), "status_known", Reason.DOCUMENT_REVOKED)
    assert SealedWorld(world).verify(as_of=22).outcome is Outcome.PASS


def test_another_chain_id_as_well() -> None:
    assert_fails(edited(other_chain)(), "network", Reason.NETWORK_MISMATCH)


def test_at_the_block_before_its_revocation_a_document_passes_with_a_notice() -> None:
    verdict = told(revoked, as_of=22)()
    assert verdict.outcome is Outcome.PASS
    assert any("revoked later, at block 23" in notice for notice in verdict.notices)


def test_revoked_later_with_effect_before_it_passes_as_known() -> None:
    verdict = told(revoked_before, as_of=22)()
    assert verdict.check("status_known").result is CheckResult.PASS
