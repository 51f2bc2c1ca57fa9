"""Which stream of a consumer is the newest, over all replicas of the service.

Every stream gets a number when it begins, kept with its consumer's checkpoint, which only the stream of that
number moves. Numbers are given in the order of commits. So whoever looks at those above the highest it has
seen misses no consumer that another replica took over, and need not ask for each stream of its own.

An older stream on another replica is ended at most about `look_s` later. Until then it may deliver events
that the newer one delivers too; nothing that is acknowledged there counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import DBAPIError

from services.ledger.events.consumers import Key, newest_stream, number_streams, streams_after
from services.ledger.events.cursor import Cursor
from silkledger.runtime.db import POSTGRESQL, Database
from silkledger.runtime.telemetry import logger

LOOK_S: Final = 1.0
"""Pause between two looks at what other replicas have taken over."""

_AGAIN_S: Final = 0.5
"""Pause after numbers could not be committed."""


@dataclass(frozen=True, slots=True)
class _Opening:
    key: Key
    take: Callable[[int], None]
    done: asyncio.Future[None]


class Takeovers:
    """Numbers this replica's streams, many to a commit, and tells which consumers others have taken over."""

    def __init__(self, database: Database, start: Cursor, look_s: float = LOOK_S) -> None:
        """`start`: where a consumer stands that never acknowledged anything."""
        self.taken_over: Callable[[Key, int], None] = lambda _key, _number: None
        """Told every consumer's newest number, this replica's own streams included."""
        self._database = database
        self._start = start
        self._look_s = look_s
        self._alone = database.dialect != POSTGRESQL
        self._seen: int | None = None
        self._opening: list[_Opening] = []
        self._some = asyncio.Event()

    async def number(self, key: Key, take: Callable[[int], None]) -> None:
        """Have a new stream of the consumer numbered; `take` is told the number once it is committed."""
        done = asyncio.get_running_loop().create_future()
        self._opening.append(_Opening(key, take, done))
        self._some.set()
        await done

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped. Failing commits and looks are repeated."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if not (await self.look() and await self.commit()):
                    await asyncio.wait({stopping}, timeout=_AGAIN_S)
                    continue
                pause = None if self._alone else self._look_s
                some = asyncio.create_task(self._some.wait())
                await asyncio.wait({some, stopping}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                some.cancel()
        finally:
            stopping.cancel()

    async def commit(self) -> bool:
        """Number all streams that wait for it; False: it failed, and they wait on."""
        self._some.clear()
        opening, self._opening = self._opening, []
        if not opening:
            return True
        try:
            async with self._database.write() as connection:
                keys = [item.key for item in opening]
                first = await number_streams(connection, keys, self._start)
        except DBAPIError as error:
            logger().warning("streams_not_numbered", streams=len(opening), why=type(error).__name__)
            self._opening = opening + self._opening
            return False
        for number, item in enumerate(opening, first):
            item.take(number)
            if not item.done.done():
                item.done.set_result(None)
        return True

    async def look(self) -> bool:
        """Tell what was taken over since the last look; False: it failed."""
        if self._alone:
            return True
        try:
            async with self._database.read() as connection:
                if self._seen is None:  # before any stream of this replica
                    self._seen = await newest_stream(connection)
                found = await streams_after(connection, self._seen)
        except DBAPIError as error:
            logger().warning("takeovers_not_looked_at", why=type(error).__name__)
            return False
        for key, number in found:
            self._seen = max(number, self._seen)
            self.taken_over(key, number)
        return True
