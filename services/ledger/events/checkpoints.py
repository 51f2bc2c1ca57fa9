"""Acknowledgements of all consumers, many to a commit.

An acknowledgement counts only after its commit, at most about `interval_s` plus one commit later. If the
service dies before, the consumer resumes after its last committed one: events come again, none is lost. Of
several acknowledgements of one consumer between two commits only the last is written. Those of a stream that
is not the consumer's newest (`takeovers`) are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import DBAPIError

from services.ledger.events.consumers import Key, Move, move_consumers
from services.ledger.events.cursor import Cursor
from silkledger.runtime.db import Database
from silkledger.runtime.telemetry import logger

_AGAIN_S: Final = 0.5
"""Pause after a commit that failed."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    move: Move
    committed: Callable[[], None]
    refused: Callable[[], None]


class Checkpoints:
    """The consumers' checkpoints in the database."""

    def __init__(self, database: Database, interval_s: float) -> None:
        self._database = database
        self._interval_s = interval_s
        self._waiting: dict[Key, _Waiting] = {}
        self._committing: dict[Key, _Waiting] = {}
        self._some = asyncio.Event()
        self._round = asyncio.Condition()

    def move(
        self,
        key: Key,
        stream: int,
        cursor: Cursor,
        committed: Callable[[Cursor], None],
        refused: Callable[[], None],
    ) -> None:
        """Have the checkpoint moved with the next commit; `committed` is called after it, or `refused` if the
        stream of this number is not the consumer's newest.
        """
        self._waiting[key] = _Waiting(Move(stream, cursor), lambda: committed(cursor), refused)
        self._some.set()

    async def settle(self, key: Key) -> None:
        """Wait until every acknowledgement of the consumer so far is committed."""
        async with self._round:
            await self._round.wait_for(lambda: key not in self._waiting and key not in self._committing)

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped; what is acknowledged by then is committed."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                some = asyncio.create_task(self._some.wait())
                await asyncio.wait({some, stopping}, return_when=asyncio.FIRST_COMPLETED)
                some.cancel()
                await asyncio.wait({stopping}, timeout=self._interval_s)
                pause = 0.0 if await self.commit() else _AGAIN_S
                await asyncio.wait({stopping}, timeout=pause)
        finally:
            stopping.cancel()
        await self.commit()

    async def commit(self) -> bool:
        """One commit of everything that waits; False: it failed, and all of it waits again."""
        self._some.clear()
        if not self._waiting:
            return True
        self._committing, self._waiting = self._waiting, {}
        moves = {key: item.move for key, item in self._committing.items()}
        try:
            async with self._database.write() as connection:
                refused = await move_consumers(connection, moves)
        except DBAPIError as error:
            logger().warning("acknowledgements_not_committed", consumers=len(moves), why=type(error).__name__)
            self._waiting = self._committing | self._waiting
            self._committing = {}
            self._some.set()
            return False
        done, self._committing = self._committing, {}
        for key, item in done.items():
            (item.refused if key in refused else item.committed)()
        async with self._round:
            self._round.notify_all()
        return True
