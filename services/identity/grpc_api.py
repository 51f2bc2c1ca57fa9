"""The wire: translates messages to values and back. Decides nothing, catches nothing."""

from __future__ import annotations

import json
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.identity.domain import Organisation
from services.identity.errors import FieldRefused
from services.identity.reading.questions import Explained, Listed
from services.identity.relaying.requests import Request
from services.identity.status_lists.publishing import Publishing
from services.identity.status_lists.reading import StatusListReads
from services.identity.status_lists.rows import Number
from services.identity.storage import OrganisationSearch
from services.identity.use_cases import IdentityUseCases
from services.identity.wire import status_lists as lists
from services.identity.wire.calls import block_ref, call_status, relayed, signed_call
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.identity.v1 import identity_pb2_grpc as rpc
from silkledger.registry.enrolment import Enrolment
from silkledger.runtime.auth import caller
from silkledger.runtime.idempotency import fingerprint_of
from silkledger.runtime.server import Service
from silkledger.values import Address, CountryCode, Did, DocumentType, ValueShapeError

FULL_NAME: Final = "silkledger.identity.v1.IdentityService"

_ROLES: Final = {
    pb.ROLE_AGENCY: "agency",
    pb.ROLE_BANK: "bank",
    pb.ROLE_AUDITOR: "auditor",
    pb.ROLE_AUTHORITY: "authority",
    pb.ROLE_SETTLEMENT_INSTITUTION: "settlement-institution",
}
_ROLE_NUMBERS: Final = {word: number for number, word in _ROLES.items()}

Context = grpc.aio.ServicerContext[Any, Any]


def service(cases: IdentityUseCases, publishing: Publishing, reads: StatusListReads) -> Service:
    """The gRPC service over these use cases."""
    servicer = IdentityApi(cases, publishing, reads)
    return Service(FULL_NAME, lambda server: rpc.add_IdentityServiceServicer_to_server(servicer, server))


class IdentityApi(rpc.IdentityServiceServicer):
    """One method per RPC. Who calls, and that the shape holds, the interceptor has checked."""

    def __init__(self, cases: IdentityUseCases, publishing: Publishing, reads: StatusListReads) -> None:
        self._cases = cases
        self._publishing = publishing
        self._lists = reads

    async def EnrolOrganisation(
        self, request: pb.EnrolOrganisationRequest, context: Context
    ) -> pb.EnrolOrganisationResponse:
        claims = Enrolment(
            request_id=request.request_id,
            chain_id=self._cases.chain_id,
            name=request.name,
            country=CountryCode(request.country),
            roles=frozenset(_ROLES[role] for role in request.roles),
            lei=request.lei,
            uscc=request.uscc,
            bic=request.bic,
            endpoint=request.endpoint,
            csr_pem=request.csr_pem,
            controller_key=request.controller_key,
        )
        reply = await self._cases.enrol(
            caller(), _request("EnrolOrganisation", request), claims, request.controller_proof, _enrolled
        )
        return pb.EnrolOrganisationResponse.FromString(reply)

    async def GetOrganisation(
        self, request: pb.GetOrganisationRequest, context: Context
    ) -> pb.GetOrganisationResponse:
        found = await self._cases.organisation(self._did("did", request.did))
        return pb.GetOrganisationResponse(organisation=_organisation(found))

    async def ListOrganisations(
        self, request: pb.ListOrganisationsRequest, context: Context
    ) -> pb.ListOrganisationsResponse:
        search = OrganisationSearch(
            _ROLES.get(request.role),
            CountryCode(request.country) if request.country else None,
            request.identifier or None,
        )
        page, token = await self._cases.organisations(search, request.page_size, request.page_token)
        return pb.ListOrganisationsResponse(
            organisations=[_organisation(item) for item in page], next_page_token=token
        )

    async def ResolveDid(self, request: pb.ResolveDidRequest, context: Context) -> pb.ResolveDidResponse:
        found = await self._cases.questions.resolve(
            self._did("did", request.did), _block(request, "as_of_block")
        )
        return pb.ResolveDidResponse(
            did_document_json=_json(found.document),
            metadata_json=_json(found.metadata),
            as_of=block_ref(found.as_of),
        )

    async def PublishIdentity(
        self, request: chain.RelayCallRequest, context: Context
    ) -> chain.RelayCallResponse:
        return await self._relay("PublishIdentity", request)

    async def Accredit(self, request: chain.RelayCallRequest, context: Context) -> chain.RelayCallResponse:
        return await self._relay("Accredit", request)

    async def ChangeAccreditation(
        self, request: chain.RelayCallRequest, context: Context
    ) -> chain.RelayCallResponse:
        return await self._relay("ChangeAccreditation", request)

    async def Recognise(self, request: chain.RelayCallRequest, context: Context) -> chain.RelayCallResponse:
        return await self._relay("Recognise", request)

    async def GetCall(self, request: chain.GetCallRequest, context: Context) -> chain.GetCallResponse:
        state = await self._cases.call(Address(request.actor), request.request_id)
        return chain.GetCallResponse(status=call_status(state))

    async def CheckAuthorisation(
        self, request: pb.CheckAuthorisationRequest, context: Context
    ) -> pb.CheckAuthorisationResponse:
        found = await self._cases.questions.check_authorisation(
            self._did("issuer", request.issuer),
            DocumentType(request.document_type),
            CountryCode(request.relying_country),
            _block(request, "as_of_block"),
            _block(request, "known_at_block"),
        )
        return _explained(found)

    async def ListAccreditations(
        self, request: pb.ListAccreditationsRequest, context: Context
    ) -> pb.ListAccreditationsResponse:
        page, token = await self._cases.questions.list_accreditations(
            self._did("issuer", request.issuer) if request.issuer else None,
            CountryCode(request.country) if request.country else None,
            _block(request, "as_of_block"),
            request.page_size,
            request.page_token,
        )
        return pb.ListAccreditationsResponse(
            accreditations=[_accreditation(item, self._cases.chain_id) for item in page],
            next_page_token=token,
        )

    async def PublishStatusList(
        self, request: pb.PublishStatusListRequest, context: Context
    ) -> pb.PublishStatusListResponse:
        call = signed_call(request.call) if request.HasField("call") else None
        reply = await self._publishing.publish(
            caller(), _request("PublishStatusList", request), request.status_list, call, lists.published
        )
        return pb.PublishStatusListResponse.FromString(reply)

    async def GetStatusList(
        self, request: pb.GetStatusListRequest, context: Context
    ) -> pb.GetStatusListResponse:
        issuer = self._did("issuer", request.issuer)
        return lists.found_list(await self._lists.get(issuer, request.id, lists.which_of(request)))

    async def ListStatusLists(
        self, request: pb.ListStatusListsRequest, context: Context
    ) -> pb.ListStatusListsResponse:
        issuer = self._did("issuer", request.issuer)
        page, token = await self._lists.page(issuer, request.id, request.page_size, request.page_token)
        return pb.ListStatusListsResponse(
            status_lists=[lists.status_list(item) for item in page], next_page_token=token
        )

    async def GetStatusListEquivocation(
        self, request: pb.GetStatusListEquivocationRequest, context: Context
    ) -> pb.GetStatusListEquivocationResponse:
        number = Number(self._did("issuer", request.issuer), request.id, request.sequence)
        return pb.GetStatusListEquivocationResponse(proof=await self._lists.equivocation(number))

    async def _relay(self, method: str, request: chain.RelayCallRequest) -> chain.RelayCallResponse:
        call = signed_call(request.call)
        reply = await self._cases.relay(caller(), _request(method, request), call, relayed)
        return chain.RelayCallResponse.FromString(reply)

    def _did(self, field: str, text: str) -> Did:
        """Raises: FieldRefused (DID_INVALID, DID_OTHER_CHAIN)."""
        try:
            did = Did(text)
        except ValueShapeError as error:
            raise FieldRefused("DID_INVALID", field, error.reason) from None
        if did.chain_id != self._cases.chain_id:
            raise FieldRefused("DID_OTHER_CHAIN", field, f"is not of chain {self._cases.chain_id:#x}")
        return did


def _request(method: str, request: Any) -> Request:
    return Request(method, request.request_id, fingerprint_of(request))


def _block(request: Message, field: str) -> int | None:
    return int(getattr(request, field)) if request.HasField(field) else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _organisation(row: Organisation) -> pb.Organisation:
    enrolled_at = Timestamp()
    enrolled_at.FromMilliseconds(row.enrolled_ms)
    return pb.Organisation(
        did=str(row.did),
        name=row.name,
        country=row.country,
        roles=sorted(_ROLE_NUMBERS[role] for role in row.roles),
        lei=row.lei,
        uscc=row.uscc,
        bic=row.bic,
        endpoint=row.endpoint,
        enrolled_at=enrolled_at,
    )


def _enrolled(row: Organisation, certificate_chain: str) -> bytes:
    return pb.EnrolOrganisationResponse(
        organisation=_organisation(row), certificate_chain_pem=certificate_chain
    ).SerializeToString()


def _explained(found: Explained) -> pb.CheckAuthorisationResponse:
    steps = [
        pb.AuthorisationStep(
            statement=step.statement,
            accreditation_id=step.accreditation_id,
            recorded_at=None if step.recorded_at is None else block_ref(found.blocks[step.recorded_at]),
            holds=step.holds,
        )
        for step in found.answer.steps
    ]
    return pb.CheckAuthorisationResponse(
        authorised=found.answer.authorised,
        reason=found.answer.reason,
        steps=steps,
        explanation=found.answer.explanation,
        as_of=block_ref(found.as_of),
    )


def _accreditation(item: Listed, chain_id: int) -> pb.Accreditation:
    grant = item.grant
    return pb.Accreditation(
        id=grant.id,
        issuer=str(Did.of(chain_id, grant.issuer)),
        country=grant.country,
        document_type=grant.document_type,
        level=grant.level,
        from_block=grant.from_block,
        until_block=grant.until_block,
        parent=b"" if grant.is_root else grant.parent,
        status=item.status.value,
        recorded_at=block_ref(item.recorded_at),
    )
