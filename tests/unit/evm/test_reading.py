"""Reading ahead: ranges that grow and shrink with the node, blocks in order, nothing kept of a lie."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silkledger.evm.contracts import Network
from silkledger.evm.follower import Follower
from silkledger.evm.port import FullBlock, NodeLied, NodeUnavailable
from silkledger.evm.reading import AHEAD, BlockReader, RangeSize
from silkledger.runtime.db import Database
from tests.unit.evm.fake_node import FakeNode
from tests.unit.evm.rig import DEEP, Recorder, on_chain, rows, settle

SMALL, QUICK = 1000, 0.1


def grown(size: RangeSize, rounds: int = 50) -> RangeSize:
    for _ in range(rounds):
        size.answered(size.size, SMALL, QUICK)
    return size


def test_a_range_grows_to_the_profiles_largest_and_no_further() -> None:
    size = RangeSize(100)
    seen = [size.size]
    for _ in range(4):
        size.answered(size.size, SMALL, QUICK)
        seen.append(size.size)
    assert seen == [16, 32, 64, 100, 100]


def test_the_first_range_is_no_larger_than_the_profile_allows() -> None:
    assert RangeSize(3).size == 3


@pytest.mark.parametrize(("octets", "seconds"), [(SMALL, 60.0), (1 << 30, QUICK)], ids=["slow", "large"])
def test_a_slow_or_large_answer_halves_the_next_range(octets: int, seconds: float) -> None:
    size = grown(RangeSize(100))
    size.answered(100, octets, seconds)
    assert size.size == 50


def test_a_range_of_few_blocks_teaches_nothing_about_more() -> None:
    size = RangeSize(100)
    size.answered(1, SMALL, QUICK)
    assert size.size == 16


def test_a_size_that_failed_is_tried_again_only_after_a_while() -> None:
    size = grown(RangeSize(100))
    size.failed(100)
    assert size.size == 50
    sizes = []
    for _ in range(4):
        size.answered(size.size, SMALL, QUICK)
        sizes.append(size.size)
    assert sizes == [50, 50, 50, 100]


def test_a_single_block_is_never_given_up() -> None:
    size = RangeSize(100)
    for _ in range(20):
        size.failed(size.size)
    assert size.size == 1
    assert grown(size, 100).size == 100


@given(st.lists(st.sampled_from(["good", "slow", "large", "failed", "few"])), st.integers(1, 500))
def test_a_range_is_always_between_one_and_the_largest(story: list[str], largest: int) -> None:
    size = RangeSize(largest)
    for event in story:
        if event == "failed":
            size.failed(size.size)
        else:
            blocks = 1 if event == "few" else size.size
            size.answered(blocks, 1 << 30 if event == "large" else SMALL, 60 if event == "slow" else QUICK)
        assert 1 <= size.size <= largest


async def test_a_node_that_refuses_large_ranges_is_followed_all_the_same(
    database: Database, fake: FakeNode, network: Network, seen: Recorder
) -> None:
    fake.mine(200)
    fake.range_limit = 10
    follower = Follower(database, fake, DEEP, network, [seen])
    await follower.start()
    stop = asyncio.Event()
    running = asyncio.create_task(follower.run(stop))
    await asyncio.wait_for(follower.wait_for(200), 20)
    stop.set()
    await running
    assert await rows(database) == on_chain(fake)
    given = [last - first + 1 for first, last in fake.asked]
    assert max(given) > fake.range_limit, "larger ones were tried"
    assert 8 in given, "and smaller ones taken"


async def test_blocks_come_in_order_and_the_next_ranges_are_asked_for_meanwhile(fake: FakeNode) -> None:
    fake.mine(60)
    reader = BlockReader(fake, 10)
    first = await reader.read(1, 60)
    assert [block.header.number for block in first] == list(range(1, 11))
    await asyncio.sleep(0)
    assert fake.asked == [(1, 10), (11, 20), (21, 30)][: 1 + AHEAD]
    read = list(first)
    while len(read) < 60:
        read += await reader.read(len(read) + 1, 60)
    assert read == fake.blocks


async def test_another_first_block_than_expected_drops_what_was_read_ahead(fake: FakeNode) -> None:
    fake.mine(30)
    reader = BlockReader(fake, 5)
    await reader.read(1, 30)
    assert [block.header.number for block in await reader.read(3, 30)] == [3, 4, 5, 6, 7]


async def test_nothing_is_kept_of_a_range_that_failed(fake: FakeNode) -> None:
    fake.mine(30)
    reader = BlockReader(fake, 5)
    await reader.read(1, 30)
    fake.down = True
    assert len(await reader.read(6, 30)) == 5, "came before the node went down"
    with pytest.raises(NodeUnavailable):
        await reader.read(11, 30)
    fake.down = False
    assert [block.header.number for block in await reader.read(11, 30)] == [11, 12]


async def test_a_lie_that_was_read_ahead_is_told_when_its_turn_comes(
    database: Database, fake: FakeNode, network: Network, seen: Recorder
) -> None:
    fake.mine(40)
    profile = dataclasses.replace(DEEP, log_range=10)

    def gas_altered(block: FullBlock) -> FullBlock:
        if block.header.number != 15:
            return block
        return dataclasses.replace(block, header=dataclasses.replace(block.header, gas_used=1))

    fake.distort = gas_altered
    follower = Follower(database, fake, profile, network, [seen])
    await follower.start()
    assert await follower.step()
    assert follower.head.number == 10
    with pytest.raises(NodeLied, match="block 15"):
        await follower.step()
    assert await rows(database) == on_chain(fake)[:10]
    fake.distort = lambda block: block
    await settle(follower)
    assert await rows(database) == on_chain(fake)
