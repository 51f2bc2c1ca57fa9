"""What acceptance and sequencing know of each other in one process: how much waits, and whether the log is
open.
"""

from __future__ import annotations

import asyncio

from services.ledger.errors import ChainNotFollowed, LogHalted, QueueFull


class Queue:
    """Accepted statements that wait for the sequencer: a bound, and a bell. The rows themselves are in the
    database.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting = 0
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
        if self.waiting + arriving > self.limit:
            raise QueueFull(self.waiting, self.limit)

    def add(self, arrived: int) -> None:
        """After the commit: so many more wait."""
        self.waiting += arrived
        self.arrived.set()
