"""The ledger service's client."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client.channel import Connection
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.values import Digest, StatementId

MAX_STATEMENTS: Final = 1000
"""Statements in one RegisterStatements call (proto)."""

MAX_BYTES: Final = 3 * 1024 * 1024
"""Bytes of statements in one RegisterStatements call (proto)."""


def batches(statements: Sequence[bytes]) -> Iterator[list[bytes]]:
    """In order, each within one call's limits."""
    batch: list[bytes] = []
    size = 0
    for statement in statements:
        if batch and (len(batch) == MAX_STATEMENTS or size + len(statement) > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(statement)
        size += len(statement)
    if batch:
        yield batch


class NotReached(TimeoutError):
    """A stage was not reached in time. Says nothing about whether it will be."""


class LedgerClient:
    """Thin: each method is one rpc, plus the waits that every user needs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = rpc.LedgerServiceStub(connection.channel)

    async def register(
        self, statements: Sequence[bytes], *, request_id: str | None = None
    ) -> pb.RegisterStatementsResponse:
        """One call, all or nothing. OK means accepted: durable and promised, not yet logged.

        Raises: `RpcFailed`.
        """
        request = pb.RegisterStatementsRequest(
            request_id=request_id or str(uuid.uuid4()), statements=statements
        )
        response: pb.RegisterStatementsResponse = await self._connection.call(
            self._stub.RegisterStatements, request
        )
        return response

    async def register_manifest(
        self, manifest: bytes, leaves: bytes, *, request_id: str | None = None
    ) -> pb.RegisterManifestResponse:
        """One signed manifest with the leaves' encodings, one after the other in order. OK as for `register`.

        Keep the leaves (`silkledger.client.manifests`): without them nobody proves a document.
        Raises: `RpcFailed`.
        """
        request = pb.RegisterManifestRequest(
            request_id=request_id or str(uuid.uuid4()), manifest=manifest, leaves=leaves
        )
        response: pb.RegisterManifestResponse = await self._connection.call(
            self._stub.RegisterManifest, request
        )
        return response

    async def statement(self, statement_id: StatementId) -> pb.Statement:
        response: pb.GetStatementResponse = await self._connection.call(
            self._stub.GetStatement, pb.GetStatementRequest(statement_id=statement_id)
        )
        return response.statement

    async def receipt(self, statement_id: StatementId) -> pb.GetReceiptResponse:
        response: pb.GetReceiptResponse = await self._connection.call(
            self._stub.GetReceipt, pb.GetReceiptRequest(statement_id=statement_id)
        )
        return response

    async def list_statements(
        self, *, digest: Digest | None = None, subject: str = "", issuer: str = "", document_type: str = ""
    ) -> AsyncIterator[pb.Statement]:
        """In log order, all pages."""
        token = ""
        while True:
            request = pb.ListStatementsRequest(
                document_digest=digest or b"",
                subject=subject,
                issuer=issuer,
                document_type=document_type,
                page_token=token,
            )
            page: pb.ListStatementsResponse = await self._connection.call(self._stub.ListStatements, request)
            for statement in page.statements:
                yield statement
            token = page.next_page_token
            if not token:
                return

    async def verify(
        self, digest: Digest, relying_country: str, *, as_of_block: int | None = None
    ) -> pb.VerifyDocumentResponse:
        """The service's verdict. Convenient, and no proof: `evidence` gives one."""
        request = pb.VerifyDocumentRequest(
            document_digest=digest, relying_country=relying_country, as_of_block=as_of_block
        )
        response: pb.VerifyDocumentResponse = await self._connection.call(self._stub.VerifyDocument, request)
        return response

    async def evidence(
        self,
        statement_id: StatementId,
        relying_country: str,
        *,
        as_of_block: int | None = None,
        document_index: int | None = None,
    ) -> bytes:
        """The evidence bundle; of a manifest, that of its document at `document_index`."""
        request = pb.GetEvidenceRequest(
            statement_id=statement_id,
            relying_country=relying_country,
            as_of_block=as_of_block,
            document_index=document_index,
        )
        response: pb.GetEvidenceResponse = await self._connection.call(self._stub.GetEvidence, request)
        return response.bundle

    async def checkpoint(self) -> str:
        response: pb.GetCheckpointResponse = await self._connection.call(
            self._stub.GetCheckpoint, pb.GetCheckpointRequest()
        )
        return response.checkpoint

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """RFC 9162 consistency path between two sizes, unverified."""
        response: pb.GetConsistencyProofResponse = await self._connection.call(
            self._stub.GetConsistencyProof, pb.GetConsistencyProofRequest(first_size=old, second_size=new)
        )
        return list(response.path)

    async def entries(self, start: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """The log's entries from `start` to its present size, as (leaf index, leaf)."""
        while True:
            page: pb.ListEntriesResponse = await self._connection.call(
                self._stub.ListEntries, pb.ListEntriesRequest(start=start, page_size=1000)
            )
            for entry in page.entries:
                yield entry.leaf_index, entry.leaf
            start += len(page.entries)
            if not page.entries or start >= page.tree_size:
                return

    async def network(self) -> pb.GetNetworkResponse:
        response: pb.GetNetworkResponse = await self._connection.call(
            self._stub.GetNetwork, pb.GetNetworkRequest()
        )
        return response

    async def log_keys(self) -> pb.ListLogKeysResponse:
        """Every key that the log ever had, in the order of its history. For the operator and auditors."""
        response: pb.ListLogKeysResponse = await self._connection.call(
            self._stub.ListLogKeys, pb.ListLogKeysRequest()
        )
        return response

    async def add_log_key(self, verifier_key: str, *, request_id: str | None = None) -> None:
        """As the operator. Returns when the change is on its way, not when it is on chain."""
        request = pb.AddLogKeyRequest(request_id=request_id or str(uuid.uuid4()), verifier_key=verifier_key)
        await self._connection.call(self._stub.AddLogKey, request)

    async def end_log_key(self, verifier_key: str, *, request_id: str | None = None) -> None:
        """As the operator. Returns when the change is on its way, not when it is on chain."""
        request = pb.EndLogKeyRequest(request_id=request_id or str(uuid.uuid4()), verifier_key=verifier_key)
        await self._connection.call(self._stub.EndLogKey, request)

    async def relay(self, call: chain.SignedCall, *, request_id: str | None = None) -> chain.CallStatus:
        request = chain.RelayCallRequest(request_id=request_id or str(uuid.uuid4()), call=call)
        response: chain.RelayCallResponse = await self._connection.call(self._stub.RelayCall, request)
        return response.status

    async def call_status(self, actor: bytes, request_id: bytes) -> chain.CallStatus:
        response: chain.GetCallResponse = await self._connection.call(
            self._stub.GetCall, chain.GetCallRequest(actor=actor, request_id=request_id)
        )
        return response.status

    async def wait_for_stage(
        self,
        statement_ids: Sequence[StatementId],
        stage: chain.EvidenceStage.ValueType,
        *,
        seconds: float = 60.0,
    ) -> list[pb.Statement]:
        """Polls until every statement has reached `stage`. Raises: `NotReached`, `RpcFailed`."""
        return list(
            await asyncio.gather(*(self._wait_for_one(item, stage, seconds) for item in statement_ids))
        )

    async def _wait_for_one(
        self, statement_id: StatementId, stage: chain.EvidenceStage.ValueType, seconds: float
    ) -> pb.Statement:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + seconds
        wait = 0.05
        while True:
            statement = await self.statement(statement_id)
            if statement.stage >= stage:
                return statement
            if loop.time() > give_up:
                wanted = chain.EvidenceStage.Name(stage).removeprefix("EVIDENCE_STAGE_").lower()
                raise NotReached(f"statement {statement_id} is not {wanted} after {seconds:.0f} s")
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, 0.5)
