"""Accepted statements as readers see them: found through the index, confirmed and read off their own bytes.

What is logged is found through the index; what only waits to be logged is looked for in the queue, which is
bounded. A document of a manifest is found by its digest or by its salted subject.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.index.lookup import find, scan
from services.ledger.reading.documents import ManifestDocument, document_at
from services.ledger.reading.leaves import Leaves, StoredLeaf
from services.ledger.sequencing.pending import pending
from silkledger.log.index import RELATIVE, Kind, Position, hash_key, text_key
from silkledger.projections.statements import parse_entry, runs_from
from silkledger.runtime.db import POSTGRESQL
from silkledger.statement import SignedStatement
from silkledger.values import Did

_SCAN: Final = 256
"""Candidates fetched in one round of a search."""


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An accepted statement or manifest, or one document of a manifest; and, once logged, its leaf."""

    statement_id: bytes
    raw: bytes
    document_digest: bytes
    """Empty for a manifest as a whole."""
    issuer: str
    subject: str
    document_type: str
    supersedes: bytes | None
    audience: tuple[Did, ...]
    accepted_ms: int
    log_by_ms: int
    leaf_index: int | None
    call: int = 0
    item: int = 0
    """The accepted call that it came in, and its place there."""
    manifest_size: int | None = None
    document: ManifestDocument | None = None

    @property
    def position(self) -> Position | None:
        """Where the index has it; None before it is logged."""
        return None if self.leaf_index is None else Position(self.leaf_index, self._document)

    @property
    def accepted(self) -> Accepted:
        """Its place in the order of acceptance."""
        return Accepted(self.call, self.item, self._document)

    @property
    def _document(self) -> int:
        return 0 if self.document is None else self.document.index + 1


class Accepted(NamedTuple):
    """A place in the order of acceptance."""

    call: int
    item: int
    document: int


class Place(NamedTuple):
    """Where a listing stands: what is logged up to a position was told, and of what was not logged then,
    everything accepted up to a place.
    """

    logged: Position | None = None
    accepted: Accepted | None = None

    def after(self, row: EntryRow) -> Place:
        """Where the listing stands when it has told this row."""
        return (
            Place(self.logged, row.accepted) if row.position is None else Place(row.position, self.accepted)
        )

    def tells(self, row: EntryRow) -> bool:
        """Whether the row is still to be told."""
        return self.accepted is None or row.accepted > self.accepted


@dataclass(frozen=True, slots=True)
class Search:
    """What ListStatements looks for. None means: any. At least one of the first four is given."""

    document_digest: bytes | None = None
    subject: str | None = None
    salted_subject: bytes | None = None
    issuer: str | None = None
    document_type: str | None = None
    accepted_from_ms: int | None = None
    accepted_until_ms: int | None = None

    def key(self) -> bytes:
        """The key that narrows the search down most."""
        if self.document_digest is not None:
            return hash_key(Kind.DIGEST, self.document_digest)
        if self.subject is not None:
            return text_key(Kind.SUBJECT, self.subject)
        if self.salted_subject is not None:
            return hash_key(Kind.SALTED_SUBJECT, self.salted_subject)
        issuer = self.issuer or ""
        if self.document_type is not None:
            return text_key(Kind.ISSUER_AND_TYPE, issuer, self.document_type)
        return text_key(Kind.ISSUER, issuer)

    def waiting_key(self) -> bytes | None:
        """The key among the records of a waiting call; None: any call of the issuer."""
        return None if self.by_run else self.key()

    @property
    def by_run(self) -> bool:
        """Whether a candidate stands for a whole run of leaves."""
        return (self.document_digest, self.subject, self.salted_subject) == (None, None, None)

    def fits(self, row: EntryRow) -> bool:
        """Whether the row is what is looked for, by its own bytes."""
        salted = None if row.document is None else row.document.salted_subject
        pairs = (
            (self.document_digest, row.document_digest),
            (self.subject, row.subject),
            (self.salted_subject, salted),
            (self.issuer, row.issuer),
            (self.document_type, row.document_type),
        )
        return (
            all(wanted is None or wanted == is_ for wanted, is_ in pairs)
            and (self.accepted_from_ms is None or row.accepted_ms >= self.accepted_from_ms)
            and (self.accepted_until_ms is None or row.accepted_ms < self.accepted_until_ms)
        )


def entry_row(
    raw: bytes, accepted_ms: int, log_by_ms: int, leaf_index: int | None, call: int = 0, item: int = 0
) -> EntryRow:
    """What an entry's own bytes say. Raises: StatementError for bytes that are none."""
    said = parse_entry(raw)
    return EntryRow(
        bytes(said.id),
        raw,
        bytes(said.digest) if isinstance(said, SignedStatement) else b"",
        said.issuer.text,
        said.subject,
        str(said.document_type),
        None if said.supersedes is None else bytes(said.supersedes),
        said.audience,
        accepted_ms,
        log_by_ms,
        leaf_index,
        call,
        item,
        None if isinstance(said, SignedStatement) else said.size,
    )


def _logged(stored: StoredLeaf) -> EntryRow:
    run = stored.run
    item = run.first_item + stored.leaf_index - run.first_leaf
    return entry_row(stored.raw, stored.accepted_ms, stored.log_by_ms, stored.leaf_index, run.call, item)


async def entries_by_id(connection: AsyncConnection, ids: Sequence[bytes]) -> dict[bytes, EntryRow]:
    """The entries among these statement ids that exist."""
    keys = {item: hash_key(Kind.STATEMENT_ID, item) for item in ids}
    candidates = await find(connection, list(keys.values()))
    leaves = Leaves(connection)
    found: dict[bytes, EntryRow] = {}
    for item, key in keys.items():
        for position in candidates[key]:
            stored = await leaves.at(position.leaf)
            if stored is not None and (row := _logged(stored)).statement_id == item:
                found.setdefault(item, row)
    for item in keys.keys() - found.keys():
        for row in await _waiting(connection, keys[item]):
            if row.statement_id == item:
                found[item] = row
    return found


async def search_entries(
    connection: AsyncConnection, search: Search, after: Place, limit: int
) -> list[EntryRow]:
    """The first matches after the place: what is logged in log order, then what waits in order of
    acceptance.
    """
    leaves = Leaves(connection)
    told = _of_runs if search.by_run else _of_entries
    found: list[EntryRow] = []
    async for row in told(connection, leaves, search, after.logged):
        if after.tells(row):
            found.append(row)
            if len(found) == limit:
                return found
    waiting = await _waiting(connection, search.waiting_key())
    waiting = [row for row in waiting if search.fits(row) and after.tells(row)]
    return found + waiting[: limit - len(found)]


async def _of_entries(
    connection: AsyncConnection, leaves: Leaves, search: Search, after: Position | None
) -> AsyncIterator[EntryRow]:
    """Logged matches, in log order. Candidates are entries."""
    while positions := await scan(connection, search.key(), after, _SCAN):
        for position in dict.fromkeys(positions):
            row = await _row_at(connection, leaves, position)
            if row is not None and search.fits(row):
                yield row
        after = positions[-1]


async def _of_runs(
    connection: AsyncConnection, leaves: Leaves, search: Search, after: Position | None
) -> AsyncIterator[EntryRow]:
    """Logged matches of an issuer, in log order. Candidates are first leaves of runs."""
    first = 0 if after is None else after.leaf + 1
    place: Position | None = None
    if after is not None and (run := await leaves.run_at(after.leaf)) is not None and run.first_leaf:
        place = Position(run.first_leaf - 1, 0)  # the run that the last one told is in comes again
    while positions := await scan(connection, search.key(), place, _SCAN):
        for position in positions:
            run = await leaves.run_at(position.leaf)
            if run is None:
                continue
            for leaf in range(max(first, run.first_leaf), run.end_leaf):
                stored = await leaves.at(leaf)
                if stored is not None and search.fits(row := _logged(stored)):
                    yield row
        place = positions[-1]


async def _row_at(connection: AsyncConnection, leaves: Leaves, position: Position) -> EntryRow | None:
    stored = await leaves.at(position.leaf)
    if stored is None:
        return None
    row = _logged(stored)
    if not position.document:
        return row
    document = await document_at(connection, row, position.document - 1)
    return None if document is None else of_document(row, document)


def of_document(row: EntryRow, document: ManifestDocument) -> EntryRow:
    """The manifest's row as the row of one of its documents."""
    return replace(row, document_digest=document.digest, document=document)


async def logged_entries(connection: AsyncConnection, start: int, limit: int) -> list[EntryRow]:
    """Entries by leaf index, from `start`."""
    leaves = Leaves(connection)
    found: list[EntryRow] = []
    for run in await runs_from(connection, start, limit):
        for leaf in range(max(start, run.first_leaf), run.end_leaf):
            stored = await leaves.at(leaf)
            if stored is None or len(found) == limit:
                return found
            found.append(_logged(stored))
    return found


async def _waiting(connection: AsyncConnection, key: bytes | None) -> list[EntryRow]:
    """Entries (and documents of manifests) in the queue that have the key, in order of acceptance; without
    a key, every entry.
    """
    leaves = Leaves(connection)
    found = []
    for call, records in await _calls_with(connection, key):
        for record_key, item, document in RELATIVE.iter_unpack(records):
            if record_key != key if key is not None else record_key[-1] != Kind.STATEMENT_ID:
                continue
            raw, terms = await leaves.item(call, item), await leaves.terms(call)
            if raw is None or terms is None:
                continue
            row = entry_row(raw, terms.accepted_ms, terms.log_by_ms, None, call, item)
            place = await document_at(connection, row, document - 1) if document else None
            found.append(row if place is None else of_document(row, place))
    return found


async def _calls_with(connection: AsyncConnection, key: bytes | None) -> list[tuple[int, bytes]]:
    """Waiting calls whose records may hold the key, as bytes anywhere in them."""
    query = select(pending.c.call, pending.c.records).order_by(pending.c.call)
    if key is not None and connection.dialect.name == POSTGRESQL:
        query = query.where(func.pg_catalog.position(pending.c.records, key) > 0)
    elif key is not None:
        query = query.where(func.instr(pending.c.records, key) > 0)
    return [(row.call, bytes(row.records)) for row in (await connection.execute(query)).all()]
