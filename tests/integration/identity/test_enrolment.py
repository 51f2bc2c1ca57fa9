"""Enrolment through gRPC and mTLS: certificates, unique claims, refusals that write nothing."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.identity.v1 import identity_pb2_grpc as rpc
from tests.integration.identity.conftest import Applicant, Connect, Service
from tests.support.grpc_clients import channel, refusal_of
from tests.support.pki import Identity

LEI = "529900T8BM49AURSDO55"
USCC = "91110000600037341L"


async def refused(stub: Any, request: pb.EnrolOrganisationRequest, service: Service) -> tuple[Any, ...]:
    """(code, reason, fields) of a refused enrolment, after checking that nothing was written."""
    before = await service.rows()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.EnrolOrganisation(request)
    assert await service.rows() == before
    refusal = refusal_of(caught.value)
    assert refusal.domain == "silkledger"
    return refusal.code, refusal.reason, [field for field, _ in refusal.violations]


async def test_an_enrolled_organisation_can_call_with_its_certificate(
    service: Service, connect: Connect
) -> None:
    applicant = Applicant.new()
    request = applicant.request(service.network.chain_id, roles=[pb.ROLE_AUDITOR, pb.ROLE_AGENCY])
    before = await service.rows()
    response = await connect(service.operator).EnrolOrganisation(request)
    after = await service.rows()
    assert {name: after[name] - before[name] for name in after} == {
        "organisation": 1,
        "organisation_role": 2,
        "relayed_call": 0,
        "audit": 1,
        "idempotency": 1,
        "intent": 0,
        "status_list": 0,
        "status_list_call": 0,
    }
    did = str(service.did(applicant.account))
    assert response.organisation.did == did
    key = applicant.tls_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    own = Identity(response.certificate_chain_pem.encode(), key, service.ca.pem)
    found = await connect(own).GetOrganisation(pb.GetOrganisationRequest(did=did))
    assert found.organisation == response.organisation
    assert list(found.organisation.roles) == [pb.ROLE_AGENCY, pb.ROLE_AUDITOR]


async def test_the_certificate_says_who_and_nothing_that_was_not_granted(
    service: Service, connect: Connect
) -> None:
    applicant = Applicant.new()
    request = applicant.request(service.network.chain_id, csr_pem=applicant.csr(local=True))
    response = await connect(service.operator).EnrolOrganisation(request)
    leaf, root = x509.load_pem_x509_certificates(response.certificate_chain_pem.encode())
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    did = str(service.did(applicant.account))
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [did, "urn:silkledger:role:agency"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert leaf.public_key() == applicant.tls_key.public_key()
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days <= 397


async def test_the_same_request_again_gives_the_same_certificate(service: Service, connect: Connect) -> None:
    applicant = Applicant.new()
    stub = connect(service.operator)
    request = applicant.request(service.network.chain_id)
    first = await stub.EnrolOrganisation(request)
    rows = await service.rows()
    assert await stub.EnrolOrganisation(request) == first
    assert await service.rows() == rows
    other = applicant.request(service.network.chain_id, request_id=request.request_id, name="Other")
    code, reason, fields = await refused(stub, other, service)
    assert (code, reason, fields) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "REQUEST_ID_CONFLICT",
        ["request_id"],
    )


@pytest.mark.parametrize(
    ("field", "claims"),
    [
        ("lei", {"lei": LEI}),
        ("uscc", {"uscc": USCC}),
        ("bic", {"bic": "SAMPTHBK", "roles": [pb.ROLE_BANK]}),
        ("controller_key", {}),
    ],
)
async def test_an_identifier_belongs_to_one_organisation(
    service: Service, connect: Connect, field: str, claims: dict[str, Any]
) -> None:
    stub = connect(service.operator)
    first, second = Applicant.new(), Applicant.new()
    if field == "controller_key":
        second = Applicant(first.account, second.tls_key)
    await stub.EnrolOrganisation(first.request(service.network.chain_id, **claims))
    code, reason, fields = await refused(stub, second.request(service.network.chain_id, **claims), service)
    name = "DID" if field == "controller_key" else field.upper()
    assert (code, reason, fields) == (grpc.StatusCode.ALREADY_EXISTS, f"{name}_TAKEN", [field])


def _bad(request: pb.EnrolOrganisationRequest, **fields: Any) -> pb.EnrolOrganisationRequest:
    """Changed after the proof was made."""
    changed = pb.EnrolOrganisationRequest()
    changed.CopyFrom(request)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


@pytest.mark.parametrize(
    ("claims", "reason", "field"),
    [
        ({"lei": "529900T8BM49AURSDO56"}, "LEI_INVALID", "lei"),
        ({"uscc": "91110000600037341M"}, "USCC_INVALID", "uscc"),
        ({"bic": "SAMPCNBJ"}, "BIC_INVALID", "bic"),
        ({"roles": [pb.ROLE_BANK]}, "BIC_REQUIRED", "bic"),
        ({"name": "Sample\u202ebank"}, "NAME_INVALID", "name"),
        ({"name": " Sample"}, "NAME_INVALID", "name"),
        ({"endpoint": "no port"}, "ENDPOINT_INVALID", "endpoint"),
        ({"csr_pem": "nonsense"}, "CSR_MALFORMED", "csr_pem"),
        ({"controller_key": bytes(33)}, "CONTROLLER_KEY_INVALID", "controller_key"),
    ],
)
async def test_bad_claims_are_refused_by_field(
    service: Service, connect: Connect, claims: dict[str, Any], reason: str, field: str
) -> None:
    applicant = Applicant.new()
    after_proof = {name: claims[name] for name in claims if name == "controller_key"}
    request = applicant.request(
        service.network.chain_id, **{name: value for name, value in claims.items() if name not in after_proof}
    )
    outcome = await refused(connect(service.operator), _bad(request, **after_proof), service)
    assert outcome == (grpc.StatusCode.INVALID_ARGUMENT, reason, [field])


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())]
)
async def test_other_tls_keys_are_refused(service: Service, connect: Connect, key: Any) -> None:
    applicant = Applicant.new()
    request = applicant.request(service.network.chain_id, csr_pem=applicant.csr(key))
    outcome = await refused(connect(service.operator), request, service)
    assert outcome == (grpc.StatusCode.INVALID_ARGUMENT, "CSR_KEY_UNSUPPORTED", ["csr_pem"])


async def test_a_request_signed_by_another_tls_key_is_refused(service: Service, connect: Connect) -> None:
    applicant = Applicant.new()
    good = x509.load_pem_x509_csr(applicant.csr().encode())
    der = good.public_bytes(serialization.Encoding.DER)
    forged = der[:-1] + bytes([der[-1] ^ 1])
    body = base64.encodebytes(forged).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    request = applicant.request(service.network.chain_id, csr_pem=pem)
    outcome = await refused(connect(service.operator), request, service)
    assert outcome == (grpc.StatusCode.INVALID_ARGUMENT, "CSR_SIGNATURE_INVALID", ["csr_pem"])


async def test_the_proof_covers_every_claim_and_the_network(service: Service, connect: Connect) -> None:
    applicant, stub = Applicant.new(), connect(service.operator)
    good = applicant.request(service.network.chain_id)
    n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = good.controller_proof[:32] + (n - int.from_bytes(good.controller_proof[32:], "big")).to_bytes(
        32, "big"
    )
    other_network = _bad(good, controller_proof=applicant.proof(good, service.network.chain_id + 1))
    for request, reason in (
        (_bad(good, name="Other"), "SIGNATURE_INVALID"),
        (_bad(good, country="CN"), "SIGNATURE_INVALID"),
        (_bad(good, csr_pem=Applicant.new().csr()), "SIGNATURE_INVALID"),
        (_bad(good, request_id=str(uuid.uuid4())), "SIGNATURE_INVALID"),
        (_bad(good, controller_key=Applicant.new().account.public_key), "SIGNATURE_INVALID"),
        (other_network, "SIGNATURE_INVALID"),
        (_bad(good, controller_proof=high), "SIGNATURE_HIGH_S"),
    ):
        outcome = await refused(stub, request, service)
        assert outcome == (grpc.StatusCode.INVALID_ARGUMENT, reason, ["controller_proof"])
    assert (await stub.EnrolOrganisation(good)).organisation.name == good.name


async def test_only_the_registrar_enrols(service: Service, connect: Connect) -> None:
    applicant = Applicant.new()
    stub = connect(service.identity_of(Applicant.new().account, "agency", "authority"))
    code, reason, _ = await refused(stub, applicant.request(service.network.chain_id), service)
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


async def test_without_an_organisation_in_the_certificate_nobody_gets_in(
    service: Service, connect: Connect
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await connect(service.ca.client()).GetOrganisation(pb.GetOrganisationRequest(did="x"))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    stranger = type(service.ca)("Sample other CA").organisation(
        service.did(Applicant.new().account), "operator"
    )
    outside = Identity(stranger.certificate, stranger.key, service.ca.pem)
    async with channel(service.address, outside) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.IdentityServiceStub(opened).GetOrganisation(pb.GetOrganisationRequest(did="x"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_organisations_are_found_page_by_page(service: Service, connect: Connect) -> None:
    stub = connect(service.operator)
    applicants = [Applicant.new() for _ in range(5)]
    for applicant in applicants:
        await stub.EnrolOrganisation(
            applicant.request(service.network.chain_id, country="LA", roles=[pb.ROLE_AUTHORITY])
        )
    found, token = [], ""
    while True:
        request = pb.ListOrganisationsRequest(
            role=pb.ROLE_AUTHORITY, country="LA", page_size=2, page_token=token
        )
        page = await stub.ListOrganisations(request)
        assert len(page.organisations) <= 2
        found += [item.did for item in page.organisations]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(str(service.did(a.account)) for a in applicants)
    first = await stub.ListOrganisations(pb.ListOrganisationsRequest(country="LA", page_size=2))
    for wrong in ("?", first.next_page_token):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListOrganisations(pb.ListOrganisationsRequest(country="TH", page_token=wrong))
        assert refusal_of(caught.value).reason == "PAGE_TOKEN_INVALID"


async def test_an_organisation_is_found_by_its_identifier(service: Service, connect: Connect) -> None:
    applicant, stub = Applicant.new(), connect(service.operator)
    await stub.EnrolOrganisation(applicant.request(service.network.chain_id, bic="SAMPTH2X"))
    page = await stub.ListOrganisations(pb.ListOrganisationsRequest(identifier="SAMPTH2X"))
    assert [item.did for item in page.organisations] == [str(service.did(applicant.account))]
    page = await stub.ListOrganisations(pb.ListOrganisationsRequest(identifier="SAMPTH3X"))
    assert not page.organisations
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetOrganisation(pb.GetOrganisationRequest(did=str(service.did(Applicant.new().account))))
    assert refusal_of(caught.value).reason == "ORGANISATION_NOT_FOUND"
