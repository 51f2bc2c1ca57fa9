"""The lane against a node that loses, forgets, refuses and reorganises: exactly once, whatever happens."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from sqlalchemy import delete, update

from silkledger.evm.contracts import Network
from silkledger.evm.lane_types import (
    State,
)
from silkledger.evm.port import NodeUnavailable
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import ATTEMPT, INTENT, LANE
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.runtime.db import Database
from tests.unit.evm.fake_node import FakeNode
from tests.unit.evm.rig import TARGET, WITH_FEES, Rig


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


async def test_an_older_database_signs_nothing_over_nonces_that_it_does_not_know(
    rig: Rig, database: Database
) -> None:
    await rig.enqueue("a")
    await rig.lane.step()
    await rig.blocks(7)
    await rig.lane.step()
    assert await rig.state("a") is State.FINAL
    async with database.write() as conn:  # a backup from before the lane's first transaction
        await conn.execute(delete(ATTEMPT))
        await conn.execute(update(INTENT).values(state=State.QUEUED.value))
        await conn.execute(update(LANE).values(next_nonce=0))
    await rig.lane.step()
    assert (await rig.state("a"), await rig.attempts()) == (State.QUEUED, [])
    assert rig.lane.problem is not None and rig.lane.problem.startswith("1 transaction(s) of this signer")

    async with database.write() as conn:  # as restoring does
        await conn.execute(update(LANE).values(next_nonce=1))
    await rig.lane.step()
    assert await rig.state("a") is State.BROADCAST
    assert await rig.lane.health() is None


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


@pytest.mark.parametrize("first_price", [1, 7, 1000, 1001, 10**9 + 1])
async def test_every_bid_is_at_least_a_tenth_above_the_last(
    database: Database, fake: FakeNode, network: Network, first_price: int
) -> None:
    """The node refuses any smaller step, so the newest bid is in its pool only if every step was enough."""
    profile = dataclasses.replace(WITH_FEES, min_gas_price=first_price)
    rig = Rig(database, fake, network, profile)
    fake.bump_percent = 10
    await rig.enqueue("a")
    await rig.lane.step()
    for bids in range(2, 6):
        await rig.later(40)
        prices = [fake.prices[tx_hash] for tx_hash in dict.fromkeys(fake.sent)]
        assert len(prices) == bids
        assert all(10 * higher >= 11 * lower for lower, higher in itertools.pairwise(prices))
        assert [signed.transaction.gas_price for signed in fake.pool.values()] == prices[-1:]
    await rig.blocks(7)
    await rig.lane.step()
    assert await rig.state("a") is State.FINAL
    assert rig.counted("a")


async def test_bidding_ends(database: Database, fake: FakeNode, network: Network) -> None:
    rig = Rig(database, fake, network, WITH_FEES)
    fake.min_price = 10**12
    await rig.enqueue("a")
    for _ in range(15):
        await rig.later(40)
    assert len(await rig.attempts()) == 1 + rig.limits.max_bumps
    assert rig.lane.problem is not None
    fake.min_price = 0
    await rig.later(40)
    await rig.blocks(7)
    await rig.lane.step()
    assert rig.counted("a")


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
    fake.pool = dict(first)
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
