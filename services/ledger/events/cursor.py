"""What a stream tells its consumer, and the cursors by which the consumer acknowledges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from services.ledger.events.filters import EVERYTHING, Filter
from silkledger.values import BlockRef

BLOCK_DONE: Final = 2**32 - 1
"""Log index of a cursor that stands after everything in its block."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to and including this log of this block was seen."""

    block_number: int
    log_index: int
    block_hash: bytes

    @classmethod
    def after(cls, block: BlockRef) -> Cursor:
        """Behind everything in `block`."""
        return cls(block.number, BLOCK_DONE, bytes(block.hash))

    @property
    def position(self) -> int:
        """Orders cursors of one chain: block number, then log index, in one integer below 2^64."""
        return self.block_number << 32 | self.log_index


@dataclass(frozen=True, slots=True)
class Wish:
    """What a consumer subscribes to."""

    consumer: str
    start: Cursor | None = None
    filter: Filter = field(default=EVERYTHING)
    final_only: bool = False
    confirm: bool = False
    """Whether the consumer is told which acknowledgement is durable."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events that pass the filter, encoded; the encoded bytes are shared between streams."""

    cursors: Sequence[Cursor]
    wires: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Retracted:
    """Blocks after `ancestor` were undone."""

    ancestor: BlockRef


@dataclass(frozen=True, slots=True)
class Gap:
    """The cursor asked for is not on this chain; delivery resumes from `start`."""

    start: Cursor
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Nothing more up to `cursor` passes the filter. `caught_up`: there was no newer block to look at."""

    cursor: Cursor
    caught_up: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """This acknowledgement is durable."""

    cursor: Cursor


Item = Batch | Retracted | Gap | Progress | Acknowledged
