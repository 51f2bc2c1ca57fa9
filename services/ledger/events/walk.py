"""Where one stream is on the chain. Pure: it is given blocks and tells what to deliver.

One rule keeps a stream on one chain: from a block it moves only to a block that names that block's hash as
its parent. Wherever the next blocks come from, the window or the archive, none is left out and none of
another branch slips in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.ledger.events.blocks import EventBlock, SharedEvent
from services.ledger.events.cursor import BLOCK_DONE, Batch, Cursor, Retracted
from services.ledger.events.filters import Filter
from services.ledger.events.window import Window

BATCH_BYTES: Final = 256 * 1024
"""A batch ends after the event that reaches this size; far below the message cap."""


@dataclass(slots=True)
class Walk:
    """The way of one stream. `place`: looked at up to here. `told`: the consumer knows of this place."""

    place: Cursor
    told: Cursor
    epoch: int

    def take(self, blocks: Sequence[EventBlock], wanted: Filter, upto: int, room: int) -> Batch | None:
        """Go on through `blocks`, not past block `upto`, and take at most `room` events that pass.

        Stops before a block that does not follow. None: nothing passed; `place` may have moved all the same.
        """
        taken: list[SharedEvent] = []
        size = 0
        for block in blocks:
            if block.ref.number > upto or not self._follows(block):
                break
            if block.ref.number != self.place.block_number:
                after = -1
            elif self.place.log_index == BLOCK_DONE:
                continue
            else:
                after = self.place.log_index
            for event in block.matching(wanted):
                if event.cursor.log_index <= after:
                    continue
                if len(taken) >= room or size >= BATCH_BYTES:
                    return self._batch(taken)
                taken.append(event)
                size += len(event.wire)
                self.place = event.cursor
            self.place = block.end
        return self._batch(taken)

    def retraction(self, window: Window) -> Retracted | None:
        """Back to the common ancestor if this stream's blocks were undone; told if the consumer knew them."""
        epoch, self.epoch = self.epoch, window.epoch
        ancestor = window.undone_since(epoch)
        if ancestor is None or ancestor.number >= self.place.block_number or window.shows(self.place):
            return None
        self.place = Cursor.after(ancestor)
        if self.told.block_number <= ancestor.number:
            return None
        self.told = self.place
        return Retracted(ancestor)

    def _follows(self, block: EventBlock) -> bool:
        if block.ref.number == self.place.block_number:
            return bytes(block.ref.hash) == self.place.block_hash
        return (
            self.place.log_index == BLOCK_DONE
            and block.ref.number == self.place.block_number + 1
            and bytes(block.parent_hash) == self.place.block_hash
        )

    def _batch(self, taken: Sequence[SharedEvent]) -> Batch | None:
        if not taken:
            return None
        self.told = taken[-1].cursor
        return Batch([event.cursor for event in taken], [event.wire for event in taken])
