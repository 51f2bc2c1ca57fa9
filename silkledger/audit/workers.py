"""The processes of one replay: each reads blocks from the node by itself, checks leaves, compares tables.

Nothing is shared between them but what they are asked and answer. A worker dies with the replay that started
it, however that ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context, util
from typing import Final, Self, TypeVar

from silkledger.audit.prepare import Prepared, prepare
from silkledger.audit.sealing import Sealing, contract_proofs
from silkledger.evm.contracts import Network
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.engines import EngineProfile
from silkledger.evm.node_urls import node_urls, open_nodes
from silkledger.evm.port import AccountProof, FullBlock, Node
from silkledger.runtime.orphans import end_with
from silkledger.runtime.settings import SettingsError, variable_of

ALL_CORES: Final = -1
"""As many processes as there are cores."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChainSource:
    """Where blocks are read, and whose events count."""

    node_url: str
    """One node's URL, or several with their names, as `SILKLEDGER_NODE_URL` has them."""
    profile: EngineProfile
    network: Network
    sealing: Sealing | None = None
    """By which rules seals are verified; None: they are not."""
    agreement: int | None = None
    """Of several nodes, how many must show a block; 0: all that answer; None: all there are."""

    def check(self) -> None:
        """Raises: SettingsError: the URLs are malformed, or more nodes shall agree than there are."""
        urls = node_urls(self.node_url)
        if self.agreement is not None and not 0 <= self.agreement <= len(urls):
            raise SettingsError({variable_of("node_agreement"): f"must be 0 to {len(urls)}"})

    def open(self) -> Node:
        """The node, or the nodes held against each other. Close it. Raises: SettingsError."""
        urls = node_urls(self.node_url)
        agreement = len(urls) if self.agreement is None else self.agreement
        pinned = self.network.chain_id, self.network.genesis_hash
        return open_nodes(urls, self.profile, *pinned, agreement)

    def portable(self) -> Self:
        """The same with plain mappings, which can be handed to another process."""
        profile = replace(self.profile, refusals=dict(self.profile.refusals))
        network = replace(self.network, addresses=dict(self.network.addresses))
        return replace(self, profile=profile, network=network)


class Workers:
    """Runs functions beside the event loop. With `processes` 0 in one thread of this process, else in that
    many processes; ALL_CORES starts one per core. `close` it.
    """

    def __init__(self, processes: int, source: ChainSource) -> None:
        count = (os.cpu_count() or 1) if processes == ALL_CORES else processes
        self.parallel = max(count, 1)
        """Jobs that are worked at at once. Keep twice as many under way, not more: answers take memory."""
        self._in_thread = not count
        self._pool: Executor
        if self._in_thread:
            self._pool = ThreadPoolExecutor(1, initializer=_begin, initargs=(source, None))
        else:
            self._pool = ProcessPoolExecutor(
                count,
                mp_context=get_context("spawn"),
                initializer=_begin,
                initargs=(source.portable(), os.getpid()),
            )

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """What `function(*arguments)` returns or raises. Both must be picklable."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def close(self) -> None:
        """Ends them; what was not begun is not done."""
        if self._in_thread:
            await self.run(_end)
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


class _Reader:
    """One worker's own connection to the node, on an event loop of its own."""

    def __init__(self, source: ChainSource) -> None:
        self._source = source
        self._runner = asyncio.Runner()
        self._node = source.open()

    def read(self, first: int, last: int) -> Prepared:
        blocks, proofs = self._runner.run(self._told(first, last))
        return prepare(self._source.network, blocks, self._source.sealing, proofs)

    async def _told(self, first: int, last: int) -> tuple[list[FullBlock], dict[int, AccountProof]]:
        if isinstance(self._node, CrossCheckedNode):
            await self._node.block_number()  # who answers, and where each ends, may be others by now
        blocks = await self._node.full_blocks(first, last)
        return blocks, await contract_proofs(self._node, self._source.sealing, blocks)

    def close(self) -> None:
        self._runner.run(self._node.close())
        self._runner.close()


_here: Final = threading.local()


def read_blocks(first: int, last: int) -> Prepared:
    """In a worker: fetch and prepare the blocks. Raises: NodeError, ContractMismatch."""
    reader: _Reader = _here.reader
    return reader.read(first, last)


def _begin(source: ChainSource, parent: int | None) -> None:
    if parent is not None:  # of a replay that was killed the pool's own pipe would keep it waiting for ever
        end_with(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here.reader = reader = _Reader(source)
    if parent is not None:
        util.Finalize(None, reader.close, exitpriority=10)


def _end() -> None:
    reader: _Reader = _here.reader
    reader.close()
