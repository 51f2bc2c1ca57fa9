"""Requests that may be repeated: the first reply is kept, in one commit with the effect and its audit row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import storage
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database
from silkledger.runtime.idempotency import remember, replay


@dataclass(frozen=True, slots=True)
class Request:
    """What makes a call repeatable: who asked for what, and under which id."""

    method: str
    request_id: str
    fingerprint: bytes


class Requests:
    """The replies given so far."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def first_reply(self, caller: Caller, request: Request) -> bytes | None:
        """As `replayed`, in a reading transaction of its own."""
        async with self._database.read() as connection:
            return await self.replayed(connection, caller, request)

    async def replayed(self, connection: AsyncConnection, caller: Caller, request: Request) -> bytes | None:
        """The first reply to this request; None: it is new. Raises: RequestIdConflict."""
        return await replay(connection, caller.did, request.method, request.request_id, request.fingerprint)

    async def conclude(
        self, connection: AsyncConnection, caller: Caller, request: Request, subject: str, reply: bytes
    ) -> None:
        """Keep the reply, and who had what committed, in the caller's transaction.

        Raises: RequestInFlight.
        """
        await storage.insert_audit(
            connection,
            at_ms=int(self._now() * 1000),
            caller=caller.did,
            method=request.method,
            request_id=request.request_id.lower(),
            subject=subject,
        )
        await remember(connection, caller.did, request.method, request.request_id, request.fingerprint, reply)
