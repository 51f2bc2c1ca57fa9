"""Identities, accreditation and recognition: signed by their authors, relayed, on chain, explained."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from typing import Any

import grpc
import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.keys import Suite, generate
from silkledger.keys.account import Account
from silkledger.registry.identity import ZERO_ADDRESS
from tests.integration.identity.conftest import CN, TH, Connect, Service
from tests.support.anvil import eventually
from tests.support.grpc_clients import refusal_of

BL = b"705".ljust(8, b"\0")
INVOICE = b"380".ljust(8, b"\0")
KEY = b"did/pub/Multikey/veriKey".ljust(32, b"\0")
ROOT = bytes(32)


def relay(call: chain.SignedCall) -> chain.RelayCallRequest:
    return chain.RelayCallRequest(request_id=str(uuid.uuid4()), call=call)


async def act(
    service: Service,
    connect: Connect,
    account: Account,
    rpc: str,
    contract: str,
    function: str,
    *args: object,
) -> chain.CallStatus:
    """Have a signed call relayed and wait until it is final."""
    stub = connect(service.identity_of(account))
    call = service.call(account, contract, function, *args)
    accepted = (await getattr(stub, rpc)(relay(call))).status
    assert accepted.stage == chain.EVIDENCE_STAGE_ACCEPTED
    question = chain.GetCallRequest(actor=call.actor, request_id=call.request_id)
    found = chain.CallStatus()

    async def final() -> bool:
        found.CopyFrom((await stub.GetCall(question)).status)
        return found.stage == chain.EVIDENCE_STAGE_FINAL

    await eventually(final, f"{function} is final")
    return found


async def accredit(
    service: Service,
    connect: Connect,
    by: Account,
    issuer: Account,
    *,
    doc_type: bytes = BL,
    level: int = 2,
    until: int = 0,
    parent: bytes = ROOT,
    country: str = CN,
) -> chain.CallStatus:
    args = (issuer.address, country.encode(), doc_type, level, 1, until, parent, True)
    return await act(service, connect, by, "Accredit", "TrustRegistry", "accredit", *args)


async def accreditations(stub: Any, issuer: str) -> list[pb.Accreditation]:
    return list((await stub.ListAccreditations(pb.ListAccreditationsRequest(issuer=issuer))).accreditations)


async def test_a_published_key_is_in_the_did_document_from_its_block_on(
    service: Service, connect: Connect
) -> None:
    account, key = Account.generate(), generate(Suite.SM2).verifying_key
    did, stub = str(service.did(account)), connect(service.operator)
    never = await stub.ResolveDid(pb.ResolveDidRequest(did=did))
    assert json.loads(never.metadata_json) == {"deactivated": False}
    assert len(json.loads(never.did_document_json)["verificationMethod"]) == 1
    args = (account.address, KEY, key.to_multicodec(), 2**63)
    done = await act(service, connect, account, "PublishIdentity", "IdentityRegistry", "setAttribute", *args)
    assert done.outcome == chain.CALL_OUTCOME_EXECUTED
    now = await stub.ResolveDid(pb.ResolveDidRequest(did=did))
    method = json.loads(now.did_document_json)["verificationMethod"][1]
    assert (method["id"], method["publicKeyMultibase"]) == (f"{did}#delegate-1", key.to_multikey())
    assert json.loads(now.metadata_json)["versionId"] == str(done.block.number)
    before = await stub.ResolveDid(pb.ResolveDidRequest(did=did, as_of_block=done.block.number - 1))
    assert len(json.loads(before.did_document_json)["verificationMethod"]) == 1
    assert json.loads(before.metadata_json)["nextVersionId"] == str(done.block.number)
    assert before.as_of.number == done.block.number - 1


async def test_the_new_owner_acts_for_the_identity_and_numbers_go_on(
    service: Service, connect: Connect
) -> None:
    """The contract ends the former owner's keys by records; fragments are never used twice."""
    account, heir = Account.generate(), Account.generate()
    did, stub = str(service.did(account)), connect(service.operator)
    keys = [generate(Suite.EDDSA).verifying_key for _ in range(2)]
    publish = ("PublishIdentity", "IdentityRegistry")
    set_first = (account.address, KEY, keys[0].to_multicodec(), 2**63)
    await act(service, connect, account, *publish, "setAttribute", *set_first)
    await act(service, connect, account, *publish, "changeOwner", account.address, heir.address)
    found = await stub.ResolveDid(pb.ResolveDidRequest(did=did))
    assert len(json.loads(found.did_document_json)["verificationMethod"]) == 1
    own = connect(service.identity_of(account))
    call = service.call(
        heir, "IdentityRegistry", "setAttribute", account.address, KEY, keys[1].to_multicodec(), 2**63
    )
    await own.PublishIdentity(relay(call))

    async def published() -> bool:
        document = json.loads((await stub.ResolveDid(pb.ResolveDidRequest(did=did))).did_document_json)
        return [m["id"] for m in document["verificationMethod"][1:]] == [f"{did}#delegate-3"]

    await eventually(published, "the heir's key is published")


async def test_authorisation_is_explained_as_of_a_block(service: Service, connect: Connect) -> None:
    agency, port = Account.generate(), Account.generate()
    code = "T" + secrets.token_hex(3)
    doc_type = code.encode().ljust(8, b"\0")
    stub, cn, th = connect(service.operator), service.authorities[CN], service.authorities[TH]

    async def ask(issuer: Account, country: str, **blocks: int) -> pb.CheckAuthorisationResponse:
        request = pb.CheckAuthorisationRequest(
            issuer=str(service.did(issuer)), document_type=code, relying_country=country, **blocks
        )
        return await stub.CheckAuthorisation(request)

    assert (await ask(agency, CN)).reason == "NOT_ACCREDITED"
    given = await accredit(service, connect, cn, agency, doc_type=doc_type)
    root = (await accreditations(stub, str(service.did(agency))))[0]
    assert (root.status, root.level, root.country, root.parent) == ("ACTIVE", 2, "CN", b"")
    assert root.recorded_at.number == given.block.number
    await accredit(service, connect, agency, port, doc_type=doc_type, level=1, parent=root.id)
    assert (await ask(port, CN)).authorised
    assert (await ask(port, TH)).reason == "NOT_RECOGNISED"
    recognise = (TH.encode(), CN.encode(), doc_type, 1, 1, 0)
    await act(service, connect, th, "Recognise", "TrustRegistry", "recognise", *recognise)
    good = await ask(port, TH)
    assert good.authorised
    assert good.steps[-1].statement == f"TH recognises CN for {code} from level 1"
    assert [bool(s.accreditation_id) for s in good.steps] == [False, True, True, False]
    assert all(step.recorded_at.hash for step in good.steps)
    change = (root.id, good.as_of.number, 1)
    done = await act(service, connect, cn, "ChangeAccreditation", "TrustRegistry", "revoke", *change)
    bad = await ask(port, TH)
    assert (bad.authorised, bad.reason) == (False, "PARENT_ACCREDITATION_REVOKED")
    then = await ask(port, TH, as_of_block=good.as_of.number, known_at_block=done.block.number - 1)
    assert then.authorised, "the revocation reaches back, but nobody could know it then"
    assert (await ask(port, TH, as_of_block=good.as_of.number, known_at_block=done.block.number)).reason
    assert (await accreditations(stub, str(service.did(agency))))[0].status == "REVOKED"


async def test_a_deactivated_issuer_is_authorised_for_nothing(service: Service, connect: Connect) -> None:
    issuer, stub = Account.generate(), connect(service.operator)
    await accredit(service, connect, service.authorities[CN], issuer)
    question = pb.CheckAuthorisationRequest(
        issuer=str(service.did(issuer)), document_type="705", relying_country="CN"
    )
    assert (await stub.CheckAuthorisation(question)).authorised
    done = await act(
        service,
        connect,
        issuer,
        "PublishIdentity",
        "IdentityRegistry",
        "changeOwner",
        issuer.address,
        ZERO_ADDRESS,
    )
    answer = await stub.CheckAuthorisation(question)
    assert (answer.authorised, answer.reason) == (False, "ISSUER_DEACTIVATED")
    question.as_of_block = done.block.number - 1
    assert (await stub.CheckAuthorisation(question)).authorised


async def test_what_the_contract_refuses_is_told_in_words(service: Service, connect: Connect) -> None:
    nobody = Account.generate()
    done = await accredit(service, connect, nobody, Account.generate())
    assert done.outcome == chain.CALL_OUTCOME_REFUSED
    assert done.reason_text.startswith("TrustRegistry: NotAuthority")


async def test_the_same_request_again_is_one_call(service: Service, connect: Connect) -> None:
    cn = service.authorities[CN]
    stub = connect(service.identity_of(cn))
    args = (Account.generate().address, b"CN", INVOICE, 1, 1, 0, ROOT, False)
    request = relay(service.call(cn, "TrustRegistry", "accredit", *args))
    first = await stub.Accredit(request)
    rows = await service.rows()
    assert await stub.Accredit(request) == first
    assert await service.rows() == rows
    again = relay(request.call)
    assert (await stub.Accredit(again)).status.actor == request.call.actor
    assert (await service.rows())["intent"] == rows["intent"]
    other = service.call(cn, "TrustRegistry", "accredit", *args, signed_id=request.call.request_id)
    changed = service.call(
        cn,
        "TrustRegistry",
        "accredit",
        args[0],
        b"CN",
        INVOICE,
        2,
        *args[4:],
        signed_id=request.call.request_id,
    )
    assert other.request_id == changed.request_id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Accredit(chain.RelayCallRequest(request_id=request.request_id, call=changed))
    assert refusal_of(caught.value).reason == "REQUEST_ID_CONFLICT"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Accredit(relay(changed))
    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.violations[0][0]) == ("CALL_CONFLICT", "call.request_id")


def _refused_calls(service: Service, cn: Account) -> dict[str, tuple[str, str, str, chain.SignedCall]]:
    """Name → (rpc, reason, field, call)."""
    issuer, trust = Account.generate().address, "TrustRegistry"

    def call(*args: object, function: str = "accredit", by: Account = cn, **change: Any) -> chain.SignedCall:
        return service.call(by, trust, function, *args, **change)

    good = (issuer, b"CN", BL, 1, 1, 0, ROOT, False)
    now = int(time.time())
    stranger = Account.generate()
    identity = service.network.address("IdentityRegistry")
    data = call(*good).data
    n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signed = call(*good)
    s = (n - int.from_bytes(signed.signature[32:64], "big")).to_bytes(32, "big")
    high = signed.signature[:32] + s + bytes([55 - signed.signature[64]])
    high_s = chain.SignedCall()
    high_s.CopyFrom(signed)
    high_s.signature = high
    return {
        "another's account": ("Accredit", "CALL_ACTOR_NOT_CALLER", "call.actor", call(*good, by=stranger)),
        "signed by another": (
            "Accredit",
            "CALL_SIGNATURE_INVALID",
            "call.signature",
            call(*good, by=stranger, actor=cn.address),
        ),
        "changed after signing": (
            "Accredit",
            "CALL_SIGNATURE_INVALID",
            "call.signature",
            call(*good, gas=22_000),
        ),
        "high s": ("Accredit", "CALL_SIGNATURE_INVALID", "call.signature", high_s),
        "another contract": ("Accredit", "CALL_TARGET_WRONG", "call.target", call(*good, target=identity)),
        "another function": (
            "Accredit",
            "CALL_FUNCTION_NOT_ALLOWED",
            "call.data",
            call(b"TH", b"CN", BL, 1, 1, 0, function="recognise"),
        ),
        "governance's function": (
            "Recognise",
            "CALL_FUNCTION_NOT_ALLOWED",
            "call.data",
            call(b"XX", issuer, function="registerCountry"),
        ),
        "trailing bytes": ("Accredit", "CALL_DATA_MALFORMED", "call.data", call(*good, data=data + b"\0")),
        "cut short": ("Accredit", "CALL_DATA_MALFORMED", "call.data", call(*good, data=data[:-1])),
        "level": ("Accredit", "CALL_ARGUMENT_INVALID", "call.data", call(*good[:3], 4, *good[4:])),
        "country": ("Accredit", "CALL_ARGUMENT_INVALID", "call.data", call(issuer, b"cn", *good[2:])),
        "period": ("Accredit", "CALL_ARGUMENT_INVALID", "call.data", call(*good[:4], 5, 5, *good[6:])),
        "expired": ("Accredit", "CALL_EXPIRED", "call.deadline", call(*good, signed_deadline=now - 1)),
        "for years": (
            "Accredit",
            "CALL_DEADLINE_TOO_FAR",
            "call.deadline",
            call(*good, signed_deadline=now + 10**8),
        ),
        "actor of another length": (
            "Accredit",
            "INVALID_REQUEST",
            "call.actor",
            call(*good, actor=bytes(19)),
        ),
    }


async def test_bad_calls_are_refused_by_field_and_write_nothing(service: Service, connect: Connect) -> None:
    cn = service.authorities[CN]
    stub = connect(service.identity_of(cn))
    before = await service.rows()
    for name, (rpc, reason, field, call) in _refused_calls(service, cn).items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(stub, rpc)(relay(call))
        refusal = refusal_of(caught.value)
        assert (refusal.reason, refusal.violations[0][0]) == (reason, field), name
    assert await service.rows() == before


async def test_questions_out_of_range_are_refused(service: Service, connect: Connect) -> None:
    stub, did = connect(service.operator), str(service.did(Account.generate()))
    for request, reason in (
        (pb.ResolveDidRequest(did="did:ethr:0x1:0x00"), "DID_INVALID"),
        (pb.ResolveDidRequest(did=did.replace("0x1c95", "0x1")), "DID_OTHER_CHAIN"),
        (pb.ResolveDidRequest(did=did.upper()), "DID_INVALID"),
        (pb.ResolveDidRequest(did=did, as_of_block=10**9), "BLOCK_NOT_FINAL"),
        (pb.ResolveDidRequest(did=did, as_of_block=0), "BLOCK_NOT_FINAL"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ResolveDid(request)
        assert refusal_of(caught.value).reason == reason
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetCall(chain.GetCallRequest(actor=bytes(20), request_id=bytes(32)))
    assert refusal_of(caught.value).reason == "CALL_NOT_FOUND"


async def test_accreditations_are_listed_page_by_page_as_of_one_block(
    service: Service, connect: Connect
) -> None:
    issuer, stub = Account.generate(), connect(service.operator)
    for doc_type in (b"705", b"380", b"861"):
        await accredit(service, connect, service.authorities[CN], issuer, doc_type=doc_type.ljust(8, b"\0"))
    did, found, token = str(service.did(issuer)), [], ""
    while True:
        request = pb.ListAccreditationsRequest(issuer=did, page_size=1, page_token=token)
        page = await stub.ListAccreditations(request)
        found += [item.document_type for item in page.accreditations]
        token = page.next_page_token
        if not token:
            break
    assert found == ["705", "380", "861"]
    whole = await stub.ListAccreditations(pb.ListAccreditationsRequest(country="CN"))
    assert did in {item.issuer for item in whole.accreditations}
    elsewhere = await stub.ListAccreditations(pb.ListAccreditationsRequest(issuer=did, country="TH"))
    assert not elsewhere.accreditations
