"""The identity service's client."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from enum import Enum

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client.channel import Connection
from silkledger.client.ledger import NotReached
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.identity.v1 import identity_pb2_grpc as rpc


class Act(Enum):
    """The rpc through which an identity's signed call is relayed: each takes its own functions only."""

    PUBLISH = "PublishIdentity"
    ACCREDIT = "Accredit"
    CHANGE_ACCREDITATION = "ChangeAccreditation"
    RECOGNISE = "Recognise"


class IdentityClient:
    """Thin: each method is one rpc, plus the wait for a relayed call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = rpc.IdentityServiceStub(connection.channel)

    async def enrol(self, request: pb.EnrolOrganisationRequest) -> pb.EnrolOrganisationResponse:
        """Raises: `RpcFailed`."""
        response: pb.EnrolOrganisationResponse = await self._connection.call(
            self._stub.EnrolOrganisation, request
        )
        return response

    async def organisation(self, did: str) -> pb.Organisation:
        response: pb.GetOrganisationResponse = await self._connection.call(
            self._stub.GetOrganisation, pb.GetOrganisationRequest(did=did)
        )
        return response.organisation

    async def list_organisations(
        self, *, role: pb.Role.ValueType = pb.ROLE_UNSPECIFIED, country: str = "", identifier: str = ""
    ) -> AsyncIterator[pb.Organisation]:
        token = ""
        while True:
            request = pb.ListOrganisationsRequest(
                role=role, country=country, identifier=identifier, page_token=token
            )
            page: pb.ListOrganisationsResponse = await self._connection.call(
                self._stub.ListOrganisations, request
            )
            for organisation in page.organisations:
                yield organisation
            token = page.next_page_token
            if not token:
                return

    async def resolve(self, did: str, *, as_of_block: int | None = None) -> pb.ResolveDidResponse:
        response: pb.ResolveDidResponse = await self._connection.call(
            self._stub.ResolveDid, pb.ResolveDidRequest(did=did, as_of_block=as_of_block)
        )
        return response

    async def check_authorisation(
        self,
        issuer: str,
        document_type: str,
        relying_country: str,
        *,
        as_of_block: int | None = None,
        known_at_block: int | None = None,
    ) -> pb.CheckAuthorisationResponse:
        request = pb.CheckAuthorisationRequest(
            issuer=issuer,
            document_type=document_type,
            relying_country=relying_country,
            as_of_block=as_of_block,
            known_at_block=known_at_block,
        )
        response: pb.CheckAuthorisationResponse = await self._connection.call(
            self._stub.CheckAuthorisation, request
        )
        return response

    async def list_accreditations(
        self, *, issuer: str = "", country: str = "", as_of_block: int | None = None
    ) -> AsyncIterator[pb.Accreditation]:
        token = ""
        while True:
            request = pb.ListAccreditationsRequest(
                issuer=issuer, country=country, as_of_block=as_of_block, page_token=token
            )
            page: pb.ListAccreditationsResponse = await self._connection.call(
                self._stub.ListAccreditations, request
            )
            for accreditation in page.accreditations:
                yield accreditation
            token = page.next_page_token
            if not token:
                return

    async def relay(
        self, act: Act, call: chain.SignedCall, *, request_id: str | None = None
    ) -> chain.CallStatus:
        """Durable at the service, not on chain yet. Raises: `RpcFailed`."""
        request = chain.RelayCallRequest(request_id=request_id or str(uuid.uuid4()), call=call)
        response: chain.RelayCallResponse = await self._connection.call(
            getattr(self._stub, act.value), request
        )
        return response.status

    async def publish_status_list(
        self, status_list: bytes, call: chain.SignedCall | None, *, request_id: str | None = None
    ) -> pb.PublishStatusListResponse:
        """Durable at the service, not on chain yet. `call` may be None when the chain records the list.

        Raises: `RpcFailed`; with the reason STATUS_LIST_EQUIVOCATION the service keeps the proof that two
        lists of one number were signed (`status_list_equivocation`).
        """
        request = pb.PublishStatusListRequest(
            request_id=request_id or str(uuid.uuid4()), status_list=status_list, call=call
        )
        response: pb.PublishStatusListResponse = await self._connection.call(
            self._stub.PublishStatusList, request
        )
        return response

    async def status_list(
        self,
        issuer: str,
        id_: str,
        *,
        sequence: int | None = None,
        as_of_block: int | None = None,
        as_of_time: int | None = None,
    ) -> pb.GetStatusListResponse:
        """By its number, or in force at a final block or at a Unix time in seconds; by default, now.

        The service's word: verify the list's signature and, against the chain, its digest.
        Raises: ValueError when more than one is named; `RpcFailed`.
        """
        if sum(item is not None for item in (sequence, as_of_block, as_of_time)) > 1:
            raise ValueError("name a number, a block or a time, not two of them")
        request = pb.GetStatusListRequest(issuer=issuer, id=id_)
        if sequence is not None:
            request.sequence = sequence
        if as_of_block is not None:
            request.as_of_block = as_of_block
        if as_of_time is not None:
            request.as_of_time.FromSeconds(as_of_time)
        response: pb.GetStatusListResponse = await self._connection.call(self._stub.GetStatusList, request)
        return response

    async def list_status_lists(self, issuer: str, *, id_: str = "") -> AsyncIterator[pb.StatusList]:
        """In order of id and sequence, those not on chain yet included."""
        token = ""
        while True:
            request = pb.ListStatusListsRequest(issuer=issuer, id=id_, page_token=token)
            page: pb.ListStatusListsResponse = await self._connection.call(
                self._stub.ListStatusLists, request
            )
            for status_list in page.status_lists:
                yield status_list
            token = page.next_page_token
            if not token:
                return

    async def status_list_equivocation(self, issuer: str, id_: str, sequence: int) -> bytes:
        """The proof that the issuer signed two lists under one number: docs/formats/equivocation.md."""
        request = pb.GetStatusListEquivocationRequest(issuer=issuer, id=id_, sequence=sequence)
        response: pb.GetStatusListEquivocationResponse = await self._connection.call(
            self._stub.GetStatusListEquivocation, request
        )
        return response.proof

    async def call_status(self, actor: bytes, request_id: bytes) -> chain.CallStatus:
        response: chain.GetCallResponse = await self._connection.call(
            self._stub.GetCall, chain.GetCallRequest(actor=actor, request_id=request_id)
        )
        return response.status

    async def wait_for_call(
        self,
        call: chain.SignedCall,
        *,
        stage: chain.EvidenceStage.ValueType = chain.EVIDENCE_STAGE_FINAL,
        seconds: float = 60.0,
    ) -> chain.CallStatus:
        """Polls until the call's outcome has reached `stage`. Raises: `NotReached`, `RpcFailed`."""
        return await wait_for_call(self, call, stage=stage, seconds=seconds)


async def wait_for_call(
    client: object,
    call: chain.SignedCall,
    *,
    stage: chain.EvidenceStage.ValueType = chain.EVIDENCE_STAGE_FINAL,
    seconds: float = 60.0,
) -> chain.CallStatus:
    """For any client with `call_status` (the ledger's and the identity service's)."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    wait = 0.05
    while True:
        status: chain.CallStatus = await client.call_status(call.actor, call.request_id)  # type: ignore[attr-defined]
        if status.stage >= stage and status.outcome != chain.CALL_OUTCOME_UNSPECIFIED:
            return status
        if loop.time() > give_up:
            wanted = chain.EvidenceStage.Name(stage).removeprefix("EVIDENCE_STAGE_").lower()
            raise NotReached(f"call 0x{call.request_id.hex()} is not {wanted} after {seconds:.0f} s")
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, 0.5)
