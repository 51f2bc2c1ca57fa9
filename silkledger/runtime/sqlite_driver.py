"""The SQLite connection of a service: a cancelled task leaves no lock and no old snapshot behind.

Two things are mended in aiosqlite and in Python's own sqlite3. A statement runs in the connection's thread
and cannot be called back: whoever is cancelled while it runs waits for its end, so that nothing else happens
to the connection meanwhile. And a statement that was not read to its end is ended with its transaction:
SQLite would keep it, with its lock or its old state of the database, until somebody collects it, even in a
connection that was closed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from weakref import WeakSet

import aiosqlite

from silkledger.runtime.settle import settled

_ROWS_AT_ONCE: Final = 64


class _Connection(sqlite3.Connection):
    """Ends its statements with the transaction, as Python did before 3.11."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        made = super().cursor(factory)
        self._cursors.add(made)
        return made

    def commit(self) -> None:
        self._end_statements()
        super().commit()

    def rollback(self) -> None:
        self._end_statements()
        super().rollback()

    def _end_statements(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()
        self._cursors.clear()


class SettlingConnection(aiosqlite.Connection):
    """`aiosqlite.Connection` that is safe under cancellation."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running or self._connection is None:
            raise ValueError("Connection closed")  # the text by which SQLAlchemy knows it
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, partial(fn, *args, **kwargs)))
        return await settled(future)

    async def close(self) -> None:
        """Roll back what is open, close, end the thread. Idempotent."""
        ended = self.stop() if self._running else None
        if ended is not None:
            await settled(ended)

    def stop(self) -> asyncio.Future[Any] | None:
        """Like `close`, without waiting."""
        self._tx.put_nowait((None, self._abandon))
        return super().stop()

    def _abandon(self) -> None:
        if self._connection is not None:
            self._connection.rollback()


def creator(path: str) -> Callable[[], Awaitable[SettlingConnection]]:
    """What makes connections to the file, for `create_async_engine(async_creator=…)`.

    They are in autocommit mode: whoever uses them says BEGIN.
    """

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_Connection)

    async def create() -> SettlingConnection:
        connection = SettlingConnection(connect, _ROWS_AT_ONCE)
        connection._thread.daemon = True  # a thread that waits for a lock must not keep the process alive
        await connection
        return connection

    return create
