"""No writing transaction waits for its client for long: PostgreSQL sessions of stopped processes are ended.

A process that is stopped or cut off inside a transaction leaves its locks behind, and others wait for them.
PostgreSQL's own limit (`idle_in_transaction_session_timeout`) ends a session that is idle between two
statements. It does not end one in the middle of an exchange: a statement that was parsed and not yet run, or
an answer that is larger than the sockets hold and is not read. So every process of a service looks for such
sessions of the service, its own included, and ends them. The stopped process finds its connection closed when
it wakes, and its transaction undone.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from silkledger.runtime import db
from silkledger.runtime.db import POSTGRESQL, Database
from silkledger.runtime.telemetry import logger

INTERVAL_S: Final = 1.0
"""Pause between two looks."""

_END: Final = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND application_name = :application"
    " AND xact_start IS NOT NULL AND wait_event_type = 'Client'"
    " AND state_change < clock_timestamp() - make_interval(secs => :limit_s)"
)


class StoppedSessions:
    """Ends the writing sessions whose clients the server waits for too long. On SQLite there are none."""

    def __init__(self, database: Database, interval_s: float = INTERVAL_S) -> None:
        self._database = database
        self._interval_s = interval_s

    async def run(self, stop: asyncio.Event) -> None:
        """Look until stopped."""
        while not stop.is_set():
            if self._database.dialect == POSTGRESQL:
                try:
                    await self.step()
                except DBAPIError as error:
                    logger().warning("sessions_not_seen", why=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), self._interval_s)
            except TimeoutError:
                continue

    async def step(self) -> int:
        """One look; how many sessions were ended."""
        limit_s = db.IDLE_IN_TRANSACTION_MS / 1000
        async with self._database.read() as connection:
            found = await connection.execute(_END, {"application": db.WRITER_NAME, "limit_s": limit_s})
            ended = len(found.all())
        if ended:
            logger().warning("stopped_sessions_ended", sessions=ended)
        return ended
