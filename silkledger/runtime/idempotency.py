"""AIP-155 request ids: the same id with the same content returns the first response, with other content is
a conflict.

The key is (organisation, method, request id); the fingerprint is SHA-256 of the request. `remember` is
called in the same transaction as the effect, so that either both exist or neither. Rows are kept for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import Message
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, bindparam, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.runtime.db import POSTGRESQL
from silkledger.runtime.errors import RequestIdConflict, RequestInFlight
from silkledger.values import Did

metadata = MetaData()

idempotency = Table(
    "idempotency",
    metadata,
    # The calling organisation's DID.
    Column("organisation", String(80), primary_key=True),
    # RPC name within the service.
    Column("method", String(64), primary_key=True),
    # UUID as the client sent it, lower case.
    Column("request_id", String(36), primary_key=True),
    # SHA-256 of the request, deterministically serialised.
    Column("fingerprint", LargeBinary(32), nullable=False),
    # The first response, serialised.
    Column("response", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)


_FIRST_ANSWER = select(idempotency.c.fingerprint, idempotency.c.response).where(
    idempotency.c.organisation == bindparam("organisation"),
    idempotency.c.method == bindparam("method"),
    idempotency.c.request_id == bindparam("request_id"),
)


class RequestKey(NamedTuple):
    """What a request id is unique within. The id in lower case."""

    organisation: str
    method: str
    request_id: str


class Remembered(NamedTuple):
    """A request that was answered: its fingerprint, and the first response."""

    key: RequestKey
    fingerprint: bytes
    response: bytes


def fingerprint_of(request: Message) -> bytes:
    """SHA-256 of the request's deterministic serialisation. Unknown fields count."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


async def replay(
    connection: AsyncConnection, organisation: Did, method: str, request_id: str, fingerprint: bytes
) -> bytes | None:
    """The first response to this request id, or None if it is new.

    Raises:
        RequestIdConflict: the id was used with other content.
    """
    key = {"organisation": str(organisation), "method": method, "request_id": request_id.lower()}
    found = (await connection.execute(_FIRST_ANSWER, key)).one_or_none()
    if found is None:
        return None
    first, response = bytes(found.fingerprint), bytes(found.response)
    if first != fingerprint:
        raise RequestIdConflict(request_id, first, fingerprint)
    return response


async def remember(
    connection: AsyncConnection,
    organisation: Did,
    method: str,
    request_id: str,
    fingerprint: bytes,
    response: bytes,
) -> None:
    """Store the first response, in the caller's transaction.

    Raises:
        RequestInFlight: another transaction committed the same id since `replay`; nothing of this one must
        stay.
    """
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    result = await connection.execute(
        dialect.insert(idempotency)
        .values(
            organisation=str(organisation),
            method=method,
            request_id=request_id.lower(),
            fingerprint=fingerprint,
            response=response,
        )
        .on_conflict_do_nothing()
    )
    if result.rowcount == 0:
        raise RequestInFlight(request_id)


async def replay_all(connection: AsyncConnection, keys: Sequence[RequestKey]) -> dict[RequestKey, Remembered]:
    """`replay` for many requests at once: those that were answered before. Compares no fingerprint."""
    if not keys:
        return {}
    row = idempotency.c
    ids: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        ids.setdefault((key.organisation, key.method), []).append(key.request_id)
    # By organisation and method: SQLite reads the whole table for a list of triples.
    wanted = [
        (row.organisation == organisation) & (row.method == method) & row.request_id.in_(of_them)
        for (organisation, method), of_them in ids.items()
    ]
    query = select(idempotency).where(or_(*wanted))
    found = {}
    for item in (await connection.execute(query)).all():
        key = RequestKey(item.organisation, item.method, item.request_id)
        found[key] = Remembered(key, bytes(item.fingerprint), bytes(item.response))
    return found


async def remember_all(connection: AsyncConnection, rows: Sequence[Remembered]) -> set[RequestKey]:
    """`remember` for many requests at once. Returns those that are stored by this transaction: any other was
    committed by another one since `replay_all`, and nothing of it must stay.
    """
    if not rows:
        return set()
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    row = idempotency.c
    values = [
        {**item.key._asdict(), "fingerprint": item.fingerprint, "response": item.response} for item in rows
    ]
    statement = dialect.insert(idempotency).values(values).on_conflict_do_nothing()
    statement = statement.returning(row.organisation, row.method, row.request_id)
    return {RequestKey(*item) for item in (await connection.execute(statement)).all()}
