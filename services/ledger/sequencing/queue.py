"""What acceptance and sequencing know of each other in one process: how much waits, and whether the log is
open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from services.ledger.errors import ChainNotFollowed, LogHalted, QueueFull


class Queue:
    """Accepted statements that wait for the sequencer: a bound, and a bell. The rows themselves are in the
    database.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting = 0
        self.arriving = 0
        """Statements of the calls under way: they take memory before they wait."""
        self.ids: set[bytes] = set()
        """Statement ids that this process accepted and has not logged."""
        self.arrived = asyncio.Event()
        self.open = False
        """Set once the log was found to extend what it published and anchored. Nothing is accepted before."""
        self.halted: str | None = None
        """Why the log must not go on."""

    def check(self, arriving: int) -> None:
        """Whether that many statements may be accepted now.

        Raises:
            LogHalted, ChainNotFollowed, QueueFull.
        """
        if self.halted is not None:
            raise LogHalted(self.halted)
        if not self.open:
            raise ChainNotFollowed
        taken = self.waiting + self.arriving
        if taken + arriving > self.limit:
            raise QueueFull(taken, self.limit)

    @contextmanager
    def reserve(self, arriving: int) -> Iterator[None]:
        """Hold room for a call's statements from before they are checked until they are committed or refused.

        Raises:
            LogHalted, ChainNotFollowed, QueueFull.
        """
        self.check(arriving)
        self.arriving += arriving
        try:
            yield
        finally:
            self.arriving -= arriving

    @contextmanager
    def committing(self, ids: Sequence[bytes]) -> Iterator[None]:
        """Around the commit of accepted statements: they wait from now on, unless the commit fails."""
        self.ids.update(ids)
        self.waiting += len(ids)
        try:
            yield
        except BaseException:
            self.taken(ids)
            raise
        self.arrived.set()

    def counted(self, waiting: int) -> None:
        """So many wait in the database, whoever accepted them."""
        self.waiting = max(waiting, len(self.ids))

    def taken(self, ids: Iterable[bytes]) -> None:
        """These do not wait any more."""
        before = len(self.ids)
        self.ids.difference_update(ids)
        self.waiting = max(0, self.waiting - (before - len(self.ids)))
