"""Who gets in, and what a client sees that has never had our code."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from tests.support.grpc_clients import channel, channel_without_certificate, refusal_of

from .conftest import Connect, Ledger, refused

SERVICE = "silkledger.ledger.v1.LedgerService"


async def test_without_a_client_certificate_nothing_is_served(ledger: Ledger) -> None:
    async with channel_without_certificate(ledger.address, ledger.ca.pem) as opened:
        told = await refused(rpc.LedgerServiceStub(opened).GetCheckpoint(pb.GetCheckpointRequest()))
    assert told.code is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_names_no_organisation_is_refused(ledger: Ledger, connect: Connect) -> None:
    told = await refused(connect(ledger.ca.client()).GetCheckpoint(pb.GetCheckpointRequest()))
    assert (told.code, told.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CLIENT_CERTIFICATE_REQUIRED")


async def _ask(stub: Any, **request: Any) -> Any:
    async def requests() -> Any:
        yield reflection_pb2.ServerReflectionRequest(**request)

    async for response in stub.ServerReflectionInfo(requests()):
        return response
    raise AssertionError("no answer")


async def _load(stub: Any, pool: descriptor_pool.DescriptorPool, seen: set[str], **what: str) -> None:
    """Add a file and everything it imports, as told by reflection."""
    answer = await _ask(stub, **what)
    for raw in answer.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(raw)
        if file.name in seen:
            continue
        seen.add(file.name)
        for needed in file.dependency:
            if needed not in seen:
                await _load(stub, pool, seen, file_by_filename=needed)
        pool.Add(file)


async def test_a_client_that_knows_only_reflection_can_verify_a_document(ledger: Ledger) -> None:
    identity = ledger.identity(Account.generate(), "bank")
    async with channel(ledger.address, identity) as opened:
        stub = reflection_pb2_grpc.ServerReflectionStub(opened)
        listed = await _ask(stub, list_services="")
        names = {service.name for service in listed.list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= names

        pool, seen = descriptor_pool.DescriptorPool(), set[str]()
        await _load(stub, pool, seen, file_containing_symbol=SERVICE)
        method = pool.FindServiceByName(SERVICE).FindMethodByName("VerifyDocument")
        request_class = message_factory.GetMessageClass(method.input_type)
        response_class = message_factory.GetMessageClass(method.output_type)
        call = opened.unary_unary(
            f"/{SERVICE}/{method.name}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        answer: Any = await call(request_class(document_digest=bytes(32), relying_country="TH"))
        outcome = answer.verdict.DESCRIPTOR.fields_by_name["outcome"].enum_type
        assert outcome.values_by_number[answer.verdict.outcome].name == "OUTCOME_NOT_REGISTERED"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(request_class(document_digest=b"short", relying_country="th"))
    told = refusal_of(caught.value)
    assert {field for field, _ in told.violations} == {"document_digest", "relying_country"}
