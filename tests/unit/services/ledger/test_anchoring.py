"""When the log is looked at for an anchor: at once when something says so, no sooner than its interval."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from services.ledger.sequencing.anchoring import LOOK_S, Anchoring

INTERVAL_S = 0.2


class Looks(Anchoring):
    """Anchoring whose looks are noted. `leaves` says which of them leave an intent."""

    def __init__(self, leaves: Callable[[int], bool]) -> None:
        unused = cast(Any, None)
        self.bell = asyncio.Event()
        super().__init__(unused, unused, unused, INTERVAL_S, unused, self.bell)
        self.at: list[float] = []
        self.looked = asyncio.Queue[float]()
        self._leaves = leaves

    async def step(self) -> bool:
        self.at.append(asyncio.get_running_loop().time())
        self.looked.put_nowait(self.at[-1])
        return self._leaves(len(self.at))


@asynccontextmanager
async def running(anchoring: Looks) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(anchoring.run(stop))
    await asyncio.wait_for(anchoring.looked.get(), LOOK_S)
    yield
    stop.set()
    await asyncio.wait_for(task, LOOK_S)


async def test_it_looks_at_once_when_something_says_that_an_anchor_may_be_due() -> None:
    anchoring = Looks(lambda _: False)
    async with running(anchoring):
        for _ in range(4):
            rung = asyncio.get_running_loop().time()
            anchoring.bell.set()
            assert await asyncio.wait_for(anchoring.looked.get(), 5) - rung < LOOK_S / 2


async def test_nobody_says_so_and_it_looks_all_the_same_but_not_all_the_time() -> None:
    anchoring = Looks(lambda _: False)
    async with running(anchoring):
        await asyncio.sleep(LOOK_S / 2)
        assert len(anchoring.at) == 1
        await asyncio.sleep(LOOK_S)
    assert len(anchoring.at) == 2


async def test_after_an_intent_was_left_the_interval_passes_whatever_is_said() -> None:
    anchoring = Looks(lambda look: look == 1)
    async with running(anchoring):
        anchoring.bell.set()
        await asyncio.wait_for(anchoring.looked.get(), LOOK_S)  # what was said meanwhile is not forgotten
    assert anchoring.at[1] - anchoring.at[0] >= INTERVAL_S
