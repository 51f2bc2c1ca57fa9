"""What one consumer was told and has not acknowledged: 16 bytes a place, so that thousands of consumers fit.

An acknowledgement must name a place that was told: it is cumulative, and never moves past what was delivered.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from enum import Enum
from typing import Final

from services.ledger.events.cursor import Cursor

_COMPACT_AT: Final = 64
"""Acknowledged places are forgotten once there are this many of them, and at least as many as others."""


class Answer(Enum):
    """What an acknowledgement does."""

    MOVES = "moves"
    """The consumer's checkpoint moves to it."""
    VOID = "void"
    """It changes nothing: it repeats the last one, or the place was retracted before the consumer knew."""
    UNKNOWN = "unknown"
    """This place was not told by this stream, or a later acknowledgement has passed it."""


class Outstanding:
    """Places in the order told. Their positions never fall: a retraction takes back the later ones first."""

    def __init__(self) -> None:
        self._positions = array("Q")
        self._hashes: list[bytes] = []
        self._start = 0
        self._notices: deque[int] = deque()
        self._last: Cursor | None = None
        self._void: dict[int, bytes] = {}
        self._retraction = -1

    @property
    def events(self) -> int:
        """Events that wait for an acknowledgement."""
        return len(self._positions) - self._start - len(self._notices)

    @property
    def notices(self) -> int:
        """Notices that wait for an acknowledgement."""
        return len(self._notices)

    def tell_event(self, cursor: Cursor) -> None:
        """An event is delivered."""
        self._positions.append(cursor.position)
        self._hashes.append(cursor.block_hash)

    def tell_notice(self, cursor: Cursor) -> None:
        """Anything else that may be acknowledged: progress, a gap's start, a common ancestor."""
        self.tell_event(cursor)
        self._notices.append(cursor.position)

    def retract(self, ancestor: Cursor) -> None:
        """Take back every place after `ancestor`, and tell the ancestor."""
        keep = bisect_right(self._positions, ancestor.position, self._start)
        self._void = dict(zip(self._positions[keep:], self._hashes[keep:], strict=True))
        del self._positions[keep:]
        del self._hashes[keep:]
        while self._notices and self._notices[-1] > ancestor.position:
            self._notices.pop()
        self.tell_notice(ancestor)
        self._retraction = ancestor.position

    def acknowledge(self, cursor: Cursor) -> Answer:
        """Everything up to `cursor` is acknowledged, if it may be."""
        position, block_hash = cursor.position, cursor.block_hash
        end = bisect_right(self._positions, position, self._start)
        if end > self._start and (self._positions[end - 1], self._hashes[end - 1]) == (position, block_hash):
            self._pass(end, position)
            self._last = cursor
            return Answer.MOVES
        if cursor == self._last or self._void.get(position) == block_hash:
            return Answer.VOID
        return Answer.UNKNOWN

    def _pass(self, end: int, position: int) -> None:
        self._start = end
        while self._notices and self._notices[0] <= position:
            self._notices.popleft()
        if position > self._retraction:
            self._void = {}  # whoever acknowledges a later place has seen the retraction
        if self._start >= _COMPACT_AT and self._start * 2 >= len(self._positions):
            del self._positions[: self._start]
            del self._hashes[: self._start]
            self._start = 0
