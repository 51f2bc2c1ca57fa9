"""The verdict on issuer, authority and document status, in force and known, at two times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from silkledger.evidence.bundle import Contract
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import CheckResult, Outcome
from silkledger.keys import PrivateKey, Suite
from silkledger.registry.histories import accreditation_status_key, recognition_key
from silkledger.statement import parse_statement
from silkledger.values import Did
from tests.unit.evidence.refusals import assert_fails
from tests.unit.evidence.world import (
    BILL,
    CHAIN_ID,
    CN,
    GRANT,
    START,
    TH,
    World,
    account,
)
from tests.unit.registry import records


def test_a_signature_by_another_key_under_the_issuers_name() -> None:
    world = World()
    did = Did.of(CHAIN_ID, world.issuer.address)
    world.statement = parse_statement(world.sign(account(66), did))
    assert_fails(world.verify(), "issuer_key", Reason.ISSUER_KEY_NOT_IN_FORCE)


def test_an_identity_without_records_is_owned_by_its_address_and_the_absence_is_proven() -> None:
    world = World()
    bundle = world.evidence()
    (identity,) = [state for state in bundle.states if state.contract is Contract.IDENTITY_REGISTRY]
    assert [history.records for history in identity.histories] == [()]
    assert world.verify(bundle).outcome is Outcome.PASS_DEVELOPMENT_ONLY
    hidden = replace(bundle, states=tuple(s for s in bundle.states if s is not identity))
    assert world.verify(hidden).outcome is Outcome.INCOMPLETE


def test_an_issuer_of_another_chain() -> None:
    world = World()
    world.statement = parse_statement(world.sign(world.issuer, Did.of(1, world.issuer.address)))
    assert_fails(world.verify(), "statement", Reason.ISSUER_OTHER_CHAIN)


def test_an_issuer_key_valid_now_but_not_at_the_block() -> None:
    world = World()
    new_owner = account(70)
    world.statement = parse_statement(world.sign(new_owner, Did.of(CHAIN_ID, world.issuer.address)))
    world.identity_record(records.owner(20, bytes(new_owner.address)))
    assert_fails(world.verify(), "issuer_key", Reason.ISSUER_KEY_NOT_IN_FORCE)


def test_an_owner_changed_before_signs_and_the_former_one_does_not() -> None:
    world = World()
    new_owner = account(70)
    world.identity_record(records.owner(19, bytes(new_owner.address)))
    assert_fails(world.verify(), "issuer_key", Reason.ISSUER_KEY_NOT_IN_FORCE)
    world.statement = parse_statement(world.sign(new_owner, Did.of(CHAIN_ID, world.issuer.address)))
    assert world.verify().outcome is Outcome.PASS_DEVELOPMENT_ONLY


def test_a_key_revoked_between_logging_and_registration_fails() -> None:
    world = World()
    world.identity_record(records.owner(12, bytes(account(70).address)))
    assert_fails(world.verify(), "issuer_key", Reason.ISSUER_KEY_NOT_IN_FORCE)


def test_an_owner_changed_later_is_a_notice() -> None:
    world = World()
    world.identity_record(records.owner(22, bytes(account(70).address)))
    verdict = world.verify()
    assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY
    assert any("no longer the issuer's" in notice for notice in verdict.notices)


def test_a_deactivated_issuer() -> None:
    world = World()
    world.identity_record(records.owner(9, bytes(20)))
    assert_fails(world.verify(), "issuer_key", Reason.ISSUER_DEACTIVATED)


@pytest.mark.parametrize(("valid_to", "good"), [(START + 20, True), (START + 19, False)])
def test_a_delegate_key_in_its_time(valid_to: int, good: bool) -> None:
    """The registration block's parent is block 19, at START + 19; validity ends before `valid_to`."""
    world = World()
    key = PrivateKey(Suite.ES256K, b"\x31" * 32)
    holder = type(world.issuer)(key)
    did = Did.of(CHAIN_ID, world.issuer.address)
    world.statement = parse_statement(world.sign(holder, did, kid="delegate-1"))
    value = key.verifying_key.to_multicodec()
    world.identity_record(records.attribute(8, "did/pub/Multikey/veriKey", value, valid_to))
    verdict = world.verify()
    if good:
        assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY
        assert any("no longer the issuer's" in notice for notice in verdict.notices)
    else:
        assert_fails(verdict, "issuer_key", Reason.ISSUER_KEY_NOT_IN_FORCE)


def test_a_delegate_key_that_did_not_sign() -> None:
    world = World()
    did = Did.of(CHAIN_ID, world.issuer.address)
    world.statement = parse_statement(world.sign(account(71), did, kid="delegate-1"))
    value = account(72).key.verifying_key.to_multicodec()
    world.identity_record(records.attribute(8, "did/pub/Multikey/veriKey", value, START + 99))
    assert_fails(world.verify(), "statement_signature", Reason.STATEMENT_SIGNATURE)


# Authority, at two times


def _suspend(world: World, recorded: int, effective: int, status: int = 2) -> None:
    key = accreditation_status_key(GRANT)
    world.record(Contract.TRUST_REGISTRY, key, records.grant_status(recorded, GRANT, status, effective))


def test_an_accreditation_suspended_at_the_block() -> None:
    world = World()
    _suspend(world, 10, 10)
    verdict = world.verify()
    assert_fails(verdict, "authority_known", Reason.ACCREDITATION_SUSPENDED)
    assert_fails(verdict, "authority_in_force", Reason.ACCREDITATION_SUSPENDED)


def test_an_accreditation_revoked_later_with_effect_before() -> None:
    world = World()
    _suspend(world, 22, 15, status=3)
    verdict = world.verify()
    assert verdict.check("authority_known").result is CheckResult.PASS
    assert_fails(verdict, "authority_in_force", Reason.ACCREDITATION_REVOKED)


def test_an_accreditation_suspended_afterwards_is_a_notice() -> None:
    world = World()
    _suspend(world, 22, 22)
    verdict = world.verify()
    assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY
    assert any("No longer authorised" in notice for notice in verdict.notices)


def test_an_issuer_that_holds_no_accreditation_or_is_not_recognised() -> None:
    world = World()
    world.histories[Contract.TRUST_REGISTRY][recognition_key(TH, CN, BILL)].clear()
    assert_fails(world.verify(), "authority_known", Reason.NOT_RECOGNISED)
    for items in world.histories[Contract.TRUST_REGISTRY].values():
        if len(items) == 1 and items[0].record[31] == 2:
            items.clear()
    assert_fails(world.verify(), "authority_known", Reason.NOT_ACCREDITED)


# Document status, at two times


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(1, Reason.DOCUMENT_REVOKED), (2, Reason.DOCUMENT_SUSPENDED), (4, Reason.DOCUMENT_SUPERSEDED)],
)
def test_a_document_revoked_since_a_block(kind: int, reason: Reason) -> None:
    world = World()
    successor = b"\x77" * 32 if kind == 4 else bytes(32)
    world.status_record(records.document_status(23, kind, 23, new_id=successor))
    verdict = world.verify()
    assert_fails(verdict, "status_known", reason)
    assert_fails(verdict, "status_in_force", reason)
    before = world.verify(as_of=22)
    assert before.outcome is Outcome.PASS_DEVELOPMENT_ONLY
    assert any("later, at block 23" in notice for notice in before.notices)


def test_revoked_later_but_effective_before_passes_as_known_and_fails_as_in_force() -> None:
    world = World()
    world.status_record(records.document_status(23, 1, 21))
    verdict = world.verify(as_of=22)
    assert verdict.check("status_known").result is CheckResult.PASS
    assert_fails(verdict, "status_in_force", Reason.DOCUMENT_REVOKED)
    assert any("revoked later, at block 23, effective from block 21" in notice for notice in verdict.notices)


def test_suspended_and_reinstated() -> None:
    world = World()
    world.status_record(records.document_status(21, 2, 21), records.document_status(23, 3, 23))
    assert world.verify().outcome is Outcome.PASS_DEVELOPMENT_ONLY
    assert_fails(world.verify(as_of=22), "status_known", Reason.DOCUMENT_SUSPENDED)


def test_only_the_account_in_control_can_revoke() -> None:
    stranger, successor = account(80), account(81)
    world = World()
    world.identity_record(records.owner(22, bytes(successor.address)))
    revocation = records.document_status(23, 1, 23)
    world.status_record(revocation, actor=stranger.address)
    world.status_record(revocation, actor=world.issuer.address)
    assert world.verify().outcome is Outcome.PASS_DEVELOPMENT_ONLY, (
        "a stranger and a former owner say nothing"
    )
    world.status_record(revocation, actor=successor.address)
    assert_fails(world.verify(), "status_known", Reason.DOCUMENT_REVOKED)
