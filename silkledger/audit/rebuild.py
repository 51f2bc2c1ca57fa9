"""Reading the chain again from genesis: ranges of blocks prepared on all cores, appended in order.

Only final blocks are read: what a reorg may still undo is nothing to hold a database against. A replay that
was cut off goes on at the block after the last one that it committed, if the chain still has that one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from silkledger.audit.prepare import Prepared
from silkledger.audit.sealing_order import SealOrder, order_of
from silkledger.audit.work import WorkStore
from silkledger.audit.workers import ChainSource, Workers, read_blocks
from silkledger.evm.follower import FinalityViolated, WrongChain
from silkledger.evm.port import Node, NodeLied, NodeUnavailable
from silkledger.values import BlockHash

Advance = Callable[[int, int], None]
"""Told with every step: blocks read in it, and blocks that there are to read in all."""

FIRST_RANGE: Final = 8
"""Blocks of the first range; later ones have about WEIGHT transactions and events."""

WEIGHT: Final = 2_000
"""Transactions and events of one range: some tens of milliseconds of work, a few megabytes of answers."""

PATIENCE: Final = 6
"""Times that a range is asked for before the node counts as gone; ranges shrink, waits double from 0.25 s."""


async def rebuild(source: ChainSource, workers: Workers, store: WorkStore, advance: Advance) -> None:
    """Bring the store up to the node's present final block.

    Raises:
        WrongChain, FinalityViolated: the node is not on the chain that is audited, or has another history.
        NodeError, ContractMismatch: the chain cannot be read, or does not verify; several nodes do not agree.
        SettingsError: the nodes' URLs are malformed.
    """
    node = source.open()
    try:
        await _check_chain(node, source)
        if store.head.number:
            theirs = (await node.block(store.head.number)).header.hash
            if theirs != store.head.hash:
                raise FinalityViolated(store.head.number, store.head.hash, theirs)
        target = max(source.profile.final_number(await node.block_number()), store.head.number)
        seals = None
        if source.sealing is not None:
            if target < source.sealing.start:
                raise NodeUnavailable(
                    f"the chain is final up to block {target}, below the pinned block {source.sealing.start}"
                )
            seals = await order_of(source.sealing, node, source.network.genesis_hash, store.seals)
        advance(store.head.number, target)
        await _Rebuilding(workers, store, source.profile.log_range, target, advance, seals).run()
    finally:
        await node.close()


async def _check_chain(node: Node, source: ChainSource) -> None:
    network = source.network
    chain_id, genesis = await node.chain_id(), await node.genesis_hash()
    if (chain_id, genesis) != (network.chain_id, network.genesis_hash):
        raise WrongChain(
            f"the node is on chain {chain_id} with genesis {genesis}, "
            f"not on chain {network.chain_id} with genesis {network.genesis_hash}"
        )


class _Rebuilding:
    """Keeps twice as many ranges under way as there are workers, so that answers never pile up."""

    def __init__(
        self,
        workers: Workers,
        store: WorkStore,
        most: int,
        target: int,
        advance: Advance,
        seals: SealOrder | None,
    ) -> None:
        self._workers = workers
        self._store = store
        self._most = most
        self._target = target
        self._advance = advance
        self._seals = seals
        self._size = min(FIRST_RANGE, most)
        self._next = store.head.number + 1
        self._under_way: deque[asyncio.Task[list[Prepared]]] = deque()

    async def run(self) -> None:
        try:
            self._fill()
            while self._under_way:
                for prepared in await self._under_way.popleft():
                    await self._append(prepared)
                self._fill()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _fill(self) -> None:
        while len(self._under_way) < 2 * self._workers.parallel and self._next <= self._target:
            last = min(self._next + self._size - 1, self._target)
            self._under_way.append(asyncio.create_task(self._read(self._next, last)))
            self._next = last + 1

    async def _append(self, prepared: Prepared) -> None:
        head = self._store.head
        if prepared.parent != head.hash:
            raise FinalityViolated(head.number, head.hash, BlockHash(prepared.parent))
        followed = None if self._seals is None else await self._seals.follow(prepared.sealed)
        await self._store.append(prepared, followed)
        blocks = prepared.last - prepared.first + 1
        self._size = max(1, min(self._most, 2 * self._size, WEIGHT * blocks // prepared.weight))
        self._advance(blocks, self._target)

    async def _read(self, first: int, last: int) -> list[Prepared]:
        """The blocks in one answer, or in several where the node does not give so many at once."""
        found: list[Prepared] = []
        size, wait_s, failed = last - first + 1, 0.25, 0
        while first <= last:
            try:
                found.append(await self._workers.run(read_blocks, first, min(first + size - 1, last)))
            except (NodeUnavailable, NodeLied):
                failed += 1
                if failed == PATIENCE:
                    raise
                size = max(1, size // 2)
                await asyncio.sleep(wait_s)
                wait_s *= 2
            else:
                first = found[-1].last + 1
        return found
