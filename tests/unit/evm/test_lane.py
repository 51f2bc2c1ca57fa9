"""The lane against a node that loses, forgets, refuses and reorganises: exactly once, whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import Network
from silkledger.evm.engines import ANVIL, EngineProfile
from silkledger.evm.follower import Follower
from silkledger.evm.lane import Lane
from silkledger.evm.lane_pool import LanePool
from silkledger.evm.lane_store import intent_status
from silkledger.evm.lane_types import (
    CallSpec,
    Intent,
    IntentConflict,
    IntentStatus,
    LaneFull,
    LaneLimits,
    LeaseLost,
    NothingToDo,
    NotYet,
    State,
)
from silkledger.evm.port import NodeUnavailable
from silkledger.evm.signer import LocalSigner, Signer, SignerUnavailable
from silkledger.evm.tables import ATTEMPT, INTENT, LANE
from silkledger.evm.transactions import SigningFailed, Transaction, decode_signed, sign_transaction
from silkledger.keys.account import Account
from silkledger.runtime.db import SQLITE, Database
from silkledger.runtime.errors import Code
from silkledger.values import Address
from tests.unit.evm.fake_node import FakeNode
from tests.unit.evm.test_follower import Clock, settle

TARGET = Address(b"\x77" * 20)
PROFILE = dataclasses.replace(ANVIL, finality_depth=6, block_time_s=0.01)
WITH_FEES = dataclasses.replace(PROFILE, min_gas_price=1000, fee_bump_percent=10)


class Rig:
    """A lane, a follower and a node on one database, with a clock that the test moves."""

    def __init__(
        self, database: Database, fake: FakeNode, network: Network, profile: EngineProfile = PROFILE
    ) -> None:
        self.database, self.node, self.network, self.profile = database, fake, network, profile
        self.account = Account.generate()
        self.clock = Clock()
        self.limits = LaneLimits(queue=10, window=4)
        self.follower = Follower(database, fake, profile, network)
        self.done: set[bytes] = set()
        self.waiting: set[bytes] = set()
        self.lane = self.new_lane()

    def new_lane(self, signer: Signer | None = None) -> Lane:
        """Another owner of the same lane, as after a restart."""
        return Lane(
            self.database,
            self.node,
            self.profile,
            self.network,
            signer or LocalSigner(self.account),
            {"note": self.build},
            limits=self.limits,
            clock=self.clock,
        )

    async def build(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        if payload in self.done:
            raise NothingToDo("done already")
        if payload in self.waiting:
            raise NotYet
        return CallSpec(TARGET, payload, 60_000)

    async def enqueue(self, *keys: str) -> None:
        async with self.database.write() as conn:
            for key in keys:
                await self.lane.enqueue(conn, Intent("note", key, key.encode()))

    async def status(self, key: str) -> IntentStatus:
        async with self.database.read() as conn:
            found = await intent_status(conn, "note", key)
        assert found is not None
        return found

    async def state(self, key: str) -> State:
        return (await self.status(key)).state

    async def attempts(self) -> list[tuple[int, str]]:
        async with self.database.read() as conn:
            rows = await conn.execute(select(ATTEMPT.c.nonce, ATTEMPT.c.state).order_by(ATTEMPT.c.id))
            return [(row.nonce, row.state) for row in rows]

    async def blocks(self, count: int) -> None:
        """Mine and follow."""
        self.node.mine(count)
        await self.follow()

    async def follow(self) -> None:
        if not self.follower.head.time:
            await self.follower.start()
        await settle(self.follower)

    async def later(self, seconds: float = 4.0) -> None:
        self.clock.now += seconds
        await self.lane.step()

    def counted(self, *keys: str) -> bool:
        """Each of the keys' payloads is on chain exactly once, and nothing else is."""
        payloads = Counter(self.node.payloads[tx_hash] for tx_hash in self.node.included())
        return payloads == Counter(key.encode() for key in keys)


@pytest.fixture
def rig(database: Database, fake: FakeNode, network: Network) -> Rig:
    return Rig(database, fake, network)


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
    await rig.lane.step()
    await rig.blocks(7)
    await rig.lane.step()
    assert rig.counted("a", "b")
    assert await rig.attempts() == [(0, "FINAL"), (1, "FINAL")]


async def test_a_lost_reply_is_answered_with_the_same_bytes(rig: Rig) -> None:
    await rig.enqueue("a")
    rig.node.lose_replies = 1
    with pytest.raises(NodeUnavailable):
        await rig.lane.step()
    assert await rig.state("a") is State.SIGNED
    await rig.lane.step()
    assert await rig.state("a") is State.BROADCAST
    assert len(rig.node.sent) == 2
    assert len(set(rig.node.sent)) == 1
    await rig.blocks(7)
    await rig.lane.step()
    assert rig.counted("a")


async def test_a_lost_reply_whose_transaction_is_mined_meanwhile(rig: Rig) -> None:
    await rig.enqueue("a")
    rig.node.lose_replies = 1
    with pytest.raises(NodeUnavailable):
        await rig.lane.step()
    rig.node.mine(1)
    await rig.lane.step()  # "nonce too low": by this very transaction
    assert await rig.state("a") is State.BROADCAST
    await rig.blocks(6)
    await rig.lane.step()
    assert await rig.state("a") is State.FINAL
    assert rig.counted("a")


async def test_a_node_that_names_another_hash_is_not_believed(rig: Rig) -> None:
    await rig.enqueue("a")
    rig.node.other_hash = True
    await rig.lane.step()
    assert rig.lane.problem is not None
    assert await rig.state("a") is State.STUCK
    rig.node.other_hash = False
    await rig.later()
    assert await rig.state("a") is State.BROADCAST
    await rig.blocks(7)
    await rig.lane.step()
    assert rig.counted("a")


async def test_a_forgotten_transaction_is_sent_again(rig: Rig) -> None:
    await rig.enqueue("a")
    await rig.lane.step()
    rig.node.pool.clear()
    await rig.lane.step()
    assert len(rig.node.sent) == 1, "not yet: it may still be on its way"
    await rig.later()
    assert len(rig.node.sent) == 2
    await rig.blocks(7)
    await rig.lane.step()
    assert rig.counted("a")


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
async def test_after_a_reorg_the_same_bytes_are_sent_again(rig: Rig, depth: int) -> None:
    keys = [f"k{i}" for i in range(3)]
    await rig.enqueue(*keys)
    await rig.lane.step()
    await rig.blocks(depth)
    await rig.lane.step()
    hashes = {(await rig.status(key)).tx_hash for key in keys}
    assert {await rig.state(key) for key in keys} == {State.INCLUDED}
    rig.node.reorg(depth, length=depth + 1)
    await rig.follow()
    await rig.lane.step()
    assert {await rig.state(key) for key in keys} == {State.BROADCAST}
    assert {(await rig.status(key)).block_number for key in keys} == {None}
    await rig.blocks(7)
    await rig.lane.step()
    assert {await rig.state(key) for key in keys} == {State.FINAL}
    assert {(await rig.status(key)).tx_hash for key in keys} == hashes
    assert rig.counted(*keys)


async def test_moved_to_another_block_by_a_reorg(rig: Rig) -> None:
    await rig.enqueue("a")
    await rig.lane.step()
    pooled = dict(rig.node.pool)
    await rig.blocks(1)
    await rig.lane.step()
    rig.node.reorg(1, length=2)
    rig.node.pool = pooled
    rig.node.mine(1)
    await rig.follow()
    await rig.lane.step()
    status = await rig.status("a")
    assert (status.state, status.block_number) == (State.INCLUDED, 3)


async def test_a_nonce_used_by_a_stranger_freezes_the_lane(rig: Rig) -> None:
    await rig.enqueue("a")
    stranger = Transaction(7317, 0, 0, 50_000, TARGET, b"not ours")
    signed = await sign_transaction(LocalSigner(rig.account), stranger)
    rig.node.drop_sent = 1
    with pytest.raises(NodeUnavailable):
        await rig.lane.step()
    await rig.node.send_raw(signed.raw)
    rig.node.mine(1)
    await rig.follow()
    await rig.lane.step()
    assert await rig.state("a") is State.BROADCAST, "nothing is decided before finality"
    await rig.blocks(6)
    await rig.lane.step()
    assert await rig.state("a") is State.FROZEN
    assert rig.lane.problem is not None and "did not sign" in rig.lane.problem

    await rig.enqueue("b")
    await rig.lane.step()
    assert await rig.state("b") is State.QUEUED, "a frozen lane signs nothing"
    assert rig.lane.problem is not None and rig.lane.problem.startswith("frozen")


async def test_a_transaction_that_fails_on_chain_is_refused_when_final(rig: Rig) -> None:
    rig.node.fails = lambda signed: signed.transaction.data == b"bad"
    await rig.enqueue("bad", "good")
    await rig.lane.step()
    await rig.blocks(1)
    await rig.lane.step()
    assert await rig.state("bad") is State.INCLUDED
    await rig.blocks(6)
    await rig.lane.step()
    refused = await rig.status("bad")
    assert (refused.state, refused.reason) == (State.REFUSED, "the transaction failed on chain")
    assert await rig.state("good") is State.FINAL


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
    with pytest.raises(RuntimeError):
        async with rig.database.write() as conn:
            await rig.lane.enqueue(conn, Intent("note", "a", b"a"))
            raise RuntimeError("the caller failed")
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


async def test_a_full_pool_keeps_the_order(rig: Rig) -> None:
    await rig.enqueue("a", "b", "c")
    rig.node.pool_limit = 1
    await rig.lane.step()
    assert len(rig.node.pool) == 1
    for _ in range(9):
        await rig.blocks(1)
        await rig.later()
    assert rig.counted("a", "b", "c")
    assert {await rig.state(key) for key in "abc"} == {State.FINAL}


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
    rig.clock.now += 60
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
        assert other.problem == "another process holds the lane"
        rig.clock.now += rig.limits.lease_s + 1
        await other.step()
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

    rig.clock.now += rig.limits.lease_s + 1
    slow = asyncio.create_task(rig.new_lane(Slow(rig.account)).step())
    await asyncio.wait_for(sleeping.wait(), 5)
    rig.clock.now += rig.limits.lease_s + 1
    other = rig.new_lane()
    await other.step()
    assert await rig.attempts() == [(0, "BROADCAST")]
    woken.set()
    with pytest.raises(LeaseLost):
        await slow
    assert await rig.attempts() == [(0, "BROADCAST")]
    await rig.blocks(7)
    assert rig.counted("a")


async def test_the_fee_is_raised_until_the_node_takes_it(
    database: Database, fake: FakeNode, network: Network
) -> None:
    rig = Rig(database, fake, network, WITH_FEES)
    fake.min_price = 1300
    await rig.enqueue("a")
    await rig.lane.step()
    assert await rig.state("a") is State.STUCK
    for _ in range(5):
        await rig.later(40)
    prices = [fake.prices[tx_hash] for tx_hash in fake.sent if tx_hash in fake.pool]
    assert prices and prices[-1] >= 1300
    await rig.blocks(7)
    await rig.lane.step()
    assert await rig.state("a") is State.FINAL
    assert rig.counted("a")
    states = [state for _, state in await rig.attempts()]
    assert states.count("FINAL") == 1
    assert set(states) == {"FINAL", "REFUSED"}
    assert {nonce for nonce, _ in await rig.attempts()} == {0}


async def test_a_refused_replacement_leaves_the_first_attempt_to_win(
    database: Database, fake: FakeNode, network: Network
) -> None:
    rig = Rig(database, fake, network, WITH_FEES)
    fake.bump_percent = 1000  # no step of ours is large enough
    await rig.enqueue("a")
    await rig.lane.step()
    first = (await rig.status("a")).tx_hash
    await rig.later(40)
    await rig.later(40)
    assert len(await rig.attempts()) >= 2
    await rig.blocks(7)
    await rig.lane.step()
    status = await rig.status("a")
    assert (status.state, status.tx_hash) == (State.FINAL, first)
    assert rig.counted("a")


async def test_a_replaced_transaction_that_a_reorg_brings_back_still_counts_once(
    database: Database, fake: FakeNode, network: Network
) -> None:
    rig = Rig(database, fake, network, WITH_FEES)
    fake.bump_percent = 10
    await rig.enqueue("a")
    await rig.lane.step()
    first = dict(fake.pool)
    await rig.later(40)
    await rig.blocks(1)
    await rig.lane.step()
    fake.reorg(1, length=2)
    fake.pool = first
    fake.mine(1)
    await rig.follow()
    await rig.lane.step()
    await rig.blocks(6)
    await rig.lane.step()
    status = await rig.status("a")
    assert status.state is State.FINAL
    assert status.tx_hash in first
    assert rig.counted("a")


async def test_without_fees_nothing_is_ever_bumped(rig: Rig) -> None:
    await rig.enqueue("a")
    await rig.lane.step()
    for _ in range(3):
        rig.node.pool.clear()
        await rig.later(100)
    assert len(await rig.attempts()) == 1
    assert len(set(rig.node.sent)) == 1


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


async def test_run_survives_a_node_that_comes_and_goes(rig: Rig) -> None:
    rig.node.down = True
    await rig.enqueue("a")
    stop = asyncio.Event()
    running = asyncio.create_task(rig.lane.run(stop))
    while rig.lane.problem is None:
        await asyncio.sleep(0)
    rig.node.down = False
    rig.lane.wake()
    while not rig.node.sent:
        await asyncio.sleep(0.001)
    stop.set()
    await asyncio.wait_for(running, 5)
    rig.node.mine(1)
    assert rig.counted("a")
