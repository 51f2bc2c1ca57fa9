"""The newest blocks of the chain, held once for all streams. Pure: the reader moves it, streams look at it.

Guarantees, held by every method:

- blocks are consecutive and each names the hash of the one before it;
- every block above the final one is in the window, so that a reorg and its common ancestor are always seen;
- beyond that it holds at most `max_blocks` blocks and `max_events` events; older ones are in the archive.

The `epoch` counts reorgs. A stream remembers the epoch it has seen; `undone_since` tells it the oldest
common ancestor of the reorgs after that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.ledger.events.blocks import EventBlock
from services.ledger.events.cursor import BLOCK_DONE, Cursor
from silkledger.values import BlockRef

_REMEMBERED_REORGS: Final = 64
"""Of older ones only the oldest ancestor is kept: a stream that slept that long is told a bit too much."""


class NotLinked(ValueError):
    """The blocks do not follow the window's head: the archive changed while it was read."""


class Rewritten(ValueError):
    """What the archive has now shares no block with the window above finality."""


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How much is held below finality."""

    max_blocks: int
    max_events: int


class Window:
    """See the module."""

    def __init__(self, base: BlockRef, limits: WindowLimits) -> None:
        self._limits = limits
        self._base = base
        self._blocks: list[EventBlock] = []
        self._events = 0
        self._reorgs: list[tuple[int, BlockRef]] = []
        self.final = base.number
        """Number of the newest final block."""
        self.epoch = 0

    @property
    def base(self) -> BlockRef:
        """The block before the first one held."""
        return self._base

    @property
    def head(self) -> BlockRef:
        return self._blocks[-1].ref if self._blocks else self._base

    @property
    def events(self) -> int:
        """How many events are held."""
        return self._events

    @property
    def unfinal(self) -> list[int]:
        """Numbers of the blocks held that may be undone, and of the newest that may not."""
        return [block.ref.number for block in self._blocks if block.ref.number >= self.final]

    def newest_of(self, archived: Mapping[int, BlockRef]) -> BlockRef:
        """The newest block held that is the archive's own as well."""
        for block in reversed(self._blocks):
            if archived.get(block.ref.number) == block.ref:
                return block.ref
        return self._base

    def undo(self, ancestor: BlockRef) -> None:
        """Forget everything after `ancestor`, which is held or the base. Nothing happens if that is the head.

        Raises:
            Rewritten: `ancestor` is not ours, or below finality.
        """
        if ancestor == self.head:
            return
        keep = ancestor.number - self._base.number
        if not 0 <= keep <= len(self._blocks) or self._at(keep) != ancestor:
            raise Rewritten(f"block {ancestor.number} is not in the window")
        if ancestor.number < self.final:
            raise Rewritten(f"block {ancestor.number} is below the final block {self.final}")
        self._events -= sum(len(block.events) for block in self._blocks[keep:])
        del self._blocks[keep:]
        self.epoch += 1
        while self._reorgs and self._reorgs[-1][1].number >= ancestor.number:
            self._reorgs.pop()
        self._reorgs.append((self.epoch, ancestor))
        if len(self._reorgs) > _REMEMBERED_REORGS:
            (_, oldest), (epoch, _) = self._reorgs[:2]
            self._reorgs[:2] = [(epoch, oldest)]

    def extend(self, blocks: Sequence[EventBlock], final: int) -> None:
        """Add the blocks that follow the head; `final` is the newest final block's number.

        Raises:
            NotLinked: they do not follow. The window is unchanged.
        """
        tip = self.head
        for block in blocks:
            if block.ref.number != tip.number + 1 or block.parent_hash != tip.hash:
                raise NotLinked(f"block {block.ref.number} does not follow block {tip.number}")
            tip = block.ref
        self._blocks.extend(blocks)
        self._events += sum(len(block.events) for block in blocks)
        self.final = max(self.final, min(final, tip.number))
        self._trim()

    def jump(self, base: BlockRef, blocks: Sequence[EventBlock], final: int) -> None:
        """Begin anew at `base`, far ahead of the head: what lies between is read from the archive.

        Raises:
            NotLinked: the blocks do not follow `base`, or `base` is not final. The window is unchanged.
        """
        if not self.head.number <= base.number <= final:
            raise NotLinked(f"block {base.number} is no final block after {self.head.number}")
        kept = (self._base, self._blocks, self._events)
        self._base, self._blocks, self._events = base, [], 0
        try:
            self.extend(blocks, final)
        except NotLinked:
            self._base, self._blocks, self._events = kept
            raise

    def following(self, place: Cursor) -> Sequence[EventBlock] | None:
        """The blocks from `place` on, its own included where it is not done; None: they begin below the
        window.
        """
        first = place.block_number + (place.log_index == BLOCK_DONE)
        if first <= self._base.number:
            return None
        return self._blocks[first - self._base.number - 1 :]

    def between(self, first: int, last: int) -> Sequence[EventBlock]:
        """The blocks held among `first` … `last`."""
        below = self._base.number + 1
        return self._blocks[max(first - below, 0) : max(last + 1 - below, 0)]

    def undone_since(self, epoch: int) -> BlockRef | None:
        """The oldest common ancestor of the reorgs after `epoch`; None: there were none."""
        return next((ancestor for number, ancestor in self._reorgs if number > epoch), None)

    def shows(self, place: Cursor) -> bool:
        """Whether the block of `place` is held: then it is on the chain, and nobody else need be asked."""
        index = place.block_number - self._base.number
        return 0 < index <= len(self._blocks) and bytes(self._at(index).hash) == place.block_hash

    def _at(self, index: int) -> BlockRef:
        """The block so far above the base."""
        return self._blocks[index - 1].ref if index else self._base

    def _trim(self) -> None:
        drop = 0
        while drop < len(self._blocks) and self._blocks[drop].ref.number < self.final:
            fits = len(self._blocks) - drop <= self._limits.max_blocks
            if fits and self._events <= self._limits.max_events:
                break
            self._events -= len(self._blocks[drop].events)
            drop += 1
        if drop:
            self._base = self._blocks[drop - 1].ref
            del self._blocks[:drop]
