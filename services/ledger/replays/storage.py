"""The table of replay operations and every statement of SQL about it. No decision is made here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    CursorResult,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

metadata: Final = MetaData()


class ReplayState(StrEnum):
    """Where an operation stands. All but RUNNING are for good."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


replay_operation: Final = Table(
    "replay_operation",
    metadata,
    Column("id", String(36), primary_key=True),
    # DID of who asked.
    Column("organisation", String(80), nullable=False),
    # Report as of this block; null: the last final one.
    Column("upto_block", BigInteger),
    Column("state", String(16), nullable=False),
    # Unix milliseconds.
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    # Blocks read, of so many.
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    # How often it was begun or gone on with.
    Column("runs", BigInteger, nullable=False),
    # Which process works on it, and until when nobody else may. 0: nobody does.
    Column("owner", String(36), nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    # Of a replay that succeeded.
    Column("verdict", String(16)),
    Column("digest", String(66)),
    Column("last_block", BigInteger),
    Column("differences", BigInteger),
    Column("unavailable", BigInteger),
    Column("report", LargeBinary),
    Column("page", LargeBinary),
    # Of one that failed: a stable reason and a sentence.
    Column("reason", String(40)),
    Column("message", String(1000)),
)
Index("replay_operation_by_organisation", replay_operation.c.organisation, replay_operation.c.created_ms)
Index("replay_operation_by_state", replay_operation.c.state, replay_operation.c.created_ms)

_c: Final = replay_operation.c
_TOLD: Final = [column for column in replay_operation.columns if column.name not in ("report", "page")]


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One operation, without its report."""

    id: str
    organisation: str
    upto_block: int | None
    state: ReplayState
    created_ms: int
    updated_ms: int
    done: int
    total: int
    runs: int
    owner: str
    lease_until_ms: int
    cancelled: bool
    verdict: str | None
    digest: str | None
    last_block: int | None
    differences: int | None
    unavailable: int | None
    reason: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replay ended: `values` are the columns that say so."""

    state: ReplayState
    values: dict[str, Any]


def _row(row: Any) -> ReplayRow:
    return ReplayRow(**{**row._mapping, "state": ReplayState(row.state)})


async def add(
    connection: AsyncConnection, name: str, organisation: str, upto: int | None, now_ms: int
) -> None:
    await connection.execute(
        insert(replay_operation).values(
            id=name,
            organisation=organisation,
            upto_block=upto,
            state=ReplayState.RUNNING.value,
            created_ms=now_ms,
            updated_ms=now_ms,
            done=0,
            total=0,
            runs=0,
            owner="",
            lease_until_ms=0,
            cancelled=False,
        )
    )


async def get(connection: AsyncConnection, name: str) -> ReplayRow | None:
    found = (await connection.execute(select(*_TOLD).where(_c.id == name))).first()
    return None if found is None else _row(found)


async def page(
    connection: AsyncConnection, organisation: str, before: tuple[int, str] | None, limit: int
) -> list[ReplayRow]:
    """Newest first; `before` is (created_ms, id) of the last one seen."""
    query = select(*_TOLD).where(_c.organisation == organisation)
    if before is not None:
        created, name = before
        query = query.where((_c.created_ms < created) | ((_c.created_ms == created) & (_c.id < name)))
    query = query.order_by(_c.created_ms.desc(), _c.id.desc()).limit(limit)
    return [_row(row) for row in await connection.execute(query)]


async def under_way(connection: AsyncConnection, organisation: str | None = None) -> int:
    """How many are RUNNING, of one organisation or of all."""
    query = select(func.count()).where(_c.state == ReplayState.RUNNING.value)
    if organisation is not None:
        query = query.where(_c.organisation == organisation)
    return int(await connection.scalar(query) or 0)


async def report_of(connection: AsyncConnection, name: str, *, html: bool) -> bytes | None:
    column = _c.page if html else _c.report
    value = await connection.scalar(select(column).where(_c.id == name))
    return None if value is None else bytes(value)


async def free(connection: AsyncConnection, now_ms: int) -> ReplayRow | None:
    """The oldest that is RUNNING and that nobody works on."""
    query = (
        select(*_TOLD)
        .where(_c.state == ReplayState.RUNNING.value, _c.lease_until_ms < now_ms)
        .order_by(_c.created_ms, _c.id)
        .limit(1)
    )
    found = (await connection.execute(query)).first()
    return None if found is None else _row(found)


async def claim(connection: AsyncConnection, row: ReplayRow, owner: str, until_ms: int) -> bool:
    """Whether it is now `owner`'s. The number of runs fences whoever had it before."""
    values = {"owner": owner, "lease_until_ms": until_ms, "runs": row.runs + 1}
    return await _change(connection, (_c.id == row.id) & (_c.runs == row.runs), values)


async def hold(
    connection: AsyncConnection, name: str, owner: str, until_ms: int, now_ms: int, done: int, total: int
) -> bool:
    """Renew the lease and tell the progress. False: it is not `owner`'s any more, or done."""
    values = {"lease_until_ms": until_ms, "updated_ms": now_ms, "done": done, "total": total}
    return await _change(connection, (_c.id == name) & (_c.owner == owner), values)


async def release(connection: AsyncConnection, name: str, owner: str) -> None:
    """Somebody else, or this service after its restart, may go on with it at once."""
    await _change(connection, (_c.id == name) & (_c.owner == owner), {"lease_until_ms": 0})


async def release_all(connection: AsyncConnection) -> None:
    """At the start of the only owner of the database: whoever worked on them is dead."""
    await _change(connection, _c.lease_until_ms > 0, {"lease_until_ms": 0})


async def cancel(connection: AsyncConnection, name: str, now_ms: int) -> None:
    await _change(connection, _c.id == name, {"cancelled": True, "updated_ms": now_ms})


async def end(connection: AsyncConnection, name: str, owner: str, outcome: Outcome, now_ms: int) -> bool:
    """For good. False: it is not `owner`'s any more; then nothing was written."""
    values = {"state": outcome.state.value, "updated_ms": now_ms, "lease_until_ms": 0, **outcome.values}
    return await _change(connection, (_c.id == name) & (_c.owner == owner), values)


async def _change(connection: AsyncConnection, which: Any, values: dict[str, Any]) -> bool:
    running = _c.state == ReplayState.RUNNING.value
    result: CursorResult[Any] = await connection.execute(
        update(replay_operation).where(which, running).values(**values)
    )
    return result.rowcount > 0
