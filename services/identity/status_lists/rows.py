"""The tables of status lists, and every statement of SQL about them. Rows are added, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Select, String, Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.runtime.db import POSTGRESQL
from silkledger.status_bits import StatusBits
from silkledger.status_list import StatusList, parse_status_list
from silkledger.values import Address, Did, Digest

metadata = MetaData()


def _number_of_a_series() -> tuple[Column[Any], ...]:
    return (
        Column("issuer", String(80), primary_key=True),
        Column("list_id", String(600), primary_key=True),
        Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    )


# What issuers signed: one list a number.
status_list = Table(
    "status_list",
    metadata,
    *_number_of_a_series(),
    # SHA-256 of the canonical credential without its proof.
    Column("digest", LargeBinary(32), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("entries", BigInteger, nullable=False),
    # The signed list, its canonical bytes.
    Column("content", LargeBinary, nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
)

# The calls that were taken to record a list on chain, in order: one more where the last came to nothing.
status_list_call = Table(
    "status_list_call",
    metadata,
    *_number_of_a_series(),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("actor", LargeBinary(20), nullable=False),
    Column("call_id", LargeBinary(32), nullable=False),
)

# The first other list that an issuer signed under a number, with the proof.
status_list_equivocation = Table(
    "status_list_equivocation",
    metadata,
    *_number_of_a_series(),
    Column("content", LargeBinary, nullable=False),
    # docs/formats/equivocation.md
    Column("proof", LargeBinary, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Number:
    """One number of one series."""

    issuer: Did
    list_id: str
    sequence: int

    @classmethod
    def of(cls, signed: StatusList) -> Number:
        return cls(signed.issuer, signed.id, signed.sequence)


@dataclass(frozen=True, slots=True)
class Held:
    """A list that is held here, without its bytes."""

    number: Number
    digest: Digest
    purpose: str
    entries: int
    accepted_ms: int
    """Unix milliseconds."""
    equivocated: bool
    """Another list was signed under this number."""


def _is(table: Table, number: Number) -> Any:
    row = table.c
    return (
        (row.issuer == str(number.issuer))
        & (row.list_id == number.list_id)
        & (row.sequence == number.sequence)
    )


def _key(number: Number) -> dict[str, object]:
    return {"issuer": str(number.issuer), "list_id": number.list_id, "sequence": number.sequence}


async def insert_list(
    connection: AsyncConnection, signed: StatusList, bits: StatusBits, accepted_ms: int
) -> None:
    """Raises: sqlalchemy.exc.IntegrityError when the number is taken."""
    await connection.execute(
        status_list.insert(),
        {
            **_key(Number.of(signed)),
            "digest": bytes(signed.digest),
            "purpose": signed.purpose,
            "entries": bits.entries,
            "content": signed.raw,
            "accepted_ms": accepted_ms,
        },
    )


async def list_of(connection: AsyncConnection, number: Number) -> StatusList | None:
    """The signed list under this number."""
    found = await connection.scalar(select(status_list.c.content).where(_is(status_list, number)))
    return None if found is None else parse_status_list(bytes(found))


async def held(connection: AsyncConnection, number: Number) -> Held | None:
    row = (await connection.execute(_held().where(_is(status_list, number)))).one_or_none()
    return None if row is None else _held_of(row)


async def count(connection: AsyncConnection, issuer: Did, list_id: str) -> int:
    """How many lists of the series are held: the next one's number."""
    query = (
        select(status_list.c.sequence)
        .where(status_list.c.issuer == str(issuer), status_list.c.list_id == list_id)
        .order_by(status_list.c.sequence.desc())
        .limit(1)
    )
    last = await connection.scalar(query)
    return 0 if last is None else int(last) + 1


async def page(
    connection: AsyncConnection, issuer: Did, list_id: str, after: tuple[str, int], limit: int
) -> list[Held]:
    """Lists of the issuer in order of id and sequence, of one series or (empty id) of all."""
    row = status_list.c
    query = _held().where(row.issuer == str(issuer), tuple_(row.list_id, row.sequence) > after)
    if list_id:
        query = query.where(row.list_id == list_id)
    query = query.order_by(row.list_id, row.sequence).limit(limit)
    return [_held_of(item) for item in await connection.execute(query)]


def _held() -> Select[Any]:
    row, other = status_list.c, status_list_equivocation.c
    same = (row.issuer == other.issuer) & (row.list_id == other.list_id) & (row.sequence == other.sequence)
    columns = (row.issuer, row.list_id, row.sequence, row.digest, row.purpose, row.entries, row.accepted_ms)
    return select(*columns, other.seen_ms).select_from(status_list.outerjoin(status_list_equivocation, same))


def _held_of(row: Any) -> Held:
    return Held(
        Number(Did(row.issuer), row.list_id, row.sequence),
        Digest(bytes(row.digest)),
        row.purpose,
        row.entries,
        row.accepted_ms,
        row.seen_ms is not None,
    )


async def insert_call(
    connection: AsyncConnection, number: Number, attempt: int, actor: Address, call_id: bytes
) -> None:
    row = {**_key(number), "attempt": attempt, "actor": bytes(actor), "call_id": call_id}
    await connection.execute(status_list_call.insert(), row)


async def calls_of(connection: AsyncConnection, number: Number) -> list[tuple[Address, bytes]]:
    """Actor and id of the calls that were taken for a list, in order."""
    query = (
        select(status_list_call.c.actor, status_list_call.c.call_id)
        .where(_is(status_list_call, number))
        .order_by(status_list_call.c.attempt)
    )
    return [(Address(bytes(row.actor)), bytes(row.call_id)) for row in await connection.execute(query)]


async def insert_equivocation(
    connection: AsyncConnection, other: StatusList, proof: bytes, seen_ms: int
) -> None:
    """Keep the proof, unless there is one for this number: one is enough."""
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    values = {**_key(Number.of(other)), "content": other.raw, "proof": proof, "seen_ms": seen_ms}
    await connection.execute(dialect.insert(status_list_equivocation).values(values).on_conflict_do_nothing())


async def equivocation_of(connection: AsyncConnection, number: Number) -> bytes | None:
    """The proof that two lists were signed under this number."""
    table = status_list_equivocation
    found = await connection.scalar(select(table.c.proof).where(_is(table, number)))
    return None if found is None else bytes(found)


async def other_list_of(connection: AsyncConnection, number: Number) -> tuple[StatusList, int] | None:
    """The other list that was signed under this number, and when it was seen (Unix milliseconds)."""
    table = status_list_equivocation
    query = select(table.c.content, table.c.seen_ms).where(_is(table, number))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else (parse_status_list(bytes(row.content)), row.seen_ms)
