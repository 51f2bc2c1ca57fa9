"""Admission and stages, decided without a chain or a database."""

from __future__ import annotations

import asyncio
import multiprocessing
from dataclasses import replace

import pytest

from services.ledger.admission.checker import SignatureChecker
from services.ledger.domain import (
    Admitted,
    Anchored,
    IssuerKeys,
    Stage,
    Violation,
    check_statement,
    check_statements,
    may_read_entry,
    stage_of,
    supersession_violations,
)
from silkledger.keys import PrivateKey, Suite, generate
from silkledger.keys.account import Account
from silkledger.statement import SignedStatement, sign_statement
from silkledger.values import BlockHash, BlockRef, Did, Digest, DocumentType, StatementId

ACCOUNT = Account.generate()
DID = Did.of(7317, ACCOUNT.address)
KEYS = IssuerKeys(DID, ACCOUNT.address, False, {})


def statement(
    key: PrivateKey = ACCOUNT.key, did: Did = DID, fragment: str = "controller", **change: object
) -> bytes:
    fields: dict[str, object] = {
        "issuer": did,
        "kid": f"{did}#{fragment}",
        "subject": "urn:sample:1",
        "document_type": DocumentType("705"),
        "digest": Digest(bytes(32)),
        "content_type": "application/pdf",
        "issued_at": 1_700_000_000,
        "salt": bytes(16),
    }
    return sign_statement(key, **(fields | change))  # type: ignore[arg-type]


def parsed(raw: bytes) -> SignedStatement:
    result = check_statement(0, raw, KEYS)
    assert isinstance(result, SignedStatement)
    return result


def test_the_controller_signs() -> None:
    assert isinstance(check_statement(0, statement(), KEYS), SignedStatement)


@pytest.mark.parametrize("suite", [Suite.ES256, Suite.EDDSA, Suite.SM2, Suite.ES256K])
def test_a_named_key_of_every_suite_signs(suite: Suite) -> None:
    key = generate(suite)
    keys = replace(KEYS, methods={"delegate-3": key.verifying_key.to_multicodec()})
    assert isinstance(check_statement(0, statement(key, fragment="delegate-3"), keys), SignedStatement)
    result = check_statement(0, statement(generate(suite), fragment="delegate-3"), keys)
    assert isinstance(result, Violation)
    assert (result.field, result.reason) == ("signature", "SIGNATURE_INVALID")


@pytest.mark.parametrize(
    ("raw", "keys", "field", "reason"),
    [
        (b"\xff", KEYS, None, None),
        (
            statement(),
            replace(KEYS, did=Did.of(7317, Account.generate().address)),
            "issuer",
            "ISSUER_NOT_CALLER",
        ),
        (statement(), replace(KEYS, did=Did.of(1, ACCOUNT.address)), "issuer", "ISSUER_OTHER_CHAIN"),
        (statement(), replace(KEYS, deactivated=True), "issuer", "ISSUER_DEACTIVATED"),
        (statement(), replace(KEYS, owner=Account.generate().address), "kid", "KEY_UNKNOWN"),
        (statement(fragment="delegate-1", key=generate(Suite.EDDSA)), KEYS, "kid", "KEY_UNKNOWN"),
    ],
)
def test_what_is_not_admitted_says_why(
    raw: bytes, keys: IssuerKeys, field: str | None, reason: str | None
) -> None:
    result = check_statement(7, raw, keys)
    assert isinstance(result, Violation)
    assert result.index == 7
    if reason is not None:
        assert (result.field, result.reason) == (field, reason)


async def test_worker_processes_give_the_same_answers_in_order() -> None:
    raws = [statement(salt=bytes([number]) * 16) for number in range(140)]
    raws[130] = raws[130][:-1]
    checker = SignatureChecker(1)
    try:
        results = await checker.check(raws, KEYS)
    finally:
        checker.close()
    expected = [
        item if isinstance(item, Violation) else Admitted.of(item) for item in check_statements(0, raws, KEYS)
    ]
    assert results == expected
    assert [index for index, item in enumerate(results) if isinstance(item, Violation)] == [130]


async def test_a_verifying_process_that_dies_costs_no_answer() -> None:
    raws = [statement(salt=bytes([number]) * 16) for number in range(140)]
    before = {child.pid for child in multiprocessing.active_children()}
    checker = SignatureChecker(2)
    stop = asyncio.Event()
    running = asyncio.create_task(checker.run(stop))
    try:
        assert len(await checker.check(raws, KEYS)) == 140
        (victim, *_) = [child for child in multiprocessing.active_children() if child.pid not in before]
        victim.kill()
        victim.join(10)
        for _ in range(2):
            assert all(isinstance(item, Admitted) for item in await checker.check(raws, KEYS))
    finally:
        stop.set()
        await running
        checker.close()


def test_a_supersession_keeps_issuer_and_subject() -> None:
    first = parsed(statement())
    same = parsed(statement(supersedes=first.id, salt=b"1" * 16))
    other = parsed(statement(supersedes=first.id, salt=b"2" * 16, subject="urn:sample:2"))
    unknown = parsed(statement(supersedes=StatementId(b"9" * 32), salt=b"3" * 16))
    known = {bytes(first.id): (str(first.issuer), first.subject)}
    found = supersession_violations([(0, same), (1, other), (2, unknown)], known)
    assert [(item.index, item.reason) for item in found] == [(1, "SUPERSEDES_MISMATCH")]
    within = supersession_violations([(0, first), (1, other)], {})
    assert [item.index for item in within] == [1]


def test_the_four_stages_are_four() -> None:
    covering = Anchored(BlockRef(10, BlockHash(bytes(32)), 0), bytes(32), 5, bytes(32))
    assert stage_of(None, None, 99) is Stage.ACCEPTED
    assert stage_of(0, None, 99) is Stage.LOGGED
    assert stage_of(0, covering, 9) is Stage.ANCHORED
    assert stage_of(0, covering, 10) is Stage.FINAL


def test_entries_are_for_issuer_audience_auditor_and_operator() -> None:
    other = Did.of(7317, Account.generate().address)
    assert may_read_entry(DID, frozenset(), str(DID), ())
    assert may_read_entry(other, frozenset(), str(DID), (other,))
    assert may_read_entry(other, frozenset({"auditor"}), str(DID), ())
    assert may_read_entry(other, frozenset({"operator"}), str(DID), ())
    assert not may_read_entry(other, frozenset({"bank", "agency"}), str(DID), (DID,))
