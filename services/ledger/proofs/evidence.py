"""Evidence bundles: captured by a worker, since only workers talk to the node; handlers ask and wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.domain import Stage
from services.ledger.errors import FieldRefused, LedgerError
from services.ledger.proofs.log_reads import LogReads
from services.ledger.reading.documents import document_at, document_path
from services.ledger.storage import EntryRow
from services.ledger.use_cases import Ledger
from silkledger.evidence.bundle import DocumentSection, LogSection
from silkledger.evm.capture import CaptureRequest, capture
from silkledger.evm.engines import EngineProfile
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.port import Node, NodeError
from silkledger.manifest import ManifestLeaf, SignedManifest
from silkledger.projections.histories import StoredHistories
from silkledger.projections.statements import parse_entry
from silkledger.runtime.auth import Caller
from silkledger.runtime.telemetry import logger
from silkledger.statement import SignedStatement
from silkledger.values import CountryCode, Digest

WAITING: int = 64
"""Requests that may wait for the worker; more are refused."""


@dataclass(slots=True)
class _Job:
    request: CaptureRequest
    result: asyncio.Future[bytes]


async def _document(
    connection: AsyncConnection, entry: EntryRow, index: int | None
) -> DocumentSection | None:
    """The proof of a manifest's document; None for a statement about one document.

    Raises:
        FieldRefused: DOCUMENT_INDEX, where an index is missing, too large, or not asked for.
        LedgerError: DOCUMENTS_UNAVAILABLE.
    """
    size = entry.manifest_size
    if size is None:
        if index is not None:
            raise FieldRefused("DOCUMENT_INDEX", "document_index", "the statement is about one document")
        return None
    if index is None or index >= size:
        raise FieldRefused("DOCUMENT_INDEX", "document_index", f"must say which of the {size} documents")
    found = await document_at(connection, entry, index)
    path = await document_path(connection, entry, index)
    if found is None or path is None:
        raise LedgerError(
            "DOCUMENTS_UNAVAILABLE", "this manifest's documents are not here; its holder may submit it again"
        )
    return DocumentSection(found.leaf, index, tuple(path))


def _digest(statement: SignedStatement | SignedManifest, document: DocumentSection | None) -> Digest:
    """Of the document that the evidence is about."""
    if isinstance(statement, SignedStatement):
        return statement.digest
    assert document is not None, "a manifest comes with the proof of a document"
    return ManifestLeaf.decode(document.leaf).digest


class EvidenceDesk:
    """Takes requests for evidence and captures them one after the other."""

    def __init__(self, ledger: Ledger, reads: LogReads, node: Node, profile: EngineProfile) -> None:
        self._ledger = ledger
        self._reads = reads
        self._node = node
        self._profile = profile
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(WAITING)

    async def evidence(
        self,
        caller: Caller,
        statement_id: bytes,
        as_of: int | None,
        relying: CountryCode,
        document_index: int | None = None,
    ) -> bytes:
        """The bundle of a statement, or of one document of a manifest, as of a final block.

        Raises:
            StatementNotFound, LedgerError NOT_FINAL_YET, FieldRefused BLOCK_NOT_FINAL, DOCUMENT_INDEX,
            DOCUMENTS_UNAVAILABLE, EVIDENCE_UNAVAILABLE.
        """
        view = await self._ledger.statement(caller, statement_id)
        final = self._ledger.final_block()
        if not view.readable:
            raise LedgerError("STATEMENT_NOT_FOUND", "no such statement")
        if view.stage is not Stage.FINAL or view.anchor is None or view.entry.leaf_index is None:
            raise LedgerError("NOT_FINAL_YET", "no final anchor covers the statement yet", retry_after_s=1.0)
        number = final.number if as_of is None else as_of
        if not view.anchor.block.number <= number <= final.number:
            raise FieldRefused(
                "BLOCK_NOT_FINAL",
                "as_of_block",
                f"evidence can be had from block {view.anchor.block.number} to {final.number}",
            )
        statement = parse_entry(view.entry.raw)
        async with self._ledger.database.read() as connection:
            rows = await storage.entries_by_id(connection, [statement_id])
            receipt = await self._reads.receipt_of(connection, rows[statement_id])
            document = await _document(connection, rows[statement_id], document_index)
        request = CaptureRequest(
            statement=statement,
            digest=_digest(statement, document),
            origin=self._ledger.settings.origin,
            leaf_index=view.entry.leaf_index,
            log=LogSection(receipt.checkpoint.encode(), receipt.receipt, None, receipt.cosigners),
            anchor_block=view.anchor.block.number,
            as_of=number,
            relying=(relying,),
            document=document,
        )
        return await self._ask(request)

    async def _ask(self, request: CaptureRequest) -> bytes:
        job = _Job(request, asyncio.get_running_loop().create_future())
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            raise LedgerError(
                "EVIDENCE_QUEUE_FULL", "too many requests for evidence wait", retry_after_s=2.0
            ) from None
        return await job.result

    async def run(self, stop: asyncio.Event) -> None:
        """Capture until stopped."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            taking = asyncio.create_task(self._jobs.get())
            await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
                break
            await self._capture(taking.result())

    async def _capture(self, job: _Job) -> None:
        try:
            async with self._ledger.database.read() as connection:
                bundle = await capture(
                    self._node,
                    StoredHistories(connection),
                    self._ledger.network,
                    self._profile.header_kind,
                    job.request,
                )
        except (CaptureFailed, NodeError) as error:
            logger().warning("evidence_unavailable", why=str(error))
            if not job.result.cancelled():
                job.result.set_exception(
                    LedgerError("EVIDENCE_UNAVAILABLE", f"cannot be had now: {error}", retry_after_s=2.0)
                )
        else:
            if not job.result.cancelled():
                job.result.set_result(bundle.encode())
