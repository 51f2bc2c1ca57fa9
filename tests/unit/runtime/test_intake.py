"""Room for large requests: so many bytes are worked on, so many wait in their turn, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silkledger.runtime.errors import Code, IntakeFull
from silkledger.runtime.intake import RECEIVING, RECEIVING_OF_ONE, SMALL, Intake

LARGE = SMALL + 1


class Request:
    """Holds its room until it is told to end."""

    def __init__(self, intake: Intake, size: int = LARGE) -> None:
        self.size = size
        self.end = asyncio.Event()
        self.inside = False
        self.task = asyncio.create_task(self._run(intake))

    async def _run(self, intake: Intake) -> None:
        async with intake.room(self.size):
            self.inside = True
            await self.end.wait()


async def steps() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def made(intake: Intake, sizes: Sequence[int]) -> list[Request]:
    requests = [Request(intake, size) for size in sizes]
    await steps()
    return requests


async def finish(*requests: Request) -> None:
    for request in requests:
        request.end.set()
    await asyncio.gather(*(request.task for request in requests))
    await steps()


async def test_what_does_not_fit_waits_for_its_turn() -> None:
    intake = Intake(2 * LARGE, 9 * LARGE)
    first, second, third, fourth = await made(intake, [LARGE] * 4)
    assert [item.inside for item in (first, second, third, fourth)] == [True, True, False, False]
    await finish(second)
    assert (third.inside, fourth.inside) == (True, False), "first come, first served"
    await finish(first, third, fourth)
    assert (intake.working, intake.waiting) == (0, 0)


async def test_what_is_too_much_is_refused_with_a_time_to_try_again() -> None:
    intake = Intake(LARGE, LARGE)
    first, second = await made(intake, [LARGE] * 2)
    with pytest.raises(IntakeFull) as caught:
        async with intake.room(LARGE):
            pass
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert caught.value.retry_after_s is not None
    await finish(first, second)
    async with intake.room(LARGE):
        assert intake.working == LARGE


async def test_small_requests_pass_while_large_ones_queue() -> None:
    intake = Intake(LARGE, LARGE)
    first, second, small = await made(intake, [LARGE, LARGE, SMALL])
    assert (second.inside, small.inside) == (False, True)
    assert intake.working == LARGE, "and take no room"
    await finish(first, second, small)


async def test_a_request_that_is_larger_than_the_room_has_it_alone() -> None:
    intake = Intake(2 * LARGE, 9 * LARGE)
    first, huge, behind = await made(intake, [LARGE, 3 * LARGE, LARGE])
    assert (huge.inside, behind.inside) == (False, False), "nobody overtakes it for ever"
    await finish(first)
    assert (huge.inside, behind.inside) == (True, False)
    await finish(huge)
    assert behind.inside
    await finish(behind)


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    intake = Intake(2 * LARGE, 9 * LARGE)
    first, huge, behind = await made(intake, [LARGE, 3 * LARGE, LARGE])
    huge.task.cancel()
    await steps()
    assert behind.inside, "who stood behind it need not wait any more"
    await finish(first, behind)
    assert (intake.working, intake.waiting) == (0, 0)


async def test_who_gives_up_in_the_moment_of_its_turn_gives_it_back() -> None:
    intake = Intake(LARGE, 9 * LARGE)
    first, second, third = await made(intake, [LARGE] * 3)
    first.end.set()
    while intake.waiting == 2 * LARGE:  # noqa: ASYNC110 - to the very step of the loop
        await asyncio.sleep(0)
    second.task.cancel()  # it has its turn and has not run yet
    await steps()
    assert not second.inside
    assert third.inside
    await finish(third)
    assert (intake.working, intake.waiting) == (0, 0)


@pytest.mark.parametrize("larger", [False, True])
async def test_who_gave_up_in_the_moment_that_room_comes_free_is_passed_over(larger: bool) -> None:
    intake = Intake(LARGE, 9 * LARGE)
    first, second, third = await made(intake, [LARGE, LARGE + larger, LARGE])
    first.end.set()
    await asyncio.sleep(0)  # the first's task runs in the next step, and so does the second's end
    second.task.cancel()
    await steps()
    assert first.task.done() and first.task.exception() is None
    assert second.task.cancelled() and not second.inside
    assert third.inside
    await finish(third)
    assert (intake.working, intake.waiting) == (0, 0)


async def test_room_that_comes_free_before_the_cancelled_one_has_run() -> None:
    intake = Intake(LARGE, 9 * LARGE)
    room = intake.room(LARGE)
    await room.__aenter__()
    second, third = await made(intake, [LARGE] * 2)
    second.task.cancel()
    await room.__aexit__(None, None, None)  # no step of the loop in between
    await steps()
    assert second.task.cancelled() and not second.inside
    assert third.inside
    await finish(third)
    assert (intake.working, intake.waiting) == (0, 0)


async def test_so_many_are_received_at_once() -> None:
    intake = Intake(LARGE, LARGE)
    with ExitStack() as stack:
        for number in range(RECEIVING):
            stack.enter_context(intake.receiving(f"did:{number % 4}"))
        with (
            pytest.raises(IntakeFull, match=f"{RECEIVING} are being received"),
            intake.receiving("did:other"),
        ):
            pass
    assert intake.in_transit == 0
    with intake.receiving("did:other"):
        assert intake.in_transit == 1


async def test_one_caller_leaves_room_for_others() -> None:
    intake = Intake(LARGE, LARGE)
    with ExitStack() as stack:
        for _ in range(RECEIVING_OF_ONE):
            stack.enter_context(intake.receiving("did:slow"))
        with pytest.raises(IntakeFull, match="of this caller"), intake.receiving("did:slow"):
            pass
        with intake.receiving("did:other"):
            pass
    with intake.receiving("did:slow"):
        pass


async def test_nothing_is_received_that_could_not_wait() -> None:
    intake = Intake(LARGE, LARGE)
    first, second = await made(intake, [LARGE] * 2)
    with pytest.raises(IntakeFull), intake.receiving("did:a"):
        pass
    await finish(first, second)
    with intake.receiving("did:a"):
        pass


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["come", "end", "cancel"]), st.integers(0, 9), st.integers(1, 4)), max_size=40
)


@given(ACTIONS)
def test_the_bounds_hold_and_nothing_is_lost(actions: list[tuple[str, int, int]]) -> None:
    asyncio.run(_play(actions))


async def _play(actions: list[tuple[str, int, int]]) -> None:
    intake, alive = Intake(4 * LARGE, 6 * LARGE), list[Request]()
    for what, which, width in actions:
        came, held, queued = None, intake.working, intake.waiting
        if what == "come":
            alive.append(came := Request(intake, width * LARGE))
        elif alive and what == "end":
            alive[which % len(alive)].end.set()
        elif alive:
            alive[which % len(alive)].task.cancel()
        await steps()
        if came is not None and came.task.done():
            assert isinstance(came.task.exception(), IntakeFull)
            assert queued + came.size > 6 * LARGE and (queued or held + came.size > 4 * LARGE)
        alive = [item for item in alive if not item.task.done()]
        inside = sum(item.size for item in alive if item.inside)
        assert intake.working == inside <= 4 * LARGE
        assert intake.waiting == sum(item.size for item in alive) - inside <= 6 * LARGE
        assert inside or not alive, "somebody is always worked on"
    for item in alive:
        item.end.set()
    await asyncio.gather(*(item.task for item in alive))
    assert (intake.working, intake.waiting) == (0, 0)
