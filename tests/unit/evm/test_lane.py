"""The lane on a node that behaves: states, order of storing and sending, idempotency, limits."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from silkledger.evm.lane_types import (
    Intent,
    IntentConflict,
    LaneFull,
    State,
)
from silkledger.evm.port import NodeUnavailable
from silkledger.evm.tables import ATTEMPT, INTENT, LANE
from silkledger.evm.transactions import decode_signed
from silkledger.runtime.errors import Code
from tests.unit.evm.rig import Rig


async def test_an_intent_passes_through_its_states(rig: Rig) -> None:
    await rig.enqueue("a", "b")
    assert await rig.state("a") is State.QUEUED
    await rig.lane.step()
    assert await rig.state("a") is State.BROADCAST
    await rig.blocks(1)
    await rig.lane.step()
    status = await rig.status("a")
    assert (status.state, status.block_number) == (State.INCLUDED, 1)
    await rig.blocks(6)
    await rig.lane.step()
    assert [await rig.state(key) for key in ("a", "b")] == [State.FINAL, State.FINAL]
    assert await rig.attempts() == [(0, "FINAL"), (1, "FINAL")]
    assert rig.counted("a", "b")
    assert rig.lane.problem is None


async def test_bytes_and_nonce_are_stored_before_anything_is_sent(rig: Rig) -> None:
    await rig.enqueue("a")
    await rig.lane.step()
    await rig.enqueue("b")
    rig.node.drop_sent = 1
    with pytest.raises(NodeUnavailable):
        await rig.lane.step()
    assert await rig.attempts() == [(0, "BROADCAST"), (1, "SIGNED")]
    async with rig.database.read() as conn:
        raw = (await conn.execute(select(ATTEMPT.c.raw).order_by(ATTEMPT.c.nonce))).scalars().all()[1]
        assert (await conn.execute(select(LANE.c.next_nonce))).scalar_one() == 2
    assert decode_signed(bytes(raw)).transaction.nonce == 1

    rig.lane = rig.new_lane()  # a restart: recovery is the same code as sending
    rig.clock.now += 60
    await rig.lapse()
    await rig.lane.step()
    await rig.blocks(7)
    await rig.lane.step()
    assert rig.counted("a", "b")
    assert await rig.attempts() == [(0, "FINAL"), (1, "FINAL")]


async def test_nothing_to_do_uses_no_nonce_and_not_yet_waits(rig: Rig) -> None:
    rig.done.add(b"old")
    rig.waiting.add(b"early")
    await rig.enqueue("old", "early", "now")
    await rig.lane.step()
    status = await rig.status("old")
    assert (status.state, status.reason, status.tx_hash) == (State.REFUSED, "done already", None)
    assert await rig.state("early") is State.QUEUED
    assert await rig.attempts() == [(0, "BROADCAST")]
    rig.waiting.clear()
    await rig.lane.step()
    await rig.blocks(7)
    await rig.lane.step()
    assert rig.counted("now", "early")


async def test_the_same_intent_twice_is_one(rig: Rig) -> None:
    await rig.enqueue("a")
    await rig.enqueue("a", "a")
    await rig.lane.step()
    await rig.enqueue("a")
    await rig.lane.step()
    await rig.blocks(7)
    await rig.lane.step()
    await rig.enqueue("a")
    await rig.lane.step()
    await rig.blocks(1)
    assert rig.counted("a")


async def test_the_same_key_with_another_payload_is_a_conflict(rig: Rig) -> None:
    await rig.enqueue("a")
    with pytest.raises(IntentConflict):
        async with rig.database.write() as conn:
            await rig.lane.enqueue(conn, Intent("note", "a", b"other"))


async def test_an_intent_without_a_builder_is_not_taken(rig: Rig) -> None:
    with pytest.raises(KeyError):
        async with rig.database.write() as conn:
            await rig.lane.enqueue(conn, Intent("unheard-of", "a", b""))


async def test_an_intent_of_a_transaction_that_rolls_back_never_existed(rig: Rig) -> None:
    async def fails() -> None:
        async with rig.database.write() as conn:
            await rig.lane.enqueue(conn, Intent("note", "a", b"a"))
            raise RuntimeError("the caller failed")

    with pytest.raises(RuntimeError):
        await fails()
    await rig.lane.step()
    async with rig.database.read() as conn:
        assert (await conn.execute(select(INTENT))).first() is None
    assert rig.node.sent == []


async def test_a_full_queue_is_refused_and_leaves_nothing(rig: Rig) -> None:
    await rig.enqueue(*[f"k{i}" for i in range(10)])
    with pytest.raises(LaneFull) as refusal:
        await rig.enqueue("one too many")
    assert refusal.value.code is Code.RESOURCE_EXHAUSTED
    assert refusal.value.retry_after_s
    await rig.enqueue("k3")  # known already: no new place needed
    await rig.lane.step()
    await rig.enqueue("fits now")


async def test_the_window_limits_what_is_in_flight(rig: Rig) -> None:
    keys = [f"k{i}" for i in range(10)]
    await rig.enqueue(*keys)
    await rig.lane.step()
    await rig.lane.step()
    assert len(rig.node.pool) == 4
    for _ in range(10):
        await rig.blocks(1)
        await rig.lane.step()
    assert rig.counted(*keys)
