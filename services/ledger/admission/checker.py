"""Signature checks beside the event loop: in worker processes when there are any, else in a thread."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from services.ledger.domain import IssuerKeys, Violation, check_statements
from silkledger.statement import SignedStatement

INLINE: Final = 16
"""Up to this many statements are checked on the event loop: about a millisecond, cheaper than handing
over.
"""

CHUNK: Final = 125
"""Statements that one worker process takes at once, so that one call of 500 uses several processes."""

_PR_SET_PDEATHSIG: Final = 1


class SignatureChecker:
    """Parses and verifies the statements of a call. `processes` 0 uses a thread of this process."""

    def __init__(self, processes: int) -> None:
        self._pool = (
            ProcessPoolExecutor(
                processes,
                mp_context=get_context("spawn"),
                initializer=_die_with_parent,
                initargs=(os.getpid(),),
            )
            if processes
            else None
        )

    async def check(self, raws: Sequence[bytes], issuer: IssuerKeys) -> list[SignedStatement | Violation]:
        """One result per statement, in order."""
        if len(raws) <= INLINE:
            return check_statements(0, raws, issuer)
        if self._pool is None:
            return await asyncio.to_thread(check_statements, 0, raws, issuer)
        loop = asyncio.get_running_loop()
        runs = [
            loop.run_in_executor(
                self._pool, check_statements, first, list(raws[first : first + CHUNK]), issuer
            )
            for first in range(0, len(raws), CHUNK)
        ]
        return [result for run in await asyncio.gather(*runs) for result in run]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _die_with_parent(parent: int) -> None:
    """A worker must not outlive a service that was killed: the pool's own pipe would keep it waiting for
    ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):  # not Linux
        return
    if os.getppid() != parent:
        os._exit(1)
