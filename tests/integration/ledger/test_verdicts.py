"""Verdicts, evidence and relayed calls, from a real service on a real chain."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from typing import Any

import grpc

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Outcome
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.calls import sign_call
from silkledger.evm.contracts import encode_call
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.statement import parse_statement
from silkledger.values import CountryCode

from .conftest import FAR, Connect, Ledger, id_of, reached, refused, register

FINAL = chain.EVIDENCE_STAGE_FINAL


async def final_statement(ledger: Ledger, agency: Any) -> tuple[bytes, pb.Statement]:
    raw = ledger.statement(ledger.founded.agency)
    await agency.RegisterStatements(register(raw))
    return raw, await reached(agency, bytes(id_of(raw)), FINAL)


def digest_of(raw: bytes) -> bytes:
    return bytes(parse_statement(raw).digest)


def checks(verdict: chain.Verdict) -> dict[str, tuple[int, str]]:
    return {check.name: (check.result, check.reason) for check in verdict.checks}


def revocation(ledger: Ledger, account: Account, statement_id: bytes, **change: Any) -> chain.SignedCall:
    data = encode_call("DocumentStatus", "revoke", (statement_id, 1, 0))
    signed = sign_call(
        account,
        ledger.founded.network,
        contract="DocumentStatus",
        data=data,
        request_id=change.pop("call_id", None) or secrets.token_bytes(32),
        deadline=change.pop("deadline", FAR),
    )
    names = ("actor", "target", "request_id", "deadline", "gas", "data", "signature")
    return chain.SignedCall(**({name: getattr(signed, name) for name in names} | change))


def relay(call: chain.SignedCall) -> chain.RelayCallRequest:
    return chain.RelayCallRequest(request_id=str(uuid.uuid4()), call=call)


async def executed(stub: Any, call: chain.SignedCall) -> chain.CallStatus:
    deadline = time.monotonic() + 30
    while True:
        wanted = chain.GetCallRequest(actor=call.actor, request_id=call.request_id)
        status: chain.CallStatus = (await stub.GetCall(wanted)).status
        if status.stage == FINAL:
            return status
        assert time.monotonic() < deadline, f"stays at stage {status.stage}"
        await asyncio.sleep(0.05)


async def test_a_good_document_passes_for_development_only(ledger: Ledger, agency: Any) -> None:
    raw, found = await final_statement(ledger, agency)
    for country in ("TH", "CN"):
        answer = await agency.VerifyDocument(
            pb.VerifyDocumentRequest(document_digest=digest_of(raw), relying_country=country)
        )
        assert answer.verdict.outcome == chain.OUTCOME_PASS_DEVELOPMENT_ONLY
        assert answer.verdict.assurance == chain.ASSURANCE_ENGINE_WITHOUT_SEALS
        assert {result for result, _ in checks(answer.verdict).values()} == {chain.CHECK_RESULT_PASS}
        assert [item.statement.statement_id for item in answer.statements] == [found.statement_id]


async def test_a_country_without_recognition_does_not_rely_on_it(ledger: Ledger, agency: Any) -> None:
    raw, _ = await final_statement(ledger, agency)
    answer = await agency.VerifyDocument(
        pb.VerifyDocumentRequest(document_digest=digest_of(raw), relying_country="LA")
    )
    assert answer.verdict.outcome == chain.OUTCOME_FAIL
    assert checks(answer.verdict)["authority_known"] == (chain.CHECK_RESULT_FAIL, "NOT_RECOGNISED")


async def test_not_registered_is_not_failed(agency: Any) -> None:
    answer = await agency.VerifyDocument(
        pb.VerifyDocumentRequest(document_digest=secrets.token_bytes(32), relying_country="TH")
    )
    assert answer.verdict.outcome == chain.OUTCOME_NOT_REGISTERED
    assert not answer.statements


async def test_a_verdict_is_as_of_a_block(ledger: Ledger, agency: Any) -> None:
    raw, found = await final_statement(ledger, agency)
    before = pb.VerifyDocumentRequest(
        document_digest=digest_of(raw), relying_country="TH", as_of_block=found.anchor.block.number - 1
    )
    answer = await agency.VerifyDocument(before)
    assert checks(answer.verdict)["registration"] == (chain.CHECK_RESULT_FAIL, "AS_OF_BEFORE_REGISTRATION")
    before.as_of_block = 10**9
    told = await refused(agency.VerifyDocument(before))
    assert (told.code, told.reason) == (grpc.StatusCode.OUT_OF_RANGE, "BLOCK_NOT_FINAL")


async def test_a_revocation_is_relayed_and_changes_the_verdict_from_its_block_on(
    ledger: Ledger, agency: Any
) -> None:
    raw, found = await final_statement(ledger, agency)
    call = revocation(ledger, ledger.founded.agency, found.statement_id)
    request = relay(call)
    first = await agency.RelayCall(request)
    assert first.status.stage == chain.EVIDENCE_STAGE_ACCEPTED
    assert await agency.RelayCall(request) == first
    status = await executed(agency, call)
    assert status.outcome == chain.CALL_OUTCOME_EXECUTED
    wanted = pb.VerifyDocumentRequest(document_digest=digest_of(raw), relying_country="TH")
    after = await agency.VerifyDocument(wanted)
    assert after.verdict.outcome == chain.OUTCOME_FAIL
    assert checks(after.verdict)["status_known"] == (chain.CHECK_RESULT_FAIL, "DOCUMENT_REVOKED")
    wanted.as_of_block = status.block.number - 1
    earlier = await agency.VerifyDocument(wanted)
    assert checks(earlier.verdict)["status_known"][0] == chain.CHECK_RESULT_PASS
    assert any("revoked later" in notice for notice in earlier.verdict.notices)


async def test_calls_that_the_contract_would_not_run_are_refused_and_leave_nothing(
    ledger: Ledger, agency: Any, connect: Connect
) -> None:
    account, other = ledger.founded.agency, Account.generate()
    good = revocation(ledger, account, secrets.token_bytes(32))
    before = await ledger.rows()
    for call, reason, field in (
        (revocation(ledger, other, bytes(32)), "CALL_ACTOR_NOT_CALLER", "call.actor"),
        (revocation(ledger, account, bytes(32), deadline=1000), "CALL_EXPIRED", "call.deadline"),
        (revocation(ledger, account, bytes(32), target=bytes(20)), "CALL_TARGET_NOT_LISTED", "call.target"),
        (revocation(ledger, account, bytes(32), gas=30_000), "CALL_SIGNATURE_INVALID", "call.signature"),
    ):
        told = await refused(agency.RelayCall(relay(call)))
        assert (told.reason, told.violations) == (reason, ((field, reason),))
    assert await ledger.rows() == before
    await agency.RelayCall(relay(good))
    conflict = revocation(ledger, account, secrets.token_bytes(32), call_id=good.request_id)
    told = await refused(agency.RelayCall(relay(conflict)))
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "CALL_CONFLICT")
    unknown = chain.GetCallRequest(actor=bytes(account.address), request_id=secrets.token_bytes(32))
    assert (await refused(agency.GetCall(unknown))).reason == "CALL_NOT_FOUND"
    operator = connect(ledger.identity(other, "operator"))
    await operator.RelayCall(relay(revocation(ledger, account, secrets.token_bytes(32))))


async def test_evidence_verifies_offline_and_says_the_same(ledger: Ledger, agency: Any) -> None:
    raw, found = await final_statement(ledger, agency)
    block = found.anchor.block
    wanted = pb.GetEvidenceRequest(
        statement_id=found.statement_id, relying_country="TH", as_of_block=block.number
    )
    bundle = (await agency.GetEvidence(wanted)).bundle
    network = ledger.founded.network
    roots = TrustRoots(
        chain_id=network.chain_id,
        genesis_hash=network.genesis_hash,
        engine=EngineKind.NO_SEALS,
        rules=None,
        directory=network.directory,
        contracts=network.addresses,
        pinned_blocks={block.number: type(network.genesis_hash)(block.hash)},
    )
    statement = parse_statement(raw)
    verdict = verify_bundle(statement.digest, bundle, roots, relying_country=CountryCode("TH"))
    assert verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY, verdict
    online = await agency.VerifyDocument(
        pb.VerifyDocumentRequest(document_digest=bytes(statement.digest), relying_country="TH")
    )
    offline = {check.name: (int(check.result), check.reason) for check in verdict.checks}
    told = checks(online.verdict)
    assert told == {name: offline[name] for name in told}


async def test_evidence_before_finality_is_refused(ledger: Ledger, agency: Any) -> None:
    raw = ledger.statement(ledger.founded.agency)
    await agency.RegisterStatements(register(raw))
    wanted = pb.GetEvidenceRequest(statement_id=bytes(id_of(raw)), relying_country="TH")
    told = await refused(agency.GetEvidence(wanted))
    assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_FINAL_YET")
    assert told.retry_after_s is not None


async def test_the_network_is_told(ledger: Ledger, agency: Any) -> None:
    network = await agency.GetNetwork(pb.GetNetworkRequest())
    assert network.origin == ledger.origin
    assert network.chain_id == ledger.founded.network.chain_id
    assert network.directory == bytes(ledger.founded.network.directory)
    assert set(network.contracts) == set(ledger.founded.network.addresses)
    assert network.head.number >= network.final.number > 0
