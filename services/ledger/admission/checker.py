"""Signature checks beside the event loop: in worker processes when there are any, else in a thread."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Final

from services.ledger.domain import (
    CheckedRun,
    IssuerKeys,
    check_manifest,
    check_statements,
    join_runs,
)
from silkledger.runtime.orphans import end_with
from silkledger.runtime.server import calm_collector
from silkledger.runtime.telemetry import logger

AUTOMATIC: Final = -1
"""As many processes as there are cores."""

MOST: Final = 8
"""Most processes that AUTOMATIC starts."""

INLINE: Final = 16
"""Up to this many statements are checked on the event loop: about a millisecond, cheaper than handing
over.
"""

CHUNK: Final = 250
"""Statements that one worker process takes at once, so that one call of 500 uses two processes."""


class SignatureChecker:
    """Parses and verifies the statements of a call. `processes` 0 uses a thread of this process, AUTOMATIC
    one process per core.

    A worker process that dies costs no answer: the pool is replaced, and what it was at is checked again.
    """

    def __init__(self, processes: int) -> None:
        self._processes = min(os.cpu_count() or 1, MOST) if processes == AUTOMATIC else processes
        self._pool = self._new_pool() if self._processes else None

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._processes,
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(os.getpid(),),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Have every process started before the first call needs it, then wait until stopped."""
        if self._pool is not None:
            loop = asyncio.get_running_loop()
            warm = [loop.run_in_executor(self._pool, _ready) for _ in range(self._processes)]
            await asyncio.gather(*warm, return_exceptions=True)
        await stop.wait()

    async def check(self, raws: Sequence[bytes], issuer: IssuerKeys) -> CheckedRun:
        """All statements of a call."""
        if len(raws) <= INLINE:
            return check_statements(0, raws, issuer)
        work = [
            (check_statements, first, raws[first : first + CHUNK], issuer)
            for first in range(0, len(raws), CHUNK)
        ]
        return join_runs(await self._run_all(work))

    async def check_manifest(self, raw: bytes, leaves: bytes, issuer: IssuerKeys) -> CheckedRun:
        """A manifest and the leaves of its documents."""
        (run,) = await self._run_all([(check_manifest, raw, leaves, issuer)])
        return run

    async def _run_all(self, work: Sequence[tuple[Any, ...]]) -> list[CheckedRun]:
        """Each (function, argument, …) in a verifying process; in a thread if there is none, or one died."""
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is not None:
            try:
                return list(await asyncio.gather(*(loop.run_in_executor(pool, *call) for call in work)))
            except BrokenProcessPool:
                logger().error("verifying_process_died", processes=self._processes)
                if self._pool is pool:
                    self._pool = self._new_pool()
                    pool.shutdown(wait=False)
        return [await asyncio.to_thread(*call) for call in work]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _ready() -> None:
    """Nothing to do: the process that answers has started and imported all that it needs."""


def _begin(parent: int) -> None:
    """In a worker process."""
    end_with(parent)  # of a service that was killed the pool's own pipe would keep it waiting for ever
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calm_collector()
