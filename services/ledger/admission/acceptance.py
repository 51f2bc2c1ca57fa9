"""Acceptance: the commit after which a call is told OK. Calls that arrive while a commit runs share the next.

One transaction for each group of calls, each call whole in it or not at all: its idempotency row, the entries
that are new, their place in the queue, an audit row. What was known is told as known and not stored again;
that check is exact for what is logged and for what this process accepted. Of two processes that accept the
same statement at the same moment both may say "new": the sequencer gives it one leaf all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.domain import CheckedRun
from services.ledger.index.known import KnownStatements
from services.ledger.reading.documents import has_documents
from services.ledger.sequencing.bulk import Row, insert_rows, take_calls
from services.ledger.sequencing.pending import types_text
from services.ledger.sequencing.queue import Queue
from silkledger.log.index import RELATIVE
from silkledger.projections.statements import manifest_packs, packs
from silkledger.runtime.db import Database
from silkledger.runtime.errors import RequestIdConflict, RequestInFlight, ServiceError
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.runtime.idempotency import Remembered, RequestKey, remember_all, replay_all
from silkledger.values import Did

GROUP: Final = 64
"""Most calls of one commit."""


@dataclass(frozen=True, slots=True)
class Terms:
    """When a call was accepted, by when it will be logged, and the final block of its admission."""

    accepted_ms: int
    log_by_ms: int
    admission_number: int
    admission_hash: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call that was checked and promised, about to be committed."""

    caller: Did
    issuer: Did
    """Of all its statements: the caller, or whom the caller relays for."""
    method: str
    request_id: str
    fingerprint: bytes
    raws: Sequence[bytes]
    checked: CheckedRun
    terms: Terms
    encode: Callable[[Sequence[bool]], bytes]
    """The response, from which of the statements this call registered."""
    leaves: bytes = b""
    """Of a manifest: the leaves of its documents, `leaf_length` bytes each."""
    leaf_length: int = 0

    @property
    def key(self) -> RequestKey:
        return RequestKey(str(self.caller), self.method, self.request_id.lower())


@dataclass(slots=True)
class _Rows:
    """What one group of calls writes."""

    accepted: list[Row] = field(default_factory=list)
    entry_pack: list[Row] = field(default_factory=list)
    manifest_pack: list[Row] = field(default_factory=list)
    pending: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    manifests: list[bytes] = field(default_factory=list)
    """Whose documents came with it."""

    async def insert(self, connection: AsyncConnection) -> None:
        for table in ("accepted", "entry_pack", "manifest_pack", "pending", "audit"):
            await insert_rows(connection, table, getattr(self, table))
        await storage.delete_undocumented(connection, self.manifests)


@dataclass(frozen=True, slots=True)
class _Waiting:
    candidate: Candidate
    answer: asyncio.Future[bytes]


class Acceptance:
    """Commits candidates in groups, one group at a time."""

    def __init__(self, database: Database, queue: Queue, known: KnownStatements) -> None:
        self._database = database
        self._queue = queue
        self._known = known
        self._waiting: list[_Waiting] = []
        self._committer: asyncio.Task[None] | None = None

    async def accept(self, candidate: Candidate) -> bytes:
        """The first response to the candidate's request id, after the commit that holds it.

        A call that is cancelled before its group is taken leaves nothing; one that is cancelled later may be
        committed, and who asks again with the same request id learns it.

        Raises:
            RequestIdConflict, RequestInFlight: nothing of this call was written.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(candidate, answer))
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_all())
        return await answer

    async def _commit_all(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            group = [item for item in taken if not item.answer.cancelled()]
            commit = asyncio.create_task(self._commit([item.candidate for item in group]))
            await asyncio.wait({commit})
            failure = commit.exception()
            for place, item in enumerate(group):
                outcome = commit.result()[place] if failure is None else failure
                if item.answer.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    item.answer.set_exception(outcome)
                else:
                    item.answer.set_result(outcome)

    async def _commit(self, group: Sequence[Candidate]) -> list[bytes | ServiceError]:
        """One answer for each of the calls, all in one transaction."""
        async with AsyncExitStack() as queued, self._database.write() as connection:
            known = await replay_all(connection, [item.key for item in group])
            fresh = await self._fresh(connection, group, known)
            inserted = await remember_all(connection, [item for _, item, _ in fresh])
            rows = _Rows()
            mine = [(call, flags) for call, item, flags in fresh if item.key in inserted]
            numbers = await take_calls(connection, len(mine))
            for (call, flags), number in zip(mine, numbers, strict=True):
                _add(rows, call, flags, number)
            queued.enter_context(self._queue.committing(rows.ids))
            await rows.insert(connection)
            reach(Failpoint.ACCEPT_WRITTEN)
        reach(Failpoint.ACCEPT_COMMITTED)
        answers = known | {item.key: item for _, item, _ in fresh if item.key in inserted}
        return [_answer(item, answers.get(item.key)) for item in group]

    async def _fresh(
        self, connection: AsyncConnection, group: Sequence[Candidate], known: dict[RequestKey, Remembered]
    ) -> list[tuple[Candidate, Remembered, list[bool]]]:
        """The calls that no request id answers yet, each with its response and which statements are new."""
        asked: dict[RequestKey, Candidate] = {}
        for item in group:
            if item.key not in known:
                asked.setdefault(item.key, item)
        lists = [item.checked.id_list() for item in asked.values()]
        seen = await self._had({one for ids in lists for one in ids})
        fresh: list[tuple[Candidate, Remembered, list[bool]]] = []
        for item, ids in zip(asked.values(), lists, strict=True):
            flags: list[bool] = []
            for statement_id in ids:
                flags.append(statement_id not in seen)
                seen.add(statement_id)
            response = item.encode(flags)
            if item.leaves and not flags[0] and not await has_documents(connection, ids[0]):
                flags = [True]  # the log has the manifest, its documents' leaves are missing here
            fresh.append((item, Remembered(item.key, item.fingerprint, response), flags))
        return fresh

    async def _had(self, ids: set[bytes]) -> set[bytes]:
        """Those that this process accepted or that are logged.

        The queue is asked first: what leaves it afterwards is in the log that is asked then. The log is asked
        in one state of the database, since merging moves its index from under a look at several.
        """
        waiting = ids & self._queue.ids
        async with self._database.read() as snapshot:
            return waiting | set(await self._known.logged(snapshot, list(ids - waiting)))


def _answer(item: Candidate, known: Remembered | None) -> bytes | ServiceError:
    if known is None:
        return RequestInFlight(item.request_id)
    if known.fingerprint != item.fingerprint:
        return RequestIdConflict(item.request_id, known.fingerprint, item.fingerprint)
    return known.response


def _add(rows: _Rows, item: Candidate, flags: Sequence[bool], call: int) -> None:
    """The rows of one call; of what was known, none but the audit's."""
    terms, checked = item.terms, item.checked
    count = sum(flags)
    rows.audit.append((terms.accepted_ms, str(item.caller), item.method, item.request_id.lower(), count))
    if not count:
        return
    raws, ids, hashes = list(item.raws), checked.ids, checked.leaf_hashes
    records, types = checked.records, list(checked.types)
    if count < len(flags):
        kept = [place for place, new in enumerate(flags) if new]
        raws, types = [raws[place] for place in kept], [types[place] for place in kept]
        ids, hashes = _only(ids, 32, kept), _only(hashes, 32, kept)
        records = _renumbered(records, {place: number for number, place in enumerate(kept)})
    rows.accepted.append(
        (
            call,
            count,
            terms.accepted_ms,
            terms.log_by_ms,
            terms.admission_number,
            terms.admission_hash,
        )
    )
    rows.entry_pack += packs(call, raws)
    rows.pending.append((call, count, str(item.issuer), types_text(types), ids, hashes, records))
    rows.ids += [ids[at : at + 32] for at in range(0, len(ids), 32)]
    if item.leaves:
        rows.manifest_pack += manifest_packs(ids, item.leaves, item.leaf_length)
        rows.manifests.append(ids)


def _only(data: bytes, size: int, kept: Sequence[int]) -> bytes:
    return b"".join(data[place * size : (place + 1) * size] for place in kept)


def _renumbered(records: bytes, numbers: dict[int, int]) -> bytes:
    """The records of the items that are kept, under their new numbers."""
    return b"".join(
        RELATIVE.pack(key, numbers[item], document)
        for key, item, document in RELATIVE.iter_unpack(records)
        if item in numbers
    )
