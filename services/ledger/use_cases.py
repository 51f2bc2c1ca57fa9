"""What the ledger does for a caller: decide, then commit once. Knows neither gRPC nor SQL.

Registration, in this order: (1) a known request id is answered with its first response; (2) the queue has
room;
(3) every statement is checked against the last final block P, and every bad one is named; (4) the promise is
signed; (5) one commit holds idempotency row, entries, audit row and the response, of this call and of those
that arrived meanwhile (`admission.acceptance`). OK is sent after (5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.admission.acceptance import Acceptance, Candidate, Terms
from services.ledger.admission.admission import Admission, Admitted
from services.ledger.domain import Anchored, Stage, may_read_entry, stage_of
from services.ledger.errors import ChainNotFollowed, FieldRefused, LogHalted, StatementNotFound
from services.ledger.log_keys.signing import LogSigningKeys, NoKeyCounts
from services.ledger.sequencing.queue import Queue
from services.ledger.settings import LedgerSettings
from services.ledger.storage import EntryRow, Place, Search
from silkledger.evm.contracts import Network
from silkledger.evm.follower import Follower
from silkledger.keys import PrivateKey
from silkledger.log.promise import make_promise
from silkledger.manifest_leaves import leaf_length
from silkledger.projections.anchors import AnchorRow, first_covering
from silkledger.registry.histories import origin_id
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.runtime.idempotency import replay
from silkledger.values import BlockRef, DocumentType

REGISTER: Final = "RegisterStatements"
REGISTER_MANIFEST: Final = "RegisterManifest"
"""Method names of the idempotency and audit rows."""


@dataclass(frozen=True, slots=True)
class Request:
    """What makes a call one of a kind: its AIP-155 request id, and the SHA-256 of what it asks."""

    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Registration:
    """What an accepted call gets. `new[i]` says whether statement i was registered by this call."""

    statement_ids: Sequence[bytes]
    new: Sequence[bool]
    promise: bytes
    accepted_ms: int
    log_by_ms: int
    admission: BlockRef


@dataclass(frozen=True, slots=True)
class StatementView:
    """A statement as a reader may see it: the entry, its stage and its first anchor."""

    entry: EntryRow
    stage: Stage
    anchor: Anchored | None
    readable: bool
    """Whether the caller may have the entry's bytes."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one origin: everything its use cases need."""

    settings: LedgerSettings
    database: Database
    network: Network
    follower: Follower
    admission: Admission
    acceptance: Acceptance
    log_keys: LogSigningKeys
    queue: Queue
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    @property
    def origin_id(self) -> bytes:
        return origin_id(self.settings.origin)

    def final_block(self) -> BlockRef:
        """Raises: ChainNotFollowed."""
        final = self.follower.final
        if final.number == 0:
            raise ChainNotFollowed
        return final

    async def register(
        self,
        caller: Caller,
        request: Request,
        raws: Sequence[bytes],
        encode: Callable[[Registration], bytes],
    ) -> bytes:
        """Accept the statements, all or nothing; returns the encoded first response to this request id.

        Raises:
            RequestIdConflict, QueueFull, LogHalted, ChainNotFollowed, StatementsRefused: nothing was written.
        """
        known = await self._replayed(caller, REGISTER, request)  # (1)
        if known is not None:
            return known
        raws = list(raws)
        with self.queue.reserve(len(raws)):  # (2)
            admission = self.final_block()
            admitted = await self.admission.statements(caller, raws, admission)  # (3)
            return await self._accept(caller, REGISTER, request, raws, admitted, admission, encode)

    async def register_manifest(
        self,
        caller: Caller,
        request: Request,
        manifest: bytes,
        leaves: bytes,
        encode: Callable[[Registration], bytes],
    ) -> bytes:
        """Accept one manifest with the leaves of its documents, as `register` accepts statements.

        Raises:
            RequestIdConflict, QueueFull, LogHalted, ChainNotFollowed, ManifestRefused: nothing was written.
        """
        known = await self._replayed(caller, REGISTER_MANIFEST, request)  # (1)
        if known is not None:
            return known
        with self.queue.reserve(1):  # (2)
            admission = self.final_block()
            admitted = await self.admission.manifest(caller, manifest, leaves, admission)  # (3)
            return await self._accept(
                caller, REGISTER_MANIFEST, request, [manifest], admitted, admission, encode, leaves
            )

    async def _replayed(self, caller: Caller, method: str, request: Request) -> bytes | None:
        async with self.database.read() as connection:
            return await replay(connection, caller.did, method, request.request_id, request.fingerprint)

    async def _accept(
        self,
        caller: Caller,
        method: str,
        request: Request,
        raws: Sequence[bytes],
        admitted: Admitted,
        admission: BlockRef,
        encode: Callable[[Registration], bytes],
        leaves: bytes = b"",
    ) -> bytes:
        """Steps (4) and (5) of registration."""
        reach(Failpoint.ACCEPT_CHECKED)
        checked = admitted.checked
        ids = checked.id_list()
        accepted_ms = self.clock_ms()
        log_by_ms = accepted_ms + self.settings.promise_within_s * 1000
        promise = make_promise(  # (4)
            self._promising(),
            origin=self.settings.origin,
            statement_ids=ids,
            accepted_at_ms=accepted_ms,
            log_by_ms=log_by_ms,
            organisation=caller.did,
            request_id=request.request_id.lower(),
        )
        reach(Failpoint.ACCEPT_PROMISED)

        def response(new: Sequence[bool]) -> bytes:
            return encode(Registration(ids, new, promise, accepted_ms, log_by_ms, admission))

        candidate = Candidate(
            caller.did,
            admitted.issuer,
            method,
            request.request_id,
            request.fingerprint,
            raws,
            checked,
            Terms(accepted_ms, log_by_ms, admission.number, bytes(admission.hash)),
            response,
            leaves,
            leaf_length(DocumentType(checked.types[0])),
        )
        return await self.acceptance.accept(candidate)  # (5)

    def _promising(self) -> PrivateKey:
        """Raises: LogHalted."""
        try:
            return self.log_keys.current
        except NoKeyCounts as error:
            raise LogHalted(str(error)) from None

    async def statement(self, caller: Caller, statement_id: bytes) -> StatementView:
        """One statement. Raises: StatementNotFound."""
        async with self.database.read() as connection:
            rows = await storage.entries_by_id(connection, [statement_id])
            if statement_id not in rows:
                raise StatementNotFound
            return await self.view(connection, caller, rows[statement_id])

    async def search(
        self, caller: Caller, wanted: Search, after: Place, page_size: int
    ) -> tuple[list[StatementView], Place | None]:
        """A page of matches, and where the next page starts: what is logged in log order, then what waits
        to be logged.

        Raises:
            FieldRefused: none of digest, subject, salted subject, issuer is given.
        """
        if wanted.by_run and wanted.issuer is None:
            raise FieldRefused("SELECTOR_REQUIRED", "document_digest", "one of them is required")
        limit = page_size or 100
        async with self.database.read() as connection:
            rows = await storage.search_entries(connection, wanted, after, limit + 1)
            views = [await self.view(connection, caller, row) for row in rows[:limit]]
        for row in rows[:limit]:
            after = after.after(row)
        return views, after if len(rows) > limit else None

    async def view(self, connection: AsyncConnection, caller: Caller, row: EntryRow) -> StatementView:
        """Stage, anchor and entitlement of an entry, by one state of the database."""
        covering = None
        if row.leaf_index is not None:
            covering = await first_covering(connection, self.origin_id, row.leaf_index)
        anchored = None if covering is None else await self.anchored(connection, covering)
        return StatementView(
            row,
            stage_of(row.leaf_index, anchored, self.follower.final.number),
            anchored,
            may_read_entry(caller.did, caller.roles, row.issuer, row.audience),
        )

    async def anchored(self, connection: AsyncConnection, row: AnchorRow) -> Anchored:
        """An anchor with its block."""
        block = await storage.block_ref(connection, row.block_number)
        return Anchored(block, row.tx_hash, row.size, row.root)
