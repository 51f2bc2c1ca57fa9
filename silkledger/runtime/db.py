"""One database per service: SQLite by default, PostgreSQL by URL. SQLAlchemy Core, no ORM.

`Database.write()` is one transaction that survives SIGKILL and power loss once the block is left without an
exception: SQLite runs in WAL mode with synchronous=FULL, PostgreSQL with its own durable commit. A block that
is left by an exception, a cancellation included, leaves nothing: no row and no lock. A cancellation that
comes during the commit is raised when the commit has ended: then all of the block is there, and who asks
again with the same request id learns it. A transaction is never there in part.

SQLite has one owning process per file, held by a lock on `<file>.lock`: a second owner is refused at start.
Writes in this process are serialised. PostgreSQL may have several processes; who needs one writer there takes
`advisory_lock` inside the transaction.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from silkledger.runtime.settle import settled
from silkledger.runtime.sqlite_driver import creator

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"

READ_CONNECTIONS: Final = 8
"""Reading connections kept per process."""

BUSY_TIMEOUT_MS: Final = 10_000
"""How long SQLite waits for a lock; only a checkpoint or an outside reader can hold one."""

SETTLE_S: Final = 30.0
"""How long a commit or rollback may go on after its task was cancelled."""

IDLE_IN_TRANSACTION_MS: Final = 8_000
"""A transaction that waits for its client this long is ended (and see `silkledger.runtime.sessions`); MUST
stay below every lease (design section 14).
"""

PING_AFTER_S: Final = 1.0
"""A connection to PostgreSQL that was not used for this long is asked whether it is alive before its next
transaction; asking each time is one exchange more for every transaction.
"""

WRITER_NAME: Final = "silkledger"
READER_NAME: Final = "silkledger-reader"
"""How PostgreSQL names our sessions (`application_name`)."""


class DatabaseInUse(RuntimeError):
    """Another process owns this SQLite file. `path` is the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the database {path} is owned by another running process; one file, one owner")
        self.path = path


class DatabaseUrlRefused(ValueError):
    """The URL names no database that is supported. Never contains the URL: it may hold a password."""


def parse_url(url: str) -> URL:
    """`sqlite:///path` or `postgresql://…` mapped to its asynchronous driver.

    Raises:
        DatabaseUrlRefused: another database, or SQLite in memory (which would not be durable).
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseUrlRefused("the database URL cannot be read") from None  # its text may hold a password
    backend = parsed.get_backend_name()
    if backend == SQLITE:
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise DatabaseUrlRefused("SQLite needs a file: sqlite:///path/to/file")
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend == POSTGRESQL:
        return parsed.set(drivername="postgresql+asyncpg")
    raise DatabaseUrlRefused(f"{backend} is not supported; use sqlite:/// or postgresql://")


class _OwnerLock:
    """An exclusive lock on `<file>.lock`, released by the kernel when the process dies."""

    def __init__(self, database: Path) -> None:
        self._fd = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise DatabaseInUse(database) from None

    def release(self) -> None:
        os.close(self._fd)


class Database:
    """The service's database. Make it with `open`, end it with `close`."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, lock: _OwnerLock | None) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, url: str) -> Database:
        """Open, and own if it is SQLite.

        Raises:
            DatabaseInUse: another process owns the SQLite file.
            DatabaseUrlRefused: not a supported URL.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
        """
        parsed = parse_url(url)
        if parsed.get_backend_name() == SQLITE:
            database = _open_sqlite(cls, parsed)
        else:
            database = _open_postgresql(cls, parsed)
        try:
            await database.ping()
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._writer.dialect.name

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One writing transaction: durable when the block ends, nothing when it raises.

        On SQLite (BEGIN IMMEDIATE) writers of this process take turns, so what the block reads stays true
        until its commit. On PostgreSQL blocks run beside each other at READ COMMITTED: rely on constraints
        or on `advisory_lock`.
        """
        if self.dialect == SQLITE:
            async with self._writing, _transaction(self._writer) as connection:
                yield connection
        else:
            async with _transaction(self._writer) as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One reading transaction: everything in the block sees one state of the database. Writes are
        refused.
        """
        async with _transaction(self._reader) as connection:
            yield connection

    async def ping(self) -> None:
        """Whether the database answers. Raises what the driver raises."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """End all connections and give the file up. Idempotent."""
        await self._reader.dispose()
        await self._writer.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Commit, rollback and giving the connection back are brought to their end whatever is cancelled."""
    connection = engine.connect()
    await connection.start()
    try:
        transaction = await connection.begin()
        try:
            yield connection
        except BaseException:
            await settled(transaction.rollback(), SETTLE_S)
            raise
        await settled(transaction.commit(), SETTLE_S)
    finally:
        await settled(connection.close(), SETTLE_S)


async def advisory_lock(connection: AsyncConnection, name: str) -> None:
    """Hold the lock of this name until the transaction ends. On SQLite `write()` already is that lock."""
    if connection.dialect.name == POSTGRESQL:
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"silkledger/{name}"}
        )


def _open_sqlite(cls: type[Database], url: URL) -> Database:
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _OwnerLock(path)
    create = creator(str(path))
    writer = create_async_engine(url, async_creator=create, pool_size=1, max_overflow=0)
    reader = create_async_engine(url, async_creator=create, pool_size=READ_CONNECTIONS, max_overflow=0)
    for engine, statements, begin in (
        (writer, ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"), "BEGIN IMMEDIATE"),
        (reader, ("PRAGMA query_only=ON",), "BEGIN"),
    ):
        _prepare_sqlite(engine, statements, begin)
    return cls(writer, reader, lock)


def _prepare_sqlite(engine: AsyncEngine, statements: tuple[str, ...], begin: str) -> None:
    """The connections are in autocommit mode, and we say BEGIN: the driver would start a deferred
    transaction, too late.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for statement in (
            *statements,
            f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
            "PRAGMA foreign_keys=ON",
            "PRAGMA temp_store=MEMORY",
        ):
            cursor.execute(statement)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)


def _open_postgresql(cls: type[Database], url: URL) -> Database:
    def arguments(name: str) -> dict[str, object]:
        limit = str(IDLE_IN_TRANSACTION_MS)
        settings = {"idle_in_transaction_session_timeout": limit, "application_name": name}
        return {"server_settings": settings}

    writer = create_async_engine(url, pool_size=8, max_overflow=0, connect_args=arguments(WRITER_NAME))
    reader = create_async_engine(
        url, pool_size=READ_CONNECTIONS, max_overflow=0, connect_args=arguments(READER_NAME)
    ).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    for engine in (writer, reader):
        _ask_after_rest(engine)
    return cls(writer, reader, None)


def _ask_after_rest(engine: AsyncEngine) -> None:
    """A connection that died while nobody used it is replaced unnoticed. One that dies within `PING_AFTER_S`
    of its last use fails one transaction, and with that the pool's others are replaced.
    """
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "checkin")
    def _given_back(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def _taken(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("used", math.inf) <= PING_AFTER_S:
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, connection, None):
                raise InvalidatePoolError from error
            raise
