"""What auditors may ask about replays. Decides; the work is `services.ledger.replays.runner`'s."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.ledger.errors import LedgerError
from services.ledger.replays import storage
from services.ledger.replays.storage import ReplayRow, ReplayState
from services.ledger.storage import insert_audit
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database, advisory_lock
from silkledger.runtime.idempotency import remember, replay
from silkledger.values import Did

METHOD: Final = "StartReplay"
RETRY_S: Final = 30.0
"""When to ask again after a refusal because others are under way."""
WAITING: Final = 20
"""Operations of all callers that are under way or wait their turn."""


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class ReplayBusy(LedgerError):
    """The caller has a replay under way, or too many wait."""

    def __init__(self, why: str) -> None:
        super().__init__("REPLAY_RUNNING", why, retry_after_s=RETRY_S)


class ReplayNotFound(LedgerError):
    """No such replay, or another organisation's: the two look the same."""

    def __init__(self) -> None:
        super().__init__("REPLAY_NOT_FOUND", "no such replay")


@dataclass(frozen=True, slots=True)
class Operations:
    """Replays as their callers see them."""

    database: Database
    offered: bool
    """Whether this service has a directory to work in."""
    wake: Callable[[], None]
    """Told when there is something to do."""

    async def start(
        self,
        caller: Caller,
        request_id: str,
        fingerprint: bytes,
        upto: int | None,
        encode: Callable[[ReplayRow], bytes],
    ) -> bytes:
        """Take a replay; returns the encoded first response to this request id.

        Raises:
            Forbidden, LedgerError REPLAY_NOT_OFFERED, ReplayBusy, RequestIdConflict: nothing was written.
        """
        self._admit(caller)
        async with self.database.write() as connection:
            known = await replay(connection, caller.did, METHOD, request_id, fingerprint)
            if known is not None:
                return known
            await advisory_lock(connection, "replays")
            if await storage.under_way(connection, str(caller.did)):
                raise ReplayBusy("a replay of yours is under way: wait for it, or cancel it")
            if await storage.under_way(connection) >= WAITING:
                raise ReplayBusy(f"{WAITING} replays are under way or waiting")
            name, at_ms = str(uuid.uuid4()), now_ms()
            await storage.add(connection, name, str(caller.did), upto, at_ms)
            row = _mine(await storage.get(connection, name), caller.did)
            response = encode(row)
            await remember(connection, caller.did, METHOD, request_id, fingerprint, response)
            await insert_audit(
                connection,
                at_ms=at_ms,
                organisation=str(caller.did),
                method=METHOD,
                request_id=request_id.lower(),
                items=1,
            )
        self.wake()
        return response

    async def get(self, caller: Caller, name: str) -> ReplayRow:
        """Raises: Forbidden, ReplayNotFound."""
        self._admit(caller)
        async with self.database.read() as connection:
            return _mine(await storage.get(connection, name), caller.did)

    async def page(
        self, caller: Caller, before: tuple[int, str] | None, limit: int
    ) -> tuple[list[ReplayRow], tuple[int, str] | None]:
        """The caller's own, newest first, and where the next page begins."""
        self._admit(caller)
        async with self.database.read() as connection:
            rows = await storage.page(connection, str(caller.did), before, limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        return rows, (rows[-1].created_ms, rows[-1].id) if more else None

    async def cancel(self, caller: Caller, name: str) -> ReplayRow:
        """Ask for its end; whoever works on it ends it within seconds. Done ones stay as they are."""
        self._admit(caller)
        async with self.database.write() as connection:
            _mine(await storage.get(connection, name), caller.did)
            await storage.cancel(connection, name, now_ms())
            row = _mine(await storage.get(connection, name), caller.did)
        self.wake()
        return row

    async def report(self, caller: Caller, name: str, *, html: bool) -> bytes:
        """Raises: Forbidden, ReplayNotFound, LedgerError REPLAY_NOT_DONE."""
        row = await self.get(caller, name)
        if row.state is ReplayState.SUCCEEDED:
            async with self.database.read() as connection:
                found = await storage.report_of(connection, name, html=html)
            if found is not None:
                return found
        raise LedgerError("REPLAY_NOT_DONE", f"the replay has no report: it is {row.state.value}")

    def _admit(self, caller: Caller) -> None:
        caller.require_role("auditor", "operator")
        if not self.offered:
            raise LedgerError("REPLAY_NOT_OFFERED", "this service has no directory for replays")


def _mine(row: ReplayRow | None, did: Did) -> ReplayRow:
    if row is None or row.organisation != str(did):
        raise ReplayNotFound
    return row
