"""Admission and stages, decided without a chain or a database."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from dataclasses import replace

import pytest

from services.ledger.admission.checker import SignatureChecker
from services.ledger.domain import (
    Anchored,
    IssuerKeys,
    Stage,
    Violation,
    check_manifest,
    check_statement,
    check_statements,
    may_read_entry,
    stage_of,
    supersession_violations,
)
from silkledger.keys import PrivateKey, Suite, generate
from silkledger.keys.account import Account
from silkledger.log.index import RELATIVE, Kind, hash_key
from silkledger.log.tree import leaf_hash
from silkledger.manifest import ManifestLeaf, salt_subject, sign_manifest
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
    assert results == check_statements(0, raws, KEYS)
    assert [item.index for item in results.violations] == [130]
    assert results.good == (*range(130), *range(131, 140))
    assert results.id_list() == [bytes(parsed(raws[index]).id) for index in results.good]


async def test_a_verifying_process_that_dies_costs_no_answer() -> None:
    raws = [statement(salt=bytes([number]) * 16) for number in range(140)]
    before = {child.pid for child in multiprocessing.active_children()}
    checker = SignatureChecker(2)
    stop = asyncio.Event()
    running = asyncio.create_task(checker.run(stop))
    try:
        assert len((await checker.check(raws, KEYS)).good) == 140
        (victim, *_) = [child for child in multiprocessing.active_children() if child.pid not in before]
        victim.kill()
        victim.join(10)
        for _ in range(2):
            assert (await checker.check(raws, KEYS)).violations == ()
    finally:
        stop.set()
        await running
        checker.close()


def test_a_supersession_keeps_issuer_and_subject() -> None:
    first = parsed(statement())
    raws = [
        statement(supersedes=first.id, salt=b"1" * 16),
        statement(supersedes=first.id, salt=b"2" * 16, subject="urn:sample:2"),
        statement(supersedes=StatementId(b"9" * 32), salt=b"3" * 16),
    ]
    superseding = check_statements(0, raws, KEYS).superseding
    assert [(item.index, item.supersedes) for item in superseding] == [
        (0, bytes(first.id)),
        (1, bytes(first.id)),
        (2, b"9" * 32),
    ]
    known = {bytes(first.id): (str(first.issuer), first.subject)}
    found = supersession_violations(superseding, DID.text, known)
    assert [(item.index, item.reason) for item in found] == [(1, "SUPERSEDES_MISMATCH")]
    other = Did.of(7317, Account.generate().address)
    assert [item.index for item in supersession_violations(superseding, other.text, known)] == [0, 1]


def documents(count: int, kind: str = "705") -> list[ManifestLeaf]:
    return [
        ManifestLeaf(
            bytes([number]) * 16,
            Digest(bytes([number]) * 32),
            DocumentType(kind),
            salt_subject(bytes(16), f"urn:sample:{number}"),
        )
        for number in range(count)
    ]


def manifest(leaves: list[ManifestLeaf], kind: str = "705") -> bytes:
    return sign_manifest(
        ACCOUNT.key,
        issuer=DID,
        kid=f"{DID}#controller",
        subject="urn:sample:manifest",
        document_type=DocumentType(kind),
        leaves=leaves,
        issued_at=1_700_000_000,
        salt=bytes(16),
    )


def test_a_manifest_is_one_item_with_records_of_all_its_documents() -> None:
    leaves = documents(5)
    raw = manifest(leaves)
    checked = check_manifest(raw, b"".join(leaf.encode() for leaf in leaves), KEYS)
    assert (checked.violations, checked.good, checked.types) == ((), (0,), ("705",))
    assert checked.leaf_hashes == leaf_hash(raw)
    places = [(key, document) for key, _, document in RELATIVE.iter_unpack(checked.records)]
    assert (hash_key(Kind.DIGEST, leaves[3].digest), 4) in places
    assert (hash_key(Kind.SALTED_SUBJECT, leaves[3].salted_subject), 4) in places
    assert len(places) == 2 + 2 * 5


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (lambda data: data[:-1], "leaves", "MANIFEST_LEAVES_LENGTH"),
        (lambda data: data + data[:91], "leaves", "MANIFEST_LEAVES_LENGTH"),
        (lambda data: data[:91] + b"\x84" + data[92:], "leaves[1]", "MANIFEST_LEAF_MALFORMED"),
        (lambda data: data.replace(b"\x63705", b"\x63706", 1), "leaves[0]", "MANIFEST_LEAF_MALFORMED"),
        (lambda data: data[91:] + data[:91], "leaves", "MANIFEST_ROOT_MISMATCH"),
        (lambda data: data[:30] + b"\xff" + data[31:], "leaves", "MANIFEST_ROOT_MISMATCH"),
    ],
)
def test_leaves_that_are_not_the_manifests_are_refused(
    change: Callable[[bytes], bytes], field: str, reason: str
) -> None:
    leaves = documents(4)
    packed = change(b"".join(leaf.encode() for leaf in leaves))
    (violation,) = check_manifest(manifest(leaves), packed, KEYS).violations
    assert (violation.field, violation.reason) == (field, reason)


def test_a_statement_is_no_manifest_and_a_manifest_no_statement() -> None:
    (violation,) = check_manifest(statement(), b"x", KEYS).violations
    assert violation.reason == "NOT_A_MANIFEST"
    refused = check_statement(0, manifest(documents(1)), KEYS)
    assert isinstance(refused, Violation)
    assert refused.reason == "NOT_A_HASH_ENVELOPE"


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
