"""What the ledger does for a caller: decide, then commit once. Knows neither gRPC nor SQL.

Registration, in this order: (1) a known request id is answered with its first response; (2) the queue has
room;
(3) every statement is checked against the last final block P, and every bad one is named; (4) the promise is
signed; (5) one commit holds idempotency row, entries, audit row and the response. OK is sent after (5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.admission.checker import SignatureChecker
from services.ledger.admission.issuers import Issuers
from services.ledger.domain import (
    MAX_BATCH_BYTES,
    Admitted,
    Anchored,
    IssuerKeys,
    Stage,
    Violation,
    may_read_entry,
    stage_of,
    supersession_violations,
)
from services.ledger.errors import (
    ChainNotFollowed,
    FieldRefused,
    StatementNotFound,
    StatementsRefused,
)
from services.ledger.sequencing.bulk import Terms, insert_entries
from services.ledger.sequencing.queue import Queue
from services.ledger.settings import LedgerSettings
from services.ledger.storage import EntryRow, Search
from silkledger.evm.contracts import Network
from silkledger.evm.follower import Follower
from silkledger.keys import PrivateKey
from silkledger.log.promise import make_promise
from silkledger.projections.anchors import AnchorRow, first_covering
from silkledger.registry.histories import origin_id
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database
from silkledger.runtime.errors import FieldViolation
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.runtime.idempotency import remember, replay
from silkledger.statement import parse_statement
from silkledger.values import BlockRef, DocumentType, StatementId

REGISTER: Final = "RegisterStatements"
"""Method name of the idempotency and audit rows."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What an accepted call gets. `new[i]` says whether statement i was registered by this call."""

    statement_ids: tuple[bytes, ...]
    new: tuple[bool, ...]
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
    issuers: Issuers
    checker: SignatureChecker
    log_key: PrivateKey
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
        request_id: str,
        fingerprint: bytes,
        raws: Sequence[bytes],
        encode: Callable[[Registration], bytes],
    ) -> bytes:
        """Accept the statements, all or nothing; returns the encoded first response to this request id.

        Raises:
            RequestIdConflict, QueueFull, LogHalted, ChainNotFollowed, StatementsRefused: nothing was written.
        """
        async with self.database.read() as connection:
            known = await replay(connection, caller.did, REGISTER, request_id, fingerprint)  # (1)
        if known is not None:
            return known
        with self.queue.reserve(len(raws)):  # (2)
            return await self._accept(caller, request_id, fingerprint, list(raws), encode)

    async def _accept(
        self,
        caller: Caller,
        request_id: str,
        fingerprint: bytes,
        raws: Sequence[bytes],
        encode: Callable[[Registration], bytes],
    ) -> bytes:
        """Steps (3) to (5) of registration."""
        admission = self.final_block()
        statements = await self._admit(caller, raws, admission)  # (3)
        reach(Failpoint.ACCEPT_CHECKED)
        ids = tuple(item.id for item in statements)
        accepted_ms = self.clock_ms()
        log_by_ms = accepted_ms + self.settings.promise_within_s * 1000
        promise = make_promise(  # (4)
            self.log_key,
            origin=self.settings.origin,
            statement_ids=[StatementId(item) for item in ids],
            accepted_at_ms=accepted_ms,
            log_by_ms=log_by_ms,
            organisation=caller.did,
            request_id=request_id.lower(),
        )
        reach(Failpoint.ACCEPT_PROMISED)
        terms = Terms(accepted_ms, log_by_ms, admission.number, bytes(admission.hash))
        rows = _first_of_each(statements, raws)
        async with self.database.write() as connection:  # (5)
            known = await replay(connection, caller.did, REGISTER, request_id, fingerprint)
            if known is not None:
                return known
            new = await insert_entries(connection, rows, terms)
            fresh = _first_occurrences(ids, new)
            response = encode(Registration(ids, fresh, promise, accepted_ms, log_by_ms, admission))
            await remember(connection, caller.did, REGISTER, request_id, fingerprint, response)
            await storage.insert_audit(
                connection,
                at_ms=accepted_ms,
                organisation=str(caller.did),
                method=REGISTER,
                request_id=request_id.lower(),
                items=len(new),
            )
            reach(Failpoint.ACCEPT_WRITTEN)
        reach(Failpoint.ACCEPT_COMMITTED)
        self.queue.add(len(new))
        return response

    async def _admit(self, caller: Caller, raws: Sequence[bytes], at: BlockRef) -> list[Admitted]:
        """Raises: StatementsRefused, naming every bad statement."""
        if sum(map(len, raws)) > MAX_BATCH_BYTES:
            raise StatementsRefused(
                [FieldViolation("statements", "BATCH_TOO_LARGE", f"more than {MAX_BATCH_BYTES} bytes in all")]
            )
        async with self.database.read() as connection:
            standing = await self.issuers.standing(connection, caller.did, at)
        results = await self.checker.check(raws, standing.keys)
        violations = [item for item in results if isinstance(item, Violation)]
        good = [(index, item) for index, item in enumerate(results) if isinstance(item, Admitted)]
        async with self.database.read() as connection:
            violations += await self._not_accredited(connection, good, standing.keys, standing.recorded, at)
            violations += await self._bad_supersessions(connection, good)
        if violations:
            raise StatementsRefused([_field_violation(item) for item in sorted(violations, key=_by_index)])
        return [item for _, item in good]

    async def _not_accredited(
        self,
        connection: AsyncConnection,
        good: Sequence[tuple[int, Admitted]],
        issuer: IssuerKeys,
        recorded: bool,
        at: BlockRef,
    ) -> list[Violation]:
        answers = {
            kind: await self.issuers.accredited(connection, issuer.did.address, DocumentType(kind), at)
            for kind in {item.document_type for _, item in good}
        }
        if all(answers.values()):
            return []
        known = recorded or await self.issuers.ever_accredited(connection, issuer.did.address, at)
        found = []
        for index, item in good:
            if answers[item.document_type]:
                continue
            if known:
                text = f"not accredited for document type {item.document_type} at block {at.number}"
                found.append(Violation(index, "document_type", "ISSUER_NOT_ACCREDITED", text))
            else:
                text = f"nothing is on chain about this issuer at block {at.number}"
                found.append(Violation(index, "issuer", "ISSUER_UNKNOWN", text))
        return found

    async def _bad_supersessions(
        self, connection: AsyncConnection, good: Sequence[tuple[int, Admitted]]
    ) -> list[Violation]:
        earlier = [item.supersedes for _, item in good if item.supersedes is not None]
        if not earlier:
            return []
        known = await storage.entries_by_id(connection, earlier)
        places = {key: (row.issuer, row.subject) for key, row in known.items()}
        return supersession_violations(good, places)

    async def statement(self, caller: Caller, statement_id: bytes) -> StatementView:
        """One statement. Raises: StatementNotFound."""
        async with self.database.read() as connection:
            rows = await storage.entries_by_id(connection, [statement_id])
            if statement_id not in rows:
                raise StatementNotFound
            return await self.view(connection, caller, rows[statement_id])

    async def search(
        self, caller: Caller, wanted: Search, after_seq: int, page_size: int
    ) -> tuple[list[StatementView], int | None]:
        """A page of matches in order of acceptance, and where the next page starts.

        Raises:
            FieldRefused: none of digest, subject, issuer is given.
        """
        if wanted.document_digest is None and wanted.subject is None and wanted.issuer is None:
            raise FieldRefused("SELECTOR_REQUIRED", "document_digest", "one of them is required")
        limit = page_size or 100
        async with self.database.read() as connection:
            rows = await storage.search_entries(connection, wanted, after_seq, limit + 1)
            views = [await self.view(connection, caller, row) for row in rows[:limit]]
        return views, rows[limit - 1].seq if len(rows) > limit else None

    async def view(self, connection: AsyncConnection, caller: Caller, row: EntryRow) -> StatementView:
        """Stage, anchor and entitlement of an entry, by one state of the database."""
        covering = None
        if row.leaf_index is not None:
            covering = await first_covering(connection, self.origin_id, row.leaf_index)
        anchored = None if covering is None else await self.anchored(connection, covering)
        audience = parse_statement(row.raw).audience
        return StatementView(
            row,
            stage_of(row.leaf_index, anchored, self.follower.final.number),
            anchored,
            may_read_entry(caller.did, caller.roles, row.issuer, audience),
        )

    async def anchored(self, connection: AsyncConnection, row: AnchorRow) -> Anchored:
        """An anchor with its block."""
        block = await storage.block_ref(connection, row.block_number)
        return Anchored(block, row.tx_hash, row.size, row.root)


def _first_of_each(statements: Sequence[Admitted], raws: Sequence[bytes]) -> list[tuple[Admitted, bytes]]:
    """Each statement once, with its bytes, in order: of two with the same id the first is registered."""
    unique: dict[bytes, tuple[Admitted, bytes]] = {}
    for item, raw in zip(statements, raws, strict=True):
        unique.setdefault(item.id, (item, raw))
    return list(unique.values())


def _first_occurrences(ids: Sequence[bytes], new: set[bytes]) -> tuple[bool, ...]:
    seen: set[bytes] = set()
    flags = []
    for item in ids:
        flags.append(item in new and item not in seen)
        seen.add(item)
    return tuple(flags)


def _field_violation(item: Violation) -> FieldViolation:
    return FieldViolation(f"statements[{item.index}].{item.field}", item.reason, item.detail)


def _by_index(item: Violation) -> int:
    return item.index
