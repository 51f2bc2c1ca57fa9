"""Who may write a lane: leases and epochs, signers, several lanes of one process."""

from __future__ import annotations

import asyncio

import pytest

from silkledger.evm.lane_pool import LanePool
from silkledger.evm.lane_types import (
    Intent,
    State,
)
from silkledger.evm.signer import LocalSigner, Signer, SignerUnavailable, SigningFailed
from silkledger.keys.account import Account
from silkledger.runtime.db import SQLITE
from silkledger.runtime.lease import LeaseLost
from silkledger.values import Address
from tests.support.anvil import eventually
from tests.unit.evm.rig import PROFILE, Rig


class Impostor:
    """A signer that signs with another key than it says."""

    def __init__(self, claims: Address) -> None:
        self.address = claims
        self._signer = LocalSigner(Account.generate())

    async def sign(self, preimage: bytes) -> bytes:
        return await self._signer.sign(preimage)


class Silent(Impostor):
    async def sign(self, preimage: bytes) -> bytes:
        raise SignerUnavailable("no answer")


@pytest.mark.parametrize(("kind", "error"), [(Impostor, SigningFailed), (Silent, SignerUnavailable)])
async def test_what_another_key_signed_is_never_stored(
    rig: Rig, kind: type[Impostor], error: type[Exception]
) -> None:
    await rig.enqueue("a")
    bad = rig.new_lane(kind(rig.account.address))
    with pytest.raises(error):
        await bad.step()
    assert await rig.attempts() == []
    assert rig.node.sent == []
    await rig.lapse()
    await rig.lane.step()
    assert await rig.attempts() == [(0, "BROADCAST")]


async def test_two_owners_never_write_at_once(rig: Rig) -> None:
    await rig.enqueue("a")
    await rig.lane.step()
    other = rig.new_lane()
    await rig.enqueue("b")
    await other.step()
    exclusive = rig.database.dialect == SQLITE
    assert (await rig.state("b") is State.BROADCAST) == exclusive
    if not exclusive:
        assert other.standby
        assert other.problem is None, "to stand by is no trouble"
        await rig.lapse()
        await other.step()
        assert not other.standby
        assert await rig.state("b") is State.BROADCAST


async def test_a_lane_that_stops_in_order_is_free_at_once(rig: Rig) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(rig.lane.run(stop))
    await rig.enqueue("a")
    rig.lane.wake()

    async def sent() -> bool:
        return bool(rig.node.sent)

    await eventually(sent, "the lane works")
    stop.set()
    await asyncio.wait_for(running, 5)
    await rig.enqueue("b")
    other = rig.new_lane()
    await other.step()
    assert not other.standby
    assert await rig.state("b") is State.BROADCAST


async def test_an_owner_that_slept_past_its_lease_is_fenced(rig: Rig) -> None:
    await rig.lane.step()
    await rig.enqueue("a")
    sleeping, woken = asyncio.Event(), asyncio.Event()

    class Slow(LocalSigner):
        async def sign(self, preimage: bytes) -> bytes:
            sleeping.set()
            await woken.wait()
            return await super().sign(preimage)

    await rig.lapse()
    slow = asyncio.create_task(rig.new_lane(Slow(rig.account)).step())
    await asyncio.wait_for(sleeping.wait(), 5)
    await rig.lapse()
    other = rig.new_lane()
    await other.step()
    assert await rig.attempts() == [(0, "BROADCAST")]
    woken.set()
    with pytest.raises(LeaseLost):
        await slow
    assert await rig.attempts() == [(0, "BROADCAST")]
    await rig.blocks(7)
    assert rig.counted("a")


async def test_a_pool_of_lanes_serves_every_signer(rig: Rig) -> None:
    accounts = {account.address: account for account in (Account.generate() for _ in range(5))}
    missing = Account.generate().address

    async def signer_for(address: Address) -> Signer:
        if address not in accounts:
            raise SignerUnavailable("unknown")
        return LocalSigner(accounts[address])

    pool = LanePool(
        rig.database, rig.node, PROFILE, rig.network, signer_for, {"note": rig.build}, clock=rig.clock
    )
    async with rig.database.write() as conn:
        for i, address in enumerate([*accounts, missing]):
            await pool.enqueue(conn, address, Intent("note", f"k{i}", f"k{i}".encode()))
    await pool.step()
    health = await pool.health()
    assert health is not None and str(missing) in health, "one lane in trouble, the others go on"
    await rig.blocks(7)
    await pool.step()
    assert rig.counted(*[f"k{i}" for i in range(5)])
    assert [await rig.state(f"k{i}") for i in range(6)] == [State.FINAL] * 5 + [State.QUEUED]


async def test_a_lane_of_the_pool_acts_again_at_once(rig: Rig) -> None:
    """The pool drops a lane that has nothing to do; its next act must not wait for the old lease to end."""
    account = Account.generate()

    async def signer_for(address: Address) -> Signer:
        return LocalSigner(account)

    def pool() -> LanePool:
        return LanePool(
            rig.database, rig.node, PROFILE, rig.network, signer_for, {"note": rig.build}, clock=rig.clock
        )

    async def enqueue(key: str) -> None:
        async with rig.database.write() as conn:
            await own.enqueue(conn, account.address, Intent("note", key, key.encode()))

    own = pool()
    await enqueue("first")
    await own.step()
    await rig.blocks(7)
    await own.step()
    await own.step()  # finds nobody busy: the lane is dropped
    await enqueue("second")
    await own.step()
    assert await rig.state("second") is State.BROADCAST
    await enqueue("third")
    await pool().step()
    taken_over = State.BROADCAST if rig.database.dialect == SQLITE else State.QUEUED
    assert await rig.state("third") is taken_over, "another pool is another owner"

    stopped = asyncio.Event()
    stopped.set()
    await own.run(stopped)
    await pool().step()
    assert await rig.state("third") is State.BROADCAST, "a pool that stops in order gives its lanes up"


async def test_run_survives_a_node_that_comes_and_goes(rig: Rig) -> None:
    rig.node.down = True
    await rig.enqueue("a")
    stop = asyncio.Event()
    running = asyncio.create_task(rig.lane.run(stop))

    async def complains() -> bool:
        return rig.lane.problem is not None

    async def sent() -> bool:
        return bool(rig.node.sent)

    await eventually(complains, "the lane tells that the node is down")
    rig.node.down = False
    rig.lane.wake()
    await eventually(sent, "the transaction is sent")
    stop.set()
    await asyncio.wait_for(running, 5)
    rig.node.mine(1)
    assert rig.counted("a")
