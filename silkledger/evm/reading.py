"""Reading blocks ahead of whoever applies them, in ranges that fit the node.

While one range is applied the next ones are fetched and verified. How many blocks a range has is found out:
it grows while the node answers whole, in time and not too much at once, and is halved when it does not. So a
node that refuses large batches or is slow makes catching up slower; it does not stop it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.evm.port import FullBlock, Node, NodeUnavailable, NotAgreedYet
from silkledger.evm.verify import verify_block, verify_links

AHEAD: Final = 2
"""Ranges that are being fetched or verified at once, besides the one that is applied."""

_FIRST_SIZE: Final = 16
"""Blocks of the first range, before anything is known about the node."""
_SLOW_S: Final = 2.0
"""An answer that takes longer halves the next range. Below the time-out of a request."""
_LARGE_BYTES: Final = 4 * 1024 * 1024
"""So many bytes of headers, transactions and logs in one answer halve the next range. Bounds the memory."""
_FORGIVEN_AFTER: Final = 4
"""Good ranges of the largest size after which a size that failed is tried again."""


class RangeSize:
    """How many blocks to ask for next. Between 1 and `largest`."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._ceiling = largest
        self._good = 0
        self.size = min(_FIRST_SIZE, largest)

    def answered(self, blocks: int, octets: int, seconds: float) -> None:
        """The node gave `blocks` blocks of that size within that time."""
        if seconds > _SLOW_S or octets > _LARGE_BYTES:
            self.size = max(min(blocks // 2, self.size), 1)
            return
        if blocks < self.size:
            return  # there were no more: nothing learnt about more
        self._good += 1
        if self._good >= _FORGIVEN_AFTER and self.size == self._ceiling:
            self._good = 0
            self._ceiling = min(2 * self._ceiling, self._largest)
        self.size = min(2 * self.size, self._ceiling)

    def failed(self, blocks: int) -> None:
        """The node did not give a range of `blocks` blocks: too large for it, or it fails altogether."""
        self._good = 0
        self.size = self._ceiling = max(min(blocks // 2, self.size), 1)


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int
    loading: asyncio.Task[list[FullBlock]]


class BlockReader:
    """Verified blocks of one node in order. One user at a time; `forget` when what is ahead is not wanted.

    Guarantees that every block given was held against its header (`verify_block`) and that the blocks of one
    range follow each other. Not that the first follows anything, nor that the network agreed on them.
    """

    def __init__(self, node: Node, largest: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._clock = clock
        self._size = RangeSize(largest)
        self._ahead: deque[_Range] = deque()

    @property
    def size(self) -> int:
        """How many blocks the next range will have, if there are as many."""
        return self._size.size

    async def read(self, first: int, head: int) -> list[FullBlock]:
        """Blocks from `first` on, at least one and none above `head`; the ranges after them are begun.

        Raises:
            NodeUnavailable: not to be had now; the next range asked for is smaller.
            NodeLied: what the node gave does not fit together. Nothing of its range is given.
        """
        if self._ahead and self._ahead[0].first != first:
            self.forget()
        self._begin(first, head)
        wanted = self._ahead[0]
        try:
            blocks = await wanted.loading
        except BaseException:
            self.forget()
            raise
        self._ahead.popleft()
        self._begin(wanted.last + 1, head)
        return blocks

    def forget(self) -> None:
        """Drop what was read ahead."""
        while self._ahead:
            self._ahead.pop().loading.cancel()

    def _begin(self, first: int, head: int) -> None:
        """Ask for what is missing of the next ranges, from `first` on where nothing is asked for yet."""
        if self._ahead:
            first = self._ahead[-1].last + 1
        while len(self._ahead) < AHEAD and first <= head:
            last = min(first + self._size.size - 1, head)
            loading = asyncio.create_task(self._load(first, last), name=f"blocks {first} to {last}")
            loading.add_done_callback(_seen)
            self._ahead.append(_Range(first, last, loading))
            first = last + 1

    async def _load(self, first: int, last: int) -> list[FullBlock]:
        asked = self._clock()
        try:
            blocks = await self._node.full_blocks(first, last)
        except NotAgreedYet:
            raise
        except NodeUnavailable:
            self._size.failed(last - first + 1)
            raise
        self._size.answered(len(blocks), _octets(blocks), self._clock() - asked)
        verify_links(blocks)
        for block in blocks:
            verify_block(block)
            await asyncio.sleep(
                0
            )  # whoever serves calls in this process waits for one block, not for a range
        return blocks


def _octets(blocks: Sequence[FullBlock]) -> int:
    logs = (log for block in blocks for receipt in block.receipts for log in receipt.logs)
    transactions = (raw for block in blocks for raw in block.transactions or ())
    return (
        sum(len(block.header.raw) for block in blocks)
        + sum(len(log.data) + 32 * len(log.topics) for log in logs)
        + sum(map(len, transactions))
    )


def _seen(loading: asyncio.Task[list[FullBlock]]) -> None:
    """A range that is not wanted any more may fail unnoticed."""
    if not loading.cancelled():
        loading.exception()
