"""How much of large requests is worked on at once: others wait their turn, too much is refused.

A request takes several times its size while it is worked on. Without a bound callers who send more than the
service can take would decide how much memory it needs.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, NamedTuple

from silkledger.runtime.errors import IntakeFull

SMALL: Final = 64 * 1024
"""Requests up to this many bytes neither wait nor count: reads pass while large ones queue."""


RECEIVING: Final = 64
RECEIVING_OF_ONE: Final = RECEIVING // 4
"""Most large requests that are received at once, of all callers and of one: a slow one keeps others out."""


class _Waiting(NamedTuple):
    size: int
    turn: asyncio.Future[None]


class Intake:
    """Room for requests, in bytes. `working`: worked on at once, though always one request, of whatever size.
    `waiting`: received and waiting for their turn, first come first served. Beside them at most RECEIVING
    requests of methods that are known to be large are being received.
    """

    def __init__(self, working: int, waiting: int) -> None:
        self._limit = working
        self._waiting_limit = waiting
        self.working = 0
        self.waiting = 0
        self._receiving = Counter[str]()
        self._queue: deque[_Waiting] = deque()

    @property
    def in_transit(self) -> int:
        """Large requests that are being received."""
        return self._receiving.total()

    @contextmanager
    def receiving(self, caller: str) -> Iterator[None]:
        """Around the receiving of a large request. Raises: IntakeFull, when that many are received already,
        of this caller or in all, or no more may wait.
        """
        if self.waiting >= self._waiting_limit:
            raise self._full()
        if self._receiving[caller] >= RECEIVING_OF_ONE:
            raise IntakeFull(f"{RECEIVING_OF_ONE} of this caller are being received")
        if self.in_transit >= RECEIVING:
            raise IntakeFull(f"{RECEIVING} are being received")
        self._receiving[caller] += 1
        try:
            yield
        finally:
            self._receiving[caller] -= 1
            self._receiving += Counter()  # forgets who has none

    def _full(self) -> IntakeFull:
        return IntakeFull(f"{self.waiting} bytes of them wait to be worked on, {self._waiting_limit} may")

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Wait for room, and hold it. Raises: IntakeFull."""
        if size <= SMALL:
            yield
            return
        if self._queue or not self._fits(size):
            await self._wait(size)
        else:
            self.working += size
        try:
            yield
        finally:
            self._give_back(size)

    def _fits(self, size: int) -> bool:
        return self.working == 0 or self.working + size <= self._limit

    async def _wait(self, size: int) -> None:
        if self.waiting + size > self._waiting_limit:
            raise self._full()
        place = _Waiting(size, asyncio.get_running_loop().create_future())
        self._queue.append(place)
        self.waiting += size
        try:
            await place.turn
        except asyncio.CancelledError:
            if place.turn.done() and not place.turn.cancelled():
                self._give_back(size)
            else:
                place.turn.cancel()
                self._admit()  # whoever stood behind may be small enough
            raise

    def _give_back(self, size: int) -> None:
        self.working -= size
        self._admit()

    def _admit(self) -> None:
        """Give turns to those who have waited longest. Who gave up may still stand there: its own task, which
        takes it out otherwise, need not have run since.
        """
        for place in [place for place in self._queue if place.turn.cancelled()]:
            self._queue.remove(place)
            self.waiting -= place.size
        while self._queue and self._fits(self._queue[0].size):
            size, turn = self._queue.popleft()
            self.waiting -= size
            self.working += size
            turn.set_result(None)
