"""Manifests through a real service: registered, found by their documents, proven offline, and revoked."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import uuid
from typing import Any

import grpc
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client.manifests import HeldManifest, ManifestDocument, sign_documents
from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Outcome
from silkledger.evidence.verify import verify_bundle
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.log.promise import verify_promise
from silkledger.manifest import salt_subject
from silkledger.runtime.db import parse_url
from silkledger.values import BlockHash, CountryCode, Digest, DocumentType

from .conftest import BILL, INVOICE, Connect, Ledger, reached, refused
from .test_verdicts import checks, executed, relay, revocation

FINAL = chain.EVIDENCE_STAGE_FINAL


def documents(count: int) -> list[ManifestDocument]:
    return [
        ManifestDocument(f"{i}.xml", f"urn:doc:{i}", Digest(hashlib.sha256(secrets.token_bytes(8)).digest()))
        for i in range(count)
    ]


def signed(ledger: Ledger, count: int = 5, **change: Any) -> HeldManifest:
    account: Account = change.pop("account", ledger.founded.agency)
    kind: DocumentType = change.pop("document_type", BILL)
    did = ledger.did(account)
    return sign_documents(account, did, documents(count), subject="batch/1", document_type=kind, **change)


def request(held: HeldManifest, **change: Any) -> pb.RegisterManifestRequest:
    fields = {"request_id": str(uuid.uuid4()), "manifest": held.raw, "leaves": held.leaves} | change
    return pb.RegisterManifestRequest(**fields)


async def final(ledger: Ledger, agency: Any, count: int = 5) -> tuple[HeldManifest, pb.Statement]:
    held = signed(ledger, count)
    await agency.RegisterManifest(request(held))
    return held, await reached(agency, bytes(held.statement_id), FINAL)


def roots(ledger: Ledger, block: Any) -> TrustRoots:
    network = ledger.founded.network
    return TrustRoots(
        chain_id=network.chain_id,
        genesis_hash=network.genesis_hash,
        engine=EngineKind.NO_SEALS,
        rules=None,
        directory=network.directory,
        contracts=network.addresses,
        pinned_blocks={block.number: BlockHash(block.hash)},
        relying_country=CountryCode("TH"),
    )


def evidence(found: pb.Statement, index: int | None) -> pb.GetEvidenceRequest:
    return pb.GetEvidenceRequest(
        statement_id=found.statement_id,
        relying_country="TH",
        as_of_block=found.anchor.block.number,
        document_index=index,
    )


def verification(digest: bytes, **change: Any) -> pb.VerifyDocumentRequest:
    return pb.VerifyDocumentRequest(document_digest=digest, relying_country="TH", **change)


async def test_a_manifest_is_accepted_with_a_promise_and_logged_as_one_entry(
    ledger: Ledger, agency: Any
) -> None:
    held = signed(ledger)
    asked = request(held)
    before = (await ledger.rows())["entries"]
    response = await agency.RegisterManifest(asked)
    assert response.statement_id == bytes(held.statement_id)
    assert not response.already_registered
    key = LogVerifierKey.of(ledger.origin, ledger.log_key.verifying_key)
    assert verify_promise(response.promise, key).statement_ids == (held.statement_id,)
    assert await agency.RegisterManifest(asked) == response
    again = await agency.RegisterManifest(request(held))
    assert again.already_registered
    assert (await ledger.rows())["entries"] == before + 1
    found = await reached(agency, bytes(held.statement_id), FINAL)
    assert (found.manifest_size, found.subject, found.document_digest) == (5, "batch/1", b"")
    assert not found.HasField("document_index")
    assert found.signed_statement == held.raw


async def test_every_document_is_found_by_digest_and_by_salted_subject(ledger: Ledger, agency: Any) -> None:
    held, _ = await final(ledger, agency)
    for index, item in enumerate(held.documents):
        wanted = pb.ListStatementsRequest(document_digest=bytes(item.leaf.digest))
        (found,) = (await agency.ListStatements(wanted)).statements
        assert (found.statement_id, found.document_index) == (bytes(held.statement_id), index)
        assert found.document_digest == bytes(item.leaf.digest)
        assert found.document_leaf == item.leaf.encode()
        assert found.manifest_size == 5
        salted = salt_subject(held.manifest.salt, f"urn:doc:{index}")
        (same,) = (await agency.ListStatements(pb.ListStatementsRequest(salted_subject=salted))).statements
        assert same == found


async def test_every_document_has_a_verdict_and_evidence_that_says_the_same(
    ledger: Ledger, agency: Any
) -> None:
    held, found = await final(ledger, agency)
    trust = roots(ledger, found.anchor.block)
    for index, item in enumerate(held.documents):
        online = (await agency.VerifyDocument(verification(bytes(item.leaf.digest)))).verdict
        assert online.outcome == chain.OUTCOME_PASS_DEVELOPMENT_ONLY
        assert any(f"Document {index + 1} of the 5" in notice for notice in online.notices)
        bundle = (await agency.GetEvidence(evidence(found, index))).bundle
        offline = verify_bundle(item.leaf.digest, bundle, trust)
        assert offline.outcome is Outcome.PASS_DEVELOPMENT_ONLY, offline
        assert offline.check("document").detail == f"document {index + 1} of the 5 of a manifest"
        said = {check.name: (int(check.result), check.reason) for check in offline.checks}
        told = checks(online)
        assert told == {name: said[name] for name in told}
        neighbour = held.documents[index - 1].leaf.digest
        assert verify_bundle(neighbour, bundle, trust).check("document").reason == "DOCUMENT_DIGEST"
        assert held.prove((await agency.GetEvidence(evidence(found, 0))).bundle, index) == bundle


async def test_a_document_that_stands_alone_and_in_a_manifest_has_both(ledger: Ledger, agency: Any) -> None:
    held, _ = await final(ledger, agency)
    digest = held.documents[1].leaf.digest
    alone = ledger.statement(ledger.founded.agency, digest=digest)
    await agency.RegisterStatements(
        pb.RegisterStatementsRequest(request_id=str(uuid.uuid4()), statements=[alone])
    )
    answer = await agency.VerifyDocument(verification(bytes(digest)))
    assert [item.statement.HasField("document_index") for item in answer.statements] == [True, False]
    assert answer.verdict.outcome == chain.OUTCOME_PASS_DEVELOPMENT_ONLY


async def test_evidence_needs_the_document_named_and_in_the_manifest(ledger: Ledger, agency: Any) -> None:
    _, found = await final(ledger, agency, 2)
    for index in (None, 2, 9_999):
        told = await refused(agency.GetEvidence(evidence(found, index)))
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DOCUMENT_INDEX")
        assert told.violations == (("document_index", "DOCUMENT_INDEX"),)
    assert (await refused(agency.GetEvidence(evidence(found, 10_000)))).reason == "INVALID_REQUEST"
    raw = ledger.statement(ledger.founded.agency)
    response = await agency.RegisterStatements(
        pb.RegisterStatementsRequest(request_id=str(uuid.uuid4()), statements=[raw])
    )
    alone = await reached(agency, response.statements[0].statement_id, FINAL)
    assert (await refused(agency.GetEvidence(evidence(alone, 0)))).reason == "DOCUMENT_INDEX"


async def test_a_revoked_manifest_revokes_each_of_its_documents(ledger: Ledger, agency: Any) -> None:
    held, found = await final(ledger, agency, 3)
    call = revocation(ledger, ledger.founded.agency, found.statement_id)
    await agency.RelayCall(relay(call))
    status = await executed(agency, call)
    for item in held.documents:
        digest = bytes(item.leaf.digest)
        after = (await agency.VerifyDocument(verification(digest))).verdict
        assert checks(after)["status_known"] == (chain.CHECK_RESULT_FAIL, "DOCUMENT_REVOKED")
        earlier = verification(digest, as_of_block=status.block.number - 1)
        known = (await agency.VerifyDocument(earlier)).verdict
        assert checks(known)["status_known"][0] == chain.CHECK_RESULT_PASS


@pytest.mark.parametrize("what", ["leaf", "count", "order", "form", "type", "stranger", "signature"])
async def test_what_is_no_manifest_with_its_leaves_is_refused_and_leaves_nothing(
    what: str, ledger: Ledger, agency: Any
) -> None:
    held = signed(ledger)
    length = len(held.leaves) // 5
    bad: dict[str, tuple[dict[str, bytes], str]] = {
        "leaf": ({"leaves": signed(ledger).leaves}, "MANIFEST_ROOT_MISMATCH"),
        "count": ({"leaves": held.leaves[:-length]}, "MANIFEST_LEAVES_LENGTH"),
        "order": ({"leaves": held.leaves[length:] + held.leaves[:length]}, "MANIFEST_ROOT_MISMATCH"),
        "form": ({"leaves": b"\x86" + held.leaves[1:]}, "MANIFEST_LEAF_MALFORMED"),
        "type": ({}, "ISSUER_NOT_ACCREDITED"),
        "stranger": ({}, "ISSUER_NOT_CALLER"),
        "signature": ({"manifest": held.raw[:-1] + bytes([held.raw[-1] ^ 1])}, "SIGNATURE_INVALID"),
    }
    change, reason = bad[what]
    if what == "type":
        held = signed(ledger, document_type=INVOICE)
    if what == "stranger":
        held = signed(ledger, account=Account.generate())
    before = await ledger.rows()
    told = await refused(agency.RegisterManifest(request(held, **change)))
    assert told.reason == reason
    assert await ledger.rows() == before


async def test_only_who_may_read_the_manifest_gets_bytes_leaf_and_evidence(
    ledger: Ledger, agency: Any, connect: Connect
) -> None:
    held, found = await final(ledger, agency, 2)
    stranger = connect(ledger.identity(Account.generate(), "agency"))
    wanted = pb.ListStatementsRequest(document_digest=bytes(held.documents[0].leaf.digest))
    (seen,) = (await stranger.ListStatements(wanted)).statements
    assert (seen.signed_statement, seen.document_leaf, seen.subject) == (b"", b"", "")
    assert (await refused(stranger.GetEvidence(evidence(found, 0)))).reason == "STATEMENT_NOT_FOUND"
    auditor = connect(ledger.identity(Account.generate(), "auditor"))
    assert (await auditor.GetEvidence(evidence(found, 0))).bundle


async def complete(stub: Any, wanted: pb.VerifyDocumentRequest) -> chain.Verdict:
    """The verdict once it is not INCOMPLETE: documents given again are indexed with the next batch."""
    deadline = time.monotonic() + 30
    while True:
        verdict: chain.Verdict = (await stub.VerifyDocument(wanted)).verdict
        if verdict.outcome != chain.OUTCOME_INCOMPLETE:
            return verdict
        assert time.monotonic() < deadline, verdict
        await asyncio.sleep(0.05)


async def _forget_documents(ledger: Ledger, held: HeldManifest) -> None:
    """As after a restore from a mirror, which has the manifests alone."""
    engine = create_async_engine(parse_url(ledger.database_url))
    async with engine.begin() as connection:
        place = {"manifest": bytes(held.statement_id)}
        await connection.execute(text("DELETE FROM manifest_pack WHERE manifest = :manifest"), place)
        await connection.execute(text("INSERT INTO undocumented VALUES (:manifest)"), place)
    await engine.dispose()


async def test_documents_that_are_not_here_are_unavailable_until_their_holder_submits_them(
    ledger: Ledger, agency: Any
) -> None:
    held, found = await final(ledger, agency, 3)
    digest, unknown = bytes(held.documents[1].leaf.digest), secrets.token_bytes(32)
    await _forget_documents(ledger, held)
    for wanted in (digest, unknown):
        answer = await agency.VerifyDocument(verification(wanted))
        assert answer.verdict.outcome == chain.OUTCOME_INCOMPLETE
        assert checks(answer.verdict) == {
            "registration": (chain.CHECK_RESULT_NOT_CHECKED, "DOCUMENTS_UNAVAILABLE")
        }
    told = await refused(agency.GetEvidence(evidence(found, 1)))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DOCUMENTS_UNAVAILABLE")
    again = await agency.RegisterManifest(request(held))
    assert again.already_registered
    assert (await agency.GetEvidence(evidence(found, 1))).bundle
    known = await complete(agency, verification(digest))
    assert known.outcome == chain.OUTCOME_PASS_DEVELOPMENT_ONLY
    assert (await agency.VerifyDocument(verification(unknown))).verdict.outcome == (
        chain.OUTCOME_NOT_REGISTERED
    )
