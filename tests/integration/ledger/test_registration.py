"""Registering, from acceptance to a verdict and an evidence file; bad input changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any

import grpc
import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import encode_call
from silkledger.evm.node import JsonRpcNode
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.log.checkpoint import LogVerifierKey, verify_note
from silkledger.log.promise import verify_promise
from silkledger.log.receipt import verify_receipt
from silkledger.log.tree import leaf_hash, verify_consistency, verify_inclusion
from silkledger.registry.histories import identity_key
from silkledger.statement import parse_statement
from silkledger.values import StatementId
from tests.support.anvil import FAST

from .conftest import INVOICE, Connect, Ledger, id_of, reached, refused, register

FINAL = chain.EVIDENCE_STAGE_FINAL
LOGGED = chain.EVIDENCE_STAGE_LOGGED


def vkey(ledger: Ledger) -> LogVerifierKey:
    return LogVerifierKey.of(ledger.origin, ledger.log_key.verifying_key)


async def test_a_statement_goes_all_the_way_to_final(ledger: Ledger, agency: Any) -> None:
    raws = [ledger.statement(ledger.founded.agency) for _ in range(3)]
    request = register(*raws)
    response = await agency.RegisterStatements(request)
    ids = [bytes(id_of(raw)) for raw in raws]
    assert [item.statement_id for item in response.statements] == ids
    assert not any(item.already_registered for item in response.statements)
    promise = verify_promise(response.promise, vkey(ledger))
    assert [bytes(item) for item in promise.statement_ids] == ids
    assert promise.organisation == ledger.did(ledger.founded.agency)
    assert promise.request_id == request.request_id
    assert response.admission_block.number > 0

    found = await reached(agency, ids[1], FINAL)
    assert found.signed_statement == raws[1]
    assert found.anchor.tree_size > found.leaf_index
    receipt = await agency.GetReceipt(pb.GetReceiptRequest(statement_id=ids[1]))
    checkpoint = verify_note(receipt.checkpoint, vkey(ledger))
    shown = verify_receipt(receipt.receipt, raws[1], vkey(ledger), checkpoint)
    assert shown.index == found.leaf_index
    assert (checkpoint.size, bytes(checkpoint.root)) == (found.anchor.tree_size, found.anchor.root)


async def test_proofs_and_checkpoints_fit_together(ledger: Ledger, agency: Any) -> None:
    first = await agency.RegisterStatements(register(ledger.statement(ledger.founded.agency)))
    await reached(agency, first.statements[0].statement_id, LOGGED)
    before = verify_note((await agency.GetCheckpoint(pb.GetCheckpointRequest())).checkpoint, vkey(ledger))
    raw = ledger.statement(ledger.founded.agency)
    await agency.RegisterStatements(register(raw))
    found = await reached(agency, bytes(id_of(raw)), LOGGED)
    after = verify_note((await agency.GetCheckpoint(pb.GetCheckpointRequest())).checkpoint, vkey(ledger))
    path = await agency.GetConsistencyProof(
        pb.GetConsistencyProofRequest(first_size=before.size, second_size=after.size)
    )
    verify_consistency(before.size, after.size, before.root, after.root, path.path)
    proof = await agency.GetInclusionProof(
        pb.GetInclusionProofRequest(leaf_index=found.leaf_index, tree_size=after.size)
    )
    verify_inclusion(found.leaf_index, after.size, leaf_hash(raw), proof.path, after.root)
    told = await refused(
        agency.GetInclusionProof(pb.GetInclusionProofRequest(leaf_index=0, tree_size=after.size + 9999))
    )
    assert (told.code, told.reason) == (grpc.StatusCode.OUT_OF_RANGE, "TREE_SIZE_UNKNOWN")


async def test_the_same_request_id_returns_the_first_result(ledger: Ledger, agency: Any) -> None:
    request = register(ledger.statement(ledger.founded.agency))
    first = await agency.RegisterStatements(request)
    before = await ledger.rows()
    assert await agency.RegisterStatements(request) == first
    assert await ledger.rows() == before


async def test_the_same_request_id_at_once_is_accepted_once(ledger: Ledger, agency: Any) -> None:
    request = register(ledger.statement(ledger.founded.agency))
    before = await ledger.rows()

    async def call() -> pb.RegisterStatementsResponse:
        while True:
            try:
                answer: pb.RegisterStatementsResponse = await agency.RegisterStatements(request)
                return answer
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.ABORTED:
                    raise

    responses = await asyncio.gather(*(call() for _ in range(5)))
    assert all(response == responses[0] for response in responses)
    after = await ledger.rows()
    assert (after["entries"] - before["entries"], after["idempotency"] - before["idempotency"]) == (1, 1)


async def test_the_same_request_id_with_other_content_is_a_conflict(ledger: Ledger, agency: Any) -> None:
    request = register(ledger.statement(ledger.founded.agency))
    await agency.RegisterStatements(request)
    before = await ledger.rows()
    other = register(ledger.statement(ledger.founded.agency), request_id=request.request_id)
    told = await refused(agency.RegisterStatements(other))
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_CONFLICT")
    assert told.violations == (("request_id", "REQUEST_ID_CONFLICT"),)
    assert {len(value) for value in told.metadata.values()} == {64}
    assert told.metadata["first_fingerprint"] != told.metadata["fingerprint"]
    assert await ledger.rows() == before


async def test_a_statement_already_registered_is_not_logged_twice(ledger: Ledger, agency: Any) -> None:
    raw = ledger.statement(ledger.founded.agency)
    first = await agency.RegisterStatements(register(raw))
    before = await ledger.rows()
    again = await agency.RegisterStatements(register(raw, ledger.statement(ledger.founded.agency), raw))
    assert [item.already_registered for item in again.statements] == [True, False, True]
    assert again.statements[0].statement_id == first.statements[0].statement_id
    assert (await ledger.rows())["entries"] == before["entries"] + 1


def _high_s(raw: bytes) -> bytes:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = order - int.from_bytes(raw[-32:], "big")
    return raw[:-32] + s.to_bytes(32, "big")


def _unprotected(raw: bytes) -> bytes:
    """A non-empty unprotected header {1: 1} instead of the empty one."""
    protected_end = raw.index(b"\xa0\x58\x20")
    return raw[:protected_end] + b"\xa1\x01\x01" + raw[protected_end + 1 :]


def _not_deterministic(raw: bytes) -> bytes:
    """The payload's length in two bytes where one is enough."""
    at = raw.index(b"\xa0\x58\x20") + 1
    return raw[:at] + b"\x59\x00\x20" + raw[at + 2 :]


BAD_BYTES = {
    "high s": (_high_s, "signature", "SIGNATURE_HIGH_S"),
    "unprotected header": (_unprotected, "unprotected", "COSE_UNPROTECTED_NOT_EMPTY"),
    "not deterministic": (_not_deterministic, None, "COSE_NOT_DETERMINISTIC"),
    "truncated": (lambda raw: raw[:-1], None, "COSE_TRUNCATED"),
    "trailing bytes": (lambda raw: raw + b"\0", None, "COSE_TRAILING_BYTES"),
    "another signature": (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "signature", "SIGNATURE_INVALID"),
}


@pytest.mark.parametrize("bad", BAD_BYTES)
async def test_bytes_that_are_no_good_statement_change_nothing(ledger: Ledger, agency: Any, bad: str) -> None:
    spoil, field, reason = BAD_BYTES[bad]
    good = ledger.statement(ledger.founded.agency)
    before = await ledger.rows()
    told = await refused(agency.RegisterStatements(register(good, spoil(good))))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    (place, violation), *rest = told.violations
    assert not rest
    assert place.startswith(f"statements[1].{field or ''}")
    assert violation == reason
    assert await ledger.rows() == before


async def test_a_digest_of_the_wrong_length_is_named(ledger: Ledger, agency: Any) -> None:
    raw = ledger.statement(ledger.founded.agency)
    at = raw.index(b"\xa0\x58\x20") + 1
    short = raw[:at] + b"\x58\x1f" + raw[at + 3 :]
    before = await ledger.rows()
    told = await refused(agency.RegisterStatements(register(short)))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_LENGTH")
    assert told.violations == (("statements[0].digest", "DIGEST_LENGTH"),)
    assert await ledger.rows() == before


async def test_every_bad_statement_of_a_call_is_listed(ledger: Ledger, agency: Any) -> None:
    account, stranger = ledger.founded.agency, type(ledger.founded.agency).generate()
    good = ledger.statement(account)
    statements = [good, good[:-1], ledger.statement(stranger), ledger.statement(account, document_type="380")]
    statements += [ledger.statement(account) for _ in range(20)]
    before = await ledger.rows()
    told = await refused(agency.RegisterStatements(register(*statements)))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "STATEMENTS_REFUSED")
    assert [reason for _, reason in told.violations] == [
        "COSE_TRUNCATED",
        "ISSUER_NOT_CALLER",
        "ISSUER_NOT_ACCREDITED",
    ]
    assert [place.partition(".")[0] for place, _ in told.violations] == [
        "statements[1]",
        "statements[2]",
        "statements[3]",
    ]
    assert await ledger.rows() == before


async def test_a_certificate_of_another_organisation_than_the_signer_is_refused(
    ledger: Ledger, connect: Connect
) -> None:
    other = type(ledger.founded.agency).generate()
    stub = connect(ledger.identity(other, "agency"))
    before = await ledger.rows()
    told = await refused(stub.RegisterStatements(register(ledger.statement(ledger.founded.agency))))
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ISSUER_NOT_CALLER")
    assert told.violations == (("statements[0].issuer", "ISSUER_NOT_CALLER"),)
    assert await ledger.rows() == before


async def test_an_accredited_issuer_needs_no_record_in_the_identity_registry(
    ledger: Ledger, agency: Any
) -> None:
    account, node = ledger.founded.agency, JsonRpcNode(ledger.founded.url, FAST)
    head = encode_call("IdentityRegistry", "headOf", (identity_key(account.address),))
    assert await node.call(ledger.founded.network.address("IdentityRegistry"), head) == bytes(32)
    await node.close()
    await agency.RegisterStatements(register(ledger.statement(account)))
    told = await refused(
        agency.RegisterStatements(register(ledger.statement(account, document_type=INVOICE)))
    )
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ISSUER_NOT_ACCREDITED")
    assert told.violations == (("statements[0].document_type", "ISSUER_NOT_ACCREDITED"),)


async def test_an_issuer_of_whom_nothing_is_on_chain_is_unknown(ledger: Ledger, connect: Connect) -> None:
    stranger = type(ledger.founded.agency).generate()
    stub = connect(ledger.identity(stranger, "agency"))
    told = await refused(stub.RegisterStatements(register(ledger.statement(stranger))))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ISSUER_UNKNOWN")
    assert told.violations == (("statements[0].issuer", "ISSUER_UNKNOWN"),)


async def test_a_signature_by_another_key_is_refused(ledger: Ledger, agency: Any) -> None:
    account, other = ledger.founded.agency, type(ledger.founded.agency).generate()
    before = await ledger.rows()
    told = await refused(agency.RegisterStatements(register(ledger.statement(account, signer=other))))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "KEY_UNKNOWN")
    assert told.violations == (("statements[0].kid", "KEY_UNKNOWN"),)
    assert await ledger.rows() == before


async def test_a_supersession_about_another_subject_is_refused(ledger: Ledger, agency: Any) -> None:
    first = await agency.RegisterStatements(register(ledger.statement(ledger.founded.agency)))
    earlier = StatementId(first.statements[0].statement_id)
    good = ledger.statement(ledger.founded.agency, supersedes=earlier)
    bad = ledger.statement(ledger.founded.agency, supersedes=earlier, subject="urn:sample:bl:2")
    told = await refused(agency.RegisterStatements(register(good, bad)))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SUPERSEDES_MISMATCH")
    assert told.violations == (("statements[1].supersedes", "SUPERSEDES_MISMATCH"),)
    await agency.RegisterStatements(register(good))


async def test_a_request_that_breaks_the_contract_is_refused(ledger: Ledger, agency: Any) -> None:
    told = await refused(agency.RegisterStatements(register(b"", request_id="not a uuid")))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert {place for place, _ in told.violations} == {"request_id", "statements[0]"}


async def test_listing_by_digest_subject_and_issuer_in_pages(ledger: Ledger, agency: Any) -> None:
    subject = f"urn:sample:bl:{uuid.uuid4()}"
    raws = [ledger.statement(ledger.founded.agency, subject=subject) for _ in range(5)]
    await agency.RegisterStatements(register(*raws))
    seen, token = [], ""
    while True:
        page = await agency.ListStatements(
            pb.ListStatementsRequest(subject=subject, page_size=2, page_token=token)
        )
        assert len(page.statements) <= 2
        seen += [item.signed_statement for item in page.statements]
        token = page.next_page_token
        if not token:
            break
    assert seen == raws
    digest = bytes(parse_statement(raws[3]).digest)
    found = await agency.ListStatements(pb.ListStatementsRequest(document_digest=digest))
    assert [item.signed_statement for item in found.statements] == [raws[3]]
    told = await refused(agency.ListStatements(pb.ListStatementsRequest(document_type="705")))
    assert told.reason == "SELECTOR_REQUIRED"
    told = await refused(agency.ListStatements(pb.ListStatementsRequest(subject=subject, page_token="x")))
    assert (told.reason, told.violations) == (
        "PAGE_TOKEN_INVALID",
        (("page_token", "PAGE_TOKEN_INVALID"),),
    )


async def test_entries_are_for_those_entitled(ledger: Ledger, agency: Any, connect: Connect) -> None:
    stranger, friend = (type(ledger.founded.agency).generate() for _ in range(2))
    raw = ledger.statement(ledger.founded.agency, audience=(ledger.did(friend),))
    await agency.RegisterStatements(register(raw))
    await reached(agency, bytes(id_of(raw)), LOGGED)
    wanted = pb.GetStatementRequest(statement_id=bytes(id_of(raw)))
    told = {}
    for name, identity in {
        "issuer": ledger.identity(ledger.founded.agency),
        "audience": ledger.identity(friend),
        "auditor": ledger.identity(stranger, "auditor"),
        "stranger": ledger.identity(stranger, "bank"),
    }.items():
        told[name] = (await connect(identity).GetStatement(wanted)).statement.signed_statement
    assert told == {"issuer": raw, "audience": raw, "auditor": raw, "stranger": b""}
    page = await connect(ledger.identity(stranger, "auditor")).ListEntries(pb.ListEntriesRequest())
    assert [entry.leaf_index for entry in page.entries] == list(range(len(page.entries)))
    refusal = await refused(connect(ledger.identity(stranger, "bank")).ListEntries(pb.ListEntriesRequest()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_an_unknown_statement_is_not_found(agency: Any) -> None:
    told = await refused(agency.GetStatement(pb.GetStatementRequest(statement_id=hashlib.sha256().digest())))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "STATEMENT_NOT_FOUND")
