"""Evidence bundles: captured by a worker, since only workers talk to the node; handlers ask and wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.capturing.source import EvidenceSource
from services.ledger.capturing.storage import capture_from, last_capture
from services.ledger.capturing.validators import ValidatorProofs
from services.ledger.domain import Stage
from services.ledger.errors import FieldRefused, LedgerError
from services.ledger.proofs.log_reads import LogReads
from services.ledger.reading.documents import document_at, document_path
from services.ledger.storage import EntryRow
from services.ledger.use_cases import Ledger
from silkledger.evidence.bundle import Bundle, DocumentSection, LogSection
from silkledger.evm.capture import CaptureRequest, capture
from silkledger.evm.engines import EngineProfile
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.port import Node, NodeError, NodeUnavailable
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
    exact: bool
    """Whether the caller named the block."""
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

    def __init__(
        self,
        ledger: Ledger,
        reads: LogReads,
        node: Node,
        profile: EngineProfile,
        validators: ValidatorProofs | None = None,
    ) -> None:
        """`validators`: where a contract names them (QBFT contract mode)."""
        self._ledger = ledger
        self._reads = reads
        self._node = node
        self._profile = profile
        self._validators = validators
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(WAITING)

    async def evidence(
        self,
        caller: Caller,
        statement_id: bytes,
        as_of: int | None,
        relying: CountryCode,
        document_index: int | None = None,
    ) -> bytes:
        """The bundle of a statement, or of one document of a manifest, as of a final block, by default the
        last one.

        Where the state of that block can no longer be proven: as of the first captured block after one that
        was asked for, with the header of that one, so that it can be verified as of it; or, where none was
        asked for, as of the newest captured block.

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
            log=LogSection(receipt.shown.encode(), receipt.receipt, None, receipt.cosigners),
            anchor_block=view.anchor.block.number,
            as_of=number,
            relying=(relying,),
            document=document,
        )
        return await self._ask(request, as_of is not None)

    async def _ask(self, request: CaptureRequest, exact: bool) -> bytes:
        job = _Job(request, exact, asyncio.get_running_loop().create_future())
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
            bundle = await self._gather(job)
        except (CaptureFailed, NodeError, DBAPIError) as error:
            why = type(error).__name__ if isinstance(error, DBAPIError) else str(error)
            logger().warning("evidence_unavailable", why=why)
            if not job.result.cancelled():
                job.result.set_exception(
                    LedgerError("EVIDENCE_UNAVAILABLE", f"cannot be had now: {why}", retry_after_s=2.0)
                )
        else:
            if not job.result.cancelled():
                job.result.set_result(bundle.encode())

    async def _gather(self, job: _Job) -> Bundle:
        """As of the block wanted, else as of captured ones.

        Raises:
            CaptureFailed, NodeUnavailable, NodeLied: as of none.
        """
        request = job.request
        try:
            return await self._bundle(request)
        except NodeUnavailable as error:
            refused = error
        captured = await self._captured(request, job.exact)
        for block in captured:
            also = (request.as_of,) if job.exact and block != request.as_of else ()
            try:
                return await self._bundle(replace(request, as_of=block, also=also))
            except NodeUnavailable as error:
                logger().info("captured_state_lacks", block=block, why=str(error))
        wanted = request.as_of if job.exact else request.anchor_block
        told = f"nothing was captured as of block {wanted} or a later one"
        if captured:
            told = f"nor does what was captured as of blocks {', '.join(map(str, captured))} prove it"
        raise CaptureFailed(f"{refused}; {told}")

    async def _captured(self, request: CaptureRequest, exact: bool) -> list[int]:
        """Blocks as of which to try what was captured, the most fitting first."""
        async with self._ledger.database.read() as connection:
            if exact:
                found = [await capture_from(connection, request.as_of)]
            else:
                newest = await last_capture(connection)
                found = [
                    None if newest is None else newest.block_number,
                    await capture_from(connection, request.anchor_block),
                ]
        return [n for n in dict.fromkeys(found) if n is not None and n >= request.anchor_block]

    async def _bundle(self, request: CaptureRequest) -> Bundle:
        kind = self._profile.header_kind
        async with self._ledger.database.read() as connection:
            lineage = None
            if self._validators is not None:
                lineage = await self._validators.lineage(connection, request.anchor_block, request.as_of)
            return await capture(
                EvidenceSource(connection, self._node, kind),
                StoredHistories(connection),
                self._ledger.network,
                kind,
                request,
                None if lineage is None else lineage.mode,
                () if lineage is None else lineage.steps,
            )
