"""Translation between the wire and the use cases. No decision is made here, and no error is handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from services.ledger.errors import FieldRefused
from services.ledger.events.hub import Hub
from services.ledger.events.subscription import Subscription
from services.ledger.log_keys.changes import ADD, END, KeyChanges
from services.ledger.proofs.evidence import EvidenceDesk
from services.ledger.proofs.log_reads import LogReads
from services.ledger.relay.relay import Relay
from services.ledger.storage import Search
from services.ledger.use_cases import Ledger, Request
from services.ledger.verification.verifier import Verifier
from services.ledger.wire import messages
from services.ledger.wire.page_tokens import page_token, read_page_token
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.calls import SignedCall
from silkledger.evm.engines import EngineProfile
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc
from silkledger.runtime.auth import caller
from silkledger.runtime.errors import ServiceError
from silkledger.runtime.idempotency import fingerprint_of
from silkledger.runtime.server import Service
from silkledger.values import Address, CountryCode

FULL_NAME: Final = "silkledger.ledger.v1.LedgerService"

START_S: Final = 10.0
"""How long a stream of events may be open before its first message: until then no limit counts it."""

Context = grpc.aio.ServicerContext[Any, Any]


class LedgerApi(ledger_pb2_grpc.LedgerServiceServicer):
    """silkledger.ledger.v1.LedgerService."""

    def __init__(
        self,
        ledger: Ledger,
        reads: LogReads,
        verifier: Verifier,
        evidence: EvidenceDesk,
        relay: Relay,
        key_changes: KeyChanges,
        hub: Hub,
        profile: EngineProfile,
    ) -> None:
        self._ledger = ledger
        self._reads = reads
        self._verifier = verifier
        self._evidence = evidence
        self._relay = relay
        self._key_changes = key_changes
        self._hub = hub
        self._profile = profile

    def service(self) -> Service:
        """For the server to add."""
        large = ("RegisterStatements", "RegisterManifest")
        return Service(FULL_NAME, self._add, self._hub.stop, large)

    def _add(self, server: grpc.aio.Server) -> None:
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(self, server)
        subscribe = grpc.stream_stream_rpc_method_handler(
            self.Subscribe,
            request_deserializer=pb.SubscribeRequest.FromString,
            response_serializer=None,
        )
        server.add_registered_method_handlers(FULL_NAME, {"Subscribe": subscribe})  # type: ignore[attr-defined]

    async def RegisterStatements(
        self, request: pb.RegisterStatementsRequest, context: Context
    ) -> pb.RegisterStatementsResponse:
        response = await self._ledger.register(
            caller(),
            Request(request.request_id, fingerprint_of(request)),
            request.statements,
            messages.registration,
        )
        return pb.RegisterStatementsResponse.FromString(response)

    async def RegisterManifest(
        self, request: pb.RegisterManifestRequest, context: Context
    ) -> pb.RegisterManifestResponse:
        response = await self._ledger.register_manifest(
            caller(),
            Request(request.request_id, fingerprint_of(request)),
            request.manifest,
            request.leaves,
            messages.manifest_registration,
        )
        return pb.RegisterManifestResponse.FromString(response)

    async def GetStatement(
        self, request: pb.GetStatementRequest, context: Context
    ) -> pb.GetStatementResponse:
        view = await self._ledger.statement(caller(), request.statement_id)
        return pb.GetStatementResponse(statement=messages.statement(view))

    async def GetReceipt(self, request: pb.GetReceiptRequest, context: Context) -> pb.GetReceiptResponse:
        found = await self._reads.receipt(request.statement_id)
        return pb.GetReceiptResponse(
            receipt=found.receipt,
            checkpoint=found.checkpoint,
            leaf_index=found.leaf_index,
            tree_size=found.tree_size,
        )

    async def ListStatements(
        self, request: pb.ListStatementsRequest, context: Context
    ) -> pb.ListStatementsResponse:
        wanted = Search(
            document_digest=request.document_digest or None,
            subject=request.subject or None,
            salted_subject=request.salted_subject or None,
            issuer=request.issuer or None,
            document_type=request.document_type or None,
            accepted_from_ms=request.accepted_from.ToMilliseconds()
            if request.HasField("accepted_from")
            else None,
            accepted_until_ms=request.accepted_until.ToMilliseconds()
            if request.HasField("accepted_until")
            else None,
        )
        after = read_page_token(request.page_token)
        views, following = await self._ledger.search(caller(), wanted, after, request.page_size)
        return pb.ListStatementsResponse(
            statements=[messages.statement(view) for view in views],
            next_page_token="" if following is None else page_token(following),
        )

    async def VerifyDocument(
        self, request: pb.VerifyDocumentRequest, context: Context
    ) -> pb.VerifyDocumentResponse:
        as_of = request.as_of_block if request.HasField("as_of_block") else None
        verdict, judged = await self._verifier.verify(
            caller(), request.document_digest, as_of, CountryCode(request.relying_country)
        )
        return pb.VerifyDocumentResponse(
            verdict=messages.verdict(verdict),
            statements=[
                pb.StatementVerdict(
                    statement=messages.statement(item.view), verdict=messages.verdict(item.verdict)
                )
                for item in judged
            ],
        )

    async def GetEvidence(self, request: pb.GetEvidenceRequest, context: Context) -> pb.GetEvidenceResponse:
        as_of = request.as_of_block if request.HasField("as_of_block") else None
        index = request.document_index if request.HasField("document_index") else None
        bundle = await self._evidence.evidence(
            caller(), request.statement_id, as_of, CountryCode(request.relying_country), index
        )
        return pb.GetEvidenceResponse(bundle=bundle)

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: Context
    ) -> pb.GetCheckpointResponse:
        return pb.GetCheckpointResponse(checkpoint=await self._reads.checkpoint())

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        path = await self._reads.inclusion(request.leaf_index, request.tree_size)
        return pb.GetInclusionProofResponse(path=path)

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        path = await self._reads.consistency(request.first_size, request.second_size)
        return pb.GetConsistencyProofResponse(path=path)

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Context) -> pb.ListEntriesResponse:
        rows, size = await self._reads.entries(caller(), request.start, request.page_size)
        entries = [
            pb.LogEntry(leaf_index=row.leaf_index, leaf=row.raw) for row in rows if row.leaf_index is not None
        ]
        return pb.ListEntriesResponse(entries=entries, tree_size=size)

    async def RelayCall(self, request: chain.RelayCallRequest, context: Context) -> chain.RelayCallResponse:
        call = request.call
        signed = SignedCall(
            Address(call.actor),
            Address(call.target),
            call.request_id,
            call.deadline,
            call.gas,
            call.data,
            call.signature,
        )
        response = await self._relay.relay(
            caller(), request.request_id, fingerprint_of(request), signed, messages.relayed
        )
        return chain.RelayCallResponse.FromString(response)

    async def GetCall(self, request: chain.GetCallRequest, context: Context) -> chain.GetCallResponse:
        standing = await self._relay.get(Address(request.actor), request.request_id)
        return chain.GetCallResponse(status=messages.call_status(standing))

    async def AddLogKey(self, request: pb.AddLogKeyRequest, context: Context) -> pb.AddLogKeyResponse:
        await self._key_changes.change(
            caller(), ADD, Request(request.request_id, fingerprint_of(request)), request.verifier_key
        )
        return pb.AddLogKeyResponse()

    async def EndLogKey(self, request: pb.EndLogKeyRequest, context: Context) -> pb.EndLogKeyResponse:
        await self._key_changes.change(
            caller(), END, Request(request.request_id, fingerprint_of(request)), request.verifier_key
        )
        return pb.EndLogKeyResponse()

    async def ListLogKeys(self, request: pb.ListLogKeysRequest, context: Context) -> pb.ListLogKeysResponse:
        found = await self._key_changes.listed(caller())
        final = self._ledger.follower.final.number
        return pb.ListLogKeysResponse(keys=[messages.log_key(one) for one in found], final_block=final)

    async def Subscribe(  # type: ignore[override] # the items come encoded
        self, requests: AsyncIterator[pb.SubscribeRequest], context: Context
    ) -> AsyncIterator[bytes]:
        start = await _start_of(requests)
        stream = self._hub.open(caller(), messages.wish(start, self._ledger.network.chain_id))
        acknowledging = asyncio.create_task(_acknowledge(stream, requests))

        def over(_context: Context) -> None:
            self._hub.release(stream)
            acknowledging.cancel()

        context.add_done_callback(over)  # type: ignore[arg-type] # the stubs ask for a class of their own
        async for item in stream.items():
            yield messages.stream_item(item)

    async def GetNetwork(self, request: pb.GetNetworkRequest, context: Context) -> pb.GetNetworkResponse:
        ledger, network = self._ledger, self._ledger.network
        return pb.GetNetworkResponse(
            origin=ledger.settings.origin,
            log_verifier_key=str((ledger.log_keys.usable or ledger.log_keys.verifier_keys)[0]),
            log_verifier_keys=[str(key) for key in ledger.log_keys.usable],
            chain_id=network.chain_id,
            genesis_hash=bytes(network.genesis_hash),
            directory=bytes(network.directory),
            contracts={name: bytes(address) for name, address in network.addresses.items()},
            engine=self._profile.name,
            head=messages.block(ledger.follower.head),
            final=messages.block(ledger.follower.final),
        )


async def _start_of(requests: AsyncIterator[pb.SubscribeRequest]) -> pb.SubscribeStart:
    """Raises: FieldRefused STREAM_ORDER."""
    try:
        async with asyncio.timeout(START_S):
            first = await anext(requests, None)
    except TimeoutError:
        first = None
    if first is None or not first.HasField("start"):
        raise FieldRefused("STREAM_ORDER", "start", "the first message must start the subscription")
    return first.start


async def _acknowledge(stream: Subscription, requests: AsyncIterator[pb.SubscribeRequest]) -> None:
    """Until the consumer ends its side."""
    try:
        async for request in requests:
            if not request.HasField("acknowledge"):
                raise FieldRefused("STREAM_ORDER", "start", "a subscription is started once")
            stream.acknowledge(messages.cursor(request.acknowledge))
    except ServiceError as error:
        stream.end(error)
    else:
        stream.finish()
