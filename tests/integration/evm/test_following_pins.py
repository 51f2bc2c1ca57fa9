"""The follower in QBFT contract mode where the state is pruned, or the mode has changed: pinned blocks."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from silkledger.evidence.reasons import Reason
from silkledger.evm.contract_seals import ContractSeals
from silkledger.evm.follower import Follower
from silkledger.evm.seal_refusals import ArchiveUnsealed, SealsRefused, ValidatorsNotProven
from silkledger.values import BlockHash, BlockRef
from tests.integration.evm.contract_bench import *  # noqa: F403
from tests.integration.evm.contract_bench import BAD, FOUR, PROFILE, Bench
from tests.integration.evm.test_following_seals import settle
from tests.support.qbft_chain import Turn


async def test_a_node_that_pruned_the_state_proves_nothing(bench: Bench) -> None:
    bench.rpc.pruned_below = bench.real.last
    refusal = await bench.refused(ValidatorsNotProven, "block 0: VALIDATORS_NOT_PROVEN", 1)
    assert isinstance(refusal, ValidatorsNotProven) and refusal.reason is Reason.VALIDATORS_NOT_PROVEN
    await bench.recovers()


async def test_a_pinned_block_helps_where_the_state_is_pruned(bench: Bench) -> None:
    """Up to it the blocks are its ancestors; none of another chain passes on the way."""
    headers, pin = bench.real.sealed(), bench.real.changed - 2
    bench.rpc.pruned_below = pin
    follower = await bench.follower(pins={pin: headers[pin].hash, 3: headers[3].hash})
    await settle(follower)
    assert follower.head.number == bench.real.last
    assert min(bench.rpc.asked) == pin


async def test_below_a_pinned_block_nothing_else_passes(bench: Bench) -> None:
    headers, pin = bench.real.sealed(), bench.real.changed - 2
    for pins in ({pin: headers[pin - 1].hash}, {pin: headers[pin].hash, 3: headers[4].hash}):
        await bench.refused(SealsRefused, "BLOCK_PIN_MISMATCH", 1, await bench.follower(pins=pins))
    # Not even blocks that a quorum sealed, while the pinned one is not there yet.
    bench.rpc.headers = headers[:pin]
    waiting = await bench.follower(pins={pin: headers[pin].hash})
    await bench.refused(Exception, f"no block {pin}", 1, waiting)
    await bench.recovers()


async def test_what_was_the_way_to_a_pinned_block_stays_it(bench: Bench) -> None:
    """The node shows the pinned way first, and another chain that a quorum sealed afterwards."""
    headers, pin = bench.real.sealed(), bench.real.changed - 2
    network = bench.real.network
    pins = {pin: headers[pin].hash}
    seals = ContractSeals(bench.database, bench.node, network.genesis_hash, bench.real.rules, pins)
    genesis = BlockRef(0, network.genesis_hash, 0)
    await seals.check(genesis, await bench.node.full_blocks(1, 3))
    bench.rpc.headers = bench.real.sealed({2: Turn(proposer=FOUR[1])})
    with pytest.raises(SealsRefused, match="block 2: BLOCK_PIN_MISMATCH"):
        await seals.check(genesis, await bench.node.full_blocks(1, 3))


async def test_a_network_that_changed_to_contract_mode_is_followed_from_a_pinned_block(bench: Bench) -> None:
    """Besu's `transitions.qbft[].validatorSelectionMode`: block 7 is the first whose validators the contract
    holds. Whoever pins the block before it, or a later one, follows it under the contract's rules."""
    changed = 7
    headers = bench.real.sealed(mode_changed=changed)
    assert headers[0].extra and headers[0].extra.validators and headers[changed - 1].extra
    bench.rpc.headers = headers
    network = dataclasses.replace(bench.real.network, genesis_hash=headers[0].hash)

    def follower(pins: dict[int, BlockHash]) -> Follower:
        seals = ContractSeals(bench.database, bench.node, network.genesis_hash, bench.real.rules, pins)
        return Follower(bench.database, bench.node, PROFILE, network, seals=seals)

    for pins in ({}, {changed - 2: headers[changed - 2].hash}):
        early = follower(pins)
        await early.start()
        await bench.refused(SealsRefused, "QBFT_NOT_EMPTY", changed - 1, early)
    pinned = follower({changed - 1: headers[changed - 1].hash})
    await pinned.start()
    await settle(pinned)
    assert pinned.head.number == bench.real.last


async def test_an_archive_that_contradicts_a_pinned_block_halts(bench: Bench) -> None:
    headers = bench.real.sealed()
    bench.rpc.headers = headers[:-1]
    await settle(await bench.follower())
    bench.rpc.headers = headers
    follower = await bench.follower(pins={BAD: headers[BAD - 1].hash})
    await asyncio.wait_for(follower.run(asyncio.Event()), 20)
    assert isinstance(follower.halted, ArchiveUnsealed)
    assert f"BLOCK_PIN_MISMATCH: block {BAD}" in (await follower.health() or "")
    assert follower.head.number == bench.real.last - 1
