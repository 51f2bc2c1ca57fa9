"""Operations that a cancellation must not leave half done: it is obeyed once the operation has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def settled(operation: Awaitable[T], within_s: float | None = None) -> T:
    """Await `operation` to its end, through cancellations of the awaiting task; those are raised afterwards.

    Whoever is cancelled here cannot tell whether the operation did what it should; it only knows that it is
    over. After `within_s` of waiting for that, the operation itself is cancelled.

    Raises: what the operation raises; `CancelledError` when the task was cancelled meanwhile.
    """
    future = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await _end(future, within_s)
        raise


async def _end(future: asyncio.Future[T], within_s: float | None) -> None:
    loop = asyncio.get_running_loop()
    deadline = None if within_s is None else loop.time() + within_s
    while not future.done():
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            future.cancel()
            return
        try:
            await asyncio.wait({future}, timeout=left)
        except asyncio.CancelledError:
            continue  # the first one is raised, by the caller
    if not future.cancelled():
        future.exception()  # seen; the cancellation is what is raised
