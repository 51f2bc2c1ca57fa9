"""Which replica sequences: the lease of the log's one writer.

Any number of replicas on one PostgreSQL database accept statements; one of them gives them leaves, signs
checkpoints and leaves anchors to the lane. Every such write checks the lease's epoch in its own transaction
(silkledger.runtime.lease), so a replica that slept past its lease publishes nothing any more. On SQLite the
file's lock has left one process, and the lease is a row that is always its own.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import Column, MetaData, Table, Text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.settings import LedgerSettings
from silkledger.runtime import db
from silkledger.runtime.db import SQLITE, Database
from silkledger.runtime.lease import Lease, LeaseLost, lease_columns, release
from silkledger.runtime.settings import SettingsError, require_development, variable_of
from silkledger.runtime.telemetry import logger

LEASE_S: Final = 10.0
"""How long the sequencing replica may be silent, where the settings say nothing else."""

_MOST_LOOK_S: Final = 1.0

metadata = MetaData()

# One row for each origin: who sequences it.
log_lease = Table("log_lease", metadata, Column("origin", Text, primary_key=True), *lease_columns())


class Leadership:
    """One process's claim to sequence the log of `origin`."""

    def __init__(self, database: Database, origin: str, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._origin = origin
        self._owner = uuid.uuid4().hex
        self._lease = Lease(log_lease, {"origin": origin}, self._owner, lease_s)
        self._renew_after_s = lease_s / 3
        self.look_s = min(lease_s / 10, _MOST_LOOK_S)
        """Pause of a process that stands by, before it looks again whether it may lead."""
        self._renew_at = 0.0
        self._created = False
        self._epoch: int | None = None

    @property
    def epoch(self) -> int | None:
        """Of this process as the log's writer, as far as it knows; None: another one is, or nobody."""
        return self._epoch

    async def lead(self) -> bool:
        """Whether this process sequences; takes the lease if it is to be had, and renews it in time."""
        lasts = self._database.dialect == SQLITE or time.monotonic() < self._renew_at
        if self._epoch is not None and lasts:
            return True
        began = time.monotonic()
        async with self._database.write() as connection:
            if not self._created:
                await self._lease.create(connection)
            row = await self._lease.hold(connection)
        self._created = True
        self._note(None if row is None else int(row.epoch), began)
        return self._epoch is not None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction of the log's one writer, which also renews the lease.

        Raises:
            LeaseLost: another process sequences; nothing was written.
        """
        began = time.monotonic()
        async with self._database.write() as connection:
            row = await self._lease.keep(connection)
            if row is None or row.epoch != self._epoch:
                self._note(None, began)
                raise LeaseLost
            yield connection
        self._note(self._epoch, began)

    async def give_up(self) -> None:
        """Let the next replica begin at once. If the database does not answer, the lease ends by itself."""
        self._epoch = None
        try:
            async with self._database.write() as connection:
                await release(connection, log_lease, self._owner)
        except DBAPIError as error:
            logger().warning("log_lease_not_given_up", origin=self._origin, why=type(error).__name__)

    def _note(self, epoch: int | None, began: float) -> None:
        self._renew_at = began + self._renew_after_s
        if epoch != self._epoch:
            name = "log_lease_lost" if epoch is None else "log_lease_taken"
            logger().info(name, origin=self._origin, epoch=self._epoch if epoch is None else epoch)
        self._epoch = epoch


def lease_seconds(settings: LedgerSettings, dialect: str) -> float:
    """The lease of the settings.

    Raises:
        SettingsError: a promise that a change of the sequencing replica could break; in production, a lease
            that an idle transaction of a stopped replica may outlast.
    """
    if dialect == SQLITE:
        return settings.log_lease_ms / 1000
    if settings.promise_within_s * 1000 <= 2 * settings.log_lease_ms:
        text = f"must be above twice the log's lease of {settings.log_lease_ms} ms"
        raise SettingsError({variable_of("promise_within_s"): text})
    if settings.log_lease_ms <= db.IDLE_IN_TRANSACTION_MS:
        text = f"a lease of {settings.log_lease_ms} ms, not above {db.IDLE_IN_TRANSACTION_MS} ms,"
        logger().warning("development_only", warning=require_development(settings.mode, text))
    return settings.log_lease_ms / 1000
