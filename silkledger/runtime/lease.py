"""Leases: of several processes that could do a piece of work, one does it. A lease is a row of the database.

Guarantee: a transaction that has passed `hold`, `keep` or `fence` owns the row until it ends, so writes of
two owners never mix: all of one's are committed before the other's epoch begins. That rests on the row's lock
and its epoch, never on a clock. An owner that slept past its lease writes nothing any more.

When an owner is silent for `lease_s`, another takes over. Time is the database server's, so the clocks of the
processes do not matter; a server whose clock jumps (a failover to its standby) ends a lease early or late.
A process that was stopped inside a transaction keeps the row's lock until its session is ended, by
PostgreSQL's limit for idle transactions or by `silkledger.runtime.sessions`: both MUST be below the lease.

Not a guarantee: that a process which believes to be the owner still is. What must not be done twice is done
in a fenced transaction, or stored in one before it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    CursorResult,
    Table,
    Text,
    and_,
    case,
    cast,
    extract,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.runtime.db import SQLITE

NOBODY: Final = ""
"""Owner of a lease that was never taken, or was given up."""


class LeaseLost(Exception):
    """Another process owns the lease now. Nothing was written."""


def lease_columns() -> tuple[Column[Any], ...]:
    """What a table needs beside its key so that its rows are leases."""
    return (
        Column(
            "epoch", BigInteger, nullable=False, comment="grows with every change of owner; fences writes"
        ),
        Column("lease_owner", Text, nullable=False),
        Column("lease_until_ms", BigInteger, nullable=False, comment="Unix milliseconds"),
    )


class Lease:
    """The lease in the row of `table` at `key`, as one owner sees it. Every method runs in the caller's
    transaction.
    """

    def __init__(self, table: Table, key: Mapping[str, object], owner: str, lease_s: float) -> None:
        self._table = table
        self._key = dict(key)
        self._row = and_(*(table.c[name] == value for name, value in key.items()))
        self._mine = table.c.lease_owner == owner
        self._owner = owner
        self._lease_ms = int(lease_s * 1000)

    async def create(self, connection: AsyncConnection, **values: object) -> None:
        """The row, owned by nobody. One that exists is left alone."""
        dialect = sqlite if connection.dialect.name == SQLITE else postgresql
        row = self._key | {"epoch": 0, "lease_owner": NOBODY, "lease_until_ms": 0} | values
        await connection.execute(dialect.insert(self._table).values(**row).on_conflict_do_nothing())

    async def exists(self, connection: AsyncConnection) -> bool:
        return (await connection.execute(select(self._table.c.epoch).where(self._row))).first() is not None

    async def hold(self, connection: AsyncConnection) -> Any | None:
        """Renew, or take what is over; the table's row. None while another owner has it, or without a row.

        A change of owner starts a new epoch. A SQLite file has one owning process, so whoever had the lease
        before is dead: no waiting there.
        """
        free: ColumnElement[bool] = true()
        if connection.dialect.name != SQLITE:
            over = self._table.c.lease_until_ms <= _now_ms(connection)
            free = or_(self._mine, self._table.c.lease_owner == NOBODY, over)
        return await self._take(connection, free)

    async def keep(self, connection: AsyncConnection) -> Any | None:
        """Renew; the table's row. None: another owner has it, or nobody."""
        return await self._take(connection, self._mine)

    async def _take(self, connection: AsyncConnection, where: ColumnElement[bool]) -> Any | None:
        """One statement: PostgreSQL asks `where` again of a row that changed while it waited for it."""
        old = self._table.c.epoch
        values = {
            "epoch": case((self._mine, old), else_=old + 1),
            "lease_owner": self._owner,
            "lease_until_ms": _now_ms(connection) + self._lease_ms,
        }
        taking = update(self._table).where(self._row, where).values(**values).returning(self._table)
        return (await connection.execute(taking)).one_or_none()

    async def fence(self, connection: AsyncConnection, epoch: int, **values: object) -> None:
        """Go on only as the owner of this epoch; set `values` in the row. Raises: LeaseLost."""
        mine = update(self._table).where(self._row, self._mine, self._table.c.epoch == epoch)
        result: CursorResult[Any] = await connection.execute(mine.values(epoch=epoch, **values))
        if result.rowcount != 1:
            raise LeaseLost


async def release(connection: AsyncConnection, table: Table, owner: str) -> None:
    """Give up every lease of this owner in the table, so that the next owner need not wait.

    Nothing may be written under them afterwards: the next `fence` raises LeaseLost.
    """
    given_up = update(table).where(table.c.lease_owner == owner)
    await connection.execute(given_up.values(lease_owner=NOBODY, lease_until_ms=0))


def _now_ms(connection: AsyncConnection) -> ColumnElement[int]:
    """The server's clock when the row is read, not when the transaction began."""
    if connection.dialect.name == SQLITE:
        return cast((func.julianday("now") - 2440587.5) * 86_400_000, BigInteger)
    return cast(extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
