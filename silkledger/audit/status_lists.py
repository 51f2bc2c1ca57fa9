"""An identity service's status lists against the chain: each by the digest that its issuer recorded.

(1) A row's list is signed by a key of the issuer that it names, and is the one that the chain records under
its number; (2) the row says what its list says; (3) a proof of equivocation is one, of the row's number and
by such a key, or it excuses nothing; (4) of the lists on chain each is there, or it is UNAVAILABLE: the chain
has digests only. Where two lists of one number were signed, the one that the chain records counts. A list
that is not on chain yet is held against itself only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import shown
from silkledger.audit.report import Difference
from silkledger.evidence.equivocation import Kind, decode_equivocation, verify_equivocation
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.keys import VerifyingKey
from silkledger.projections.histories import HISTORY, StoredHistories
from silkledger.registry.histories import HistoryRecord, identity_key, status_list_key
from silkledger.registry.identity import identity_state
from silkledger.registry.status_lists import KIND, ListRecord, decode_list_record
from silkledger.status_list import StatusList, StatusListError, parse_status_list
from silkledger.values import Did, ValueShapeError

TABLES: Final = frozenset({"status_list", "status_list_equivocation"})
"""A database with these is an identity service's."""

_IDENTITY: Final = "IdentityRegistry"
_LISTS: Final = text("SELECT * FROM status_list ORDER BY issuer, list_id, sequence")
_EQUIVOCATIONS: Final = text("SELECT * FROM status_list_equivocation ORDER BY issuer, list_id, sequence")

_Row = dict[str, Any]
_Recorded = dict[tuple[bytes, int], ListRecord]
"""(history key of the series, number) → what the chain records."""


@dataclass(slots=True)
class ListsAudit:
    """What was found."""

    recorded: int = 0
    """Lists on chain, up to the block."""
    held: int = 0
    """Of those, with their bytes."""
    differences: list[Difference] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)


async def audit_status_lists(
    database: str, live: AsyncConnection, replayed: AsyncConnection, upto: int
) -> ListsAudit:
    """Steps (1) to (4) on one database."""
    told = ListsAudit()
    recorded = await _recorded(replayed, upto)
    told.recorded = len(recorded)
    others: dict[tuple[str, str, int], StatusList] = {}
    for row in await _rows(live, _EQUIVOCATIONS):
        if await _is_proof(row, replayed, upto):  # (3)
            others[_number(row)] = parse_status_list(row["content"])
        else:
            expected = ("a proof of two lists of this number", "none")
            told.differences.append(
                _difference(database, "status_list_equivocation", row, "proof", *expected)
            )
    for row in await _rows(live, _LISTS):
        signed, on_chain = _parsed(row["content"]), recorded.pop(_chain_number(row), None)
        told.held += on_chain is not None
        wrong = await _wrong(replayed, upto, signed, on_chain, others.get(_number(row)))  # (1)
        if wrong or signed is None:
            told.differences.append(_difference(database, "status_list", row, "content", *wrong))
        else:
            told.differences += _columns(database, row, signed)  # (2)
    told.unavailable += [  # (4)
        f"{database}: the status list {record.digest}, number {number} of the series 0x{series.hex()},"
        f" recorded in block {record.recorded_at}: its bytes are not held"
        for (series, number), record in sorted(recorded.items())
    ]
    return told


async def _recorded(replayed: AsyncConnection, upto: int) -> _Recorded:
    first_word = KIND.to_bytes(32, "big")
    history = HISTORY.c
    query = select(history.key, history.block_number, history.record).where(
        history.contract == _IDENTITY,
        history.record > first_word,
        history.record < (KIND + 1).to_bytes(32, "big"),
        history.block_number <= upto,
    )
    found: _Recorded = {}
    for row in await replayed.execute(query):
        record = decode_list_record(HistoryRecord(row.block_number, bytes(row.record)))
        found[bytes(row.key), record.sequence] = record
    return found


async def _wrong(
    replayed: AsyncConnection,
    upto: int,
    signed: StatusList | None,
    on_chain: ListRecord | None,
    other: StatusList | None,
) -> tuple[str, str] | tuple[()]:
    """What the content should be, and what it is; empty: nothing is wrong with it."""
    if signed is None:
        return ("a signed status list", "other bytes")
    keys = await _keys(replayed, signed, upto if on_chain is None else on_chain.recorded_at)
    if not any(_verifies(signed, key) for key in keys):
        return (f"a list signed by {signed.method}", "one that is not")
    if on_chain is None or on_chain.digest in (signed.digest, other.digest if other else None):
        return ()
    return (f"the list {on_chain.digest}", f"the list {signed.digest}")


async def _keys(replayed: AsyncConnection, signed: StatusList, upto: int) -> set[VerifyingKey]:
    """What the list's key id ever named, up to a block. At time zero: a key that ran out or was revoked since
    was in force when the list came.
    """
    records = await StoredHistories(replayed).records(_IDENTITY, identity_key(signed.issuer.address), upto)
    states = (
        identity_state(signed.issuer, records, 0, block) for block in {item.block_number for item in records}
    )
    return {state.methods[signed.fragment] for state in states if signed.fragment in state.methods}


def _verifies(signed: StatusList, key: VerifyingKey) -> bool:
    try:
        signed.verify(key)
    except StatusListError:
        return False
    return True


def _columns(database: str, row: _Row, signed: StatusList) -> Iterator[Difference]:
    """What the row says otherwise than its list."""
    try:
        entries = signed.bits().entries
    except StatusListError as error:
        yield _difference(database, "status_list", row, "content", "bits that expand", error.detail)
        return
    said: Mapping[str, object] = {
        "issuer": str(signed.issuer),
        "list_id": signed.id,
        "sequence": signed.sequence,
        "digest": bytes(signed.digest),
        "purpose": signed.purpose,
        "entries": entries,
    }
    for name, value in said.items():
        if row[name] != value:
            yield _difference(database, "status_list", row, name, shown(value), shown(row[name]))


async def _is_proof(row: _Row, replayed: AsyncConnection, upto: int) -> bool:
    try:
        proof = decode_equivocation(row["proof"])
        verify_equivocation(row["proof"])
        signed = parse_status_list(row["content"])
    except (EvidenceInvalid, StatusListError):
        return False
    said = (str(signed.issuer), signed.id, signed.sequence)
    if proof.kind is not Kind.STATUS_LISTS or row["content"] not in proof.pair or said != _number(row):
        return False
    return proof.issuer_key in {key.to_multikey() for key in await _keys(replayed, signed, upto)}


async def _rows(live: AsyncConnection, query: TextClause) -> list[_Row]:
    found = []
    for row in await live.execute(query):
        values = dict(row._mapping)
        found.append({k: bytes(v) if isinstance(v, memoryview) else v for k, v in values.items()})
    return found


def _number(row: _Row) -> tuple[str, str, int]:
    return row["issuer"], row["list_id"], row["sequence"]


def _chain_number(row: _Row) -> tuple[bytes, int]:
    """By the list itself where it can be read, for then the row's key is what may be wrong."""
    signed = _parsed(row["content"])
    try:
        issuer = Did(row["issuer"]) if signed is None else signed.issuer
    except ValueShapeError:
        return b"", -1
    list_id, sequence = (row["list_id"], row["sequence"]) if signed is None else (signed.id, signed.sequence)
    return status_list_key(issuer.address, list_id), sequence


def _parsed(content: bytes) -> StatusList | None:
    try:
        return parse_status_list(content)
    except StatusListError:
        return None


def _difference(
    database: str, table: str, row: _Row, name: str, replayed: str = "", found: str = ""
) -> Difference:
    key = ", ".join(f"{column}={shown(row[column])}" for column in ("issuer", "list_id", "sequence"))
    return Difference(database, table, key, name, replayed, found)
