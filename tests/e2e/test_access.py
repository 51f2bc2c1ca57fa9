"""Each service turns away who has no certificate, who has another authority's, and who lacks the right."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from silkledger.cli.context import Session
from silkledger.client.channel import Connection
from silkledger.client.enrolment import enrolment_request
from silkledger.client.errors import RpcFailed
from silkledger.client.settlement import SettlementClient
from silkledger.client.signing import sign_document
from silkledger.identity.v1 import identity_pb2 as identity_pb
from silkledger.identity.v1 import identity_pb2_grpc as identity_rpc
from silkledger.ledger.v1 import ledger_pb2 as ledger_pb
from silkledger.ledger.v1 import ledger_pb2_grpc as ledger_rpc
from silkledger.settlement.v1 import settlement_pb2 as settlement_pb
from silkledger.settlement.v1 import settlement_pb2_grpc as settlement_rpc
from silkledger.values import Digest, DocumentType
from tests.support.grpc_clients import channel, channel_without_certificate
from tests.support.pki import TestCa

from .conftest import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

Ask = Callable[[grpc.aio.Channel], Awaitable[Any]]

HARMLESS: dict[str, Ask] = {
    "ledger": lambda c: ledger_rpc.LedgerServiceStub(c).GetCheckpoint(ledger_pb.GetCheckpointRequest()),
    "identity": lambda c: identity_rpc.IdentityServiceStub(c).ListOrganisations(
        identity_pb.ListOrganisationsRequest()
    ),
    "settlement": lambda c: settlement_rpc.SettlementServiceStub(c).ListPayments(
        settlement_pb.ListPaymentsRequest()
    ),
}
"""A read that its proper callers are allowed, for each service."""


def _address(world: World, service: str) -> str:
    bank = world.session("bank-a")
    if service == "settlement":
        return bank.organisation.profile.settlement_endpoint
    return bank.network_file.endpoints[service]


@pytest.mark.parametrize("service", sorted(HARMLESS))
async def test_without_a_client_certificate_nothing_is_served(world: World, service: str) -> None:
    ca = world.session("bank-a").ca.read_bytes()
    async with channel_without_certificate(_address(world, service), ca) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await HARMLESS[service](opened)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("service", sorted(HARMLESS))
async def test_a_certificate_of_another_authority_is_nobody(world: World, service: str) -> None:
    """It names the bank's own DID, but nobody whom the service trusts has signed it."""
    bank = world.session("bank-a")
    forged = TestCa().organisation(bank.organisation.did, "bank", "operator")
    forged = type(forged)(forged.certificate, forged.key, bank.ca.read_bytes())
    async with channel(_address(world, service), forged) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await HARMLESS[service](opened)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("service", sorted(HARMLESS))
async def test_the_proper_caller_is_served(world: World, service: str) -> None:
    async with Connection(_address(world, service), world.session("bank-a").credentials) as connection:
        await HARMLESS[service](connection.channel)


async def _ledger_statement_of_another(session: Session, other: Session) -> None:
    organisation = other.organisation
    signed = sign_document(
        organisation.account(),
        organisation.did,
        digest=Digest(bytes(32)),
        subject="urn:silkledger:test:not-mine",
        document_type=DocumentType("705"),
        content_type="text/plain",
    )
    async with session.ledger() as ledger:
        await ledger.register([signed])


async def _enrol(session: Session, other: Session) -> None:
    request = enrolment_request(other.organisation)
    request.request_id = str(uuid.uuid4())
    async with session.identity() as identity:
        await identity.enrol(request)


async def _payments_of_another_bank(session: Session, other: Session) -> None:
    endpoint = other.organisation.profile.settlement_endpoint
    async with Connection(endpoint, session.credentials) as connection:
        await SettlementClient(connection).payment(
            settlement_pb.LegId(
                uetr="5a3b1e00-0000-4000-8000-000000000001", role=settlement_pb.LEG_ROLE_CUSTOMER
            )
        )


WITHOUT_THE_RIGHT = {
    "ledger": ("maritime-th", "customs-cn", _ledger_statement_of_another),
    "identity": ("customs-cn", "bank-b", _enrol),
    "settlement": ("bank-b", "bank-a", _payments_of_another_bank),
}
"""Who calls, whose matter it is, and the call: all of them enrolled, none of them entitled."""


@pytest.mark.parametrize("service", sorted(WITHOUT_THE_RIGHT))
async def test_an_organisation_that_lacks_the_right_is_refused(world: World, service: str) -> None:
    caller, owner, act = WITHOUT_THE_RIGHT[service]
    with pytest.raises(RpcFailed) as refused:
        await act(world.session(caller), world.session(owner))
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED, refused.value
    assert refused.value.reason
