"""Several nodes, of which some lie, lag, fall silent or are on another chain: named, and nothing applied."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silkledger.evidence.receipts import EventLog
from silkledger.evm import node_heads
from silkledger.evm.contracts import Network
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.follower import FinalityViolated, Follower
from silkledger.evm.node_standing import NodeStanding, NodeTrouble, blame
from silkledger.evm.port import FullBlock, NodeError, NodeLied, NodesDisagree, NodeUnavailable, NotAgreedYet
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockHash
from tests.unit.evm.fake_node import GENESIS, FakeNode, without_log
from tests.unit.evm.rig import DEEP, Clock, Recorder, on_chain, rows, send, settle

CHAIN = 7317


@dataclass
class Nodes:
    """Nodes of one network, by their first letters, with what was told of them."""

    fakes: dict[str, FakeNode]
    agreement: int = 0
    clock: Clock = field(default_factory=Clock)
    told: list[NodeStanding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.together = CrossCheckedNode(
            list(self.fakes.items()),
            CHAIN,
            GENESIS,
            block_time_s=DEEP.block_time_s,
            agreement=self.agreement,
            listener=self.told.append,
            clock=self.clock,
        )

    def __getitem__(self, name: str) -> FakeNode:
        return self.fakes[name]

    def trouble(self, name: str) -> NodeTrouble | None:
        return next(s.trouble for s in self.together.standings if s.name == name)

    def ever(self, name: str) -> set[NodeTrouble]:
        """Every trouble that was ever told of a node."""
        return {s.trouble for s in self.told if s.name == name and s.trouble is not None}


async def network_of(count: int, blocks: int, agreement: int = 0) -> Nodes:
    """`count` nodes that all have the same blocks; the second one has a transaction with a log."""
    one = FakeNode()
    one.logs = lambda signed: (EventLog(Address(b"\x99" * 20), (b"\x01" * 32,), b"payload"),)
    one.mine(1)
    await send(one, Account.generate(), 0)
    one.mine(blocks - 1)
    return Nodes({name: copy.deepcopy(one) for name in "abcde"[:count]}, agreement)


@pytest.fixture
async def pair() -> Nodes:
    return await network_of(2, 8)


@pytest.fixture
def follow(database: Database, network: Network, seen: Recorder) -> Callable[[Nodes], Follower]:
    return lambda nodes: Follower(database, nodes.together, DEEP, network, [seen], clock=nodes.clock)


def _altered(block: FullBlock) -> FullBlock:
    if not block.receipts:
        return block
    first, *rest = block.receipts
    return dataclasses.replace(block, receipts=(dataclasses.replace(first, status=False), *rest))


def _no_log(block: FullBlock) -> FullBlock:
    return without_log(block) if block.receipts else block


def _other_fork(node: FakeNode) -> None:
    node.reorg(3)


def _other_network(node: FakeNode) -> None:
    node.genesis = BlockHash(b"\x01" * 32)


LIES: dict[str, tuple[Callable[[FakeNode], None], NodeTrouble]] = {
    "altered receipt": (lambda node: setattr(node, "distort", _altered), NodeTrouble.LIED),
    "missing log": (lambda node: setattr(node, "distort", _no_log), NodeTrouble.LIED),
    "other blocks": (_other_fork, NodeTrouble.DISAGREES),
    "other chain": (_other_network, NodeTrouble.OTHER_CHAIN),
}


@pytest.mark.parametrize("liar", ["a", "b"])
@pytest.mark.parametrize("lie", LIES)
async def test_one_of_two_lies_and_is_named_and_nothing_is_applied(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower], lie: str, liar: str
) -> None:
    tell_lie, trouble = LIES[lie]
    follower = follow(pair)
    honest = copy.deepcopy(pair["a"])
    tell_lie(pair[liar])
    for step in (follower.start, follower.step, follower.step):
        if lie != "other chain" and step == follower.start:
            await step()
            continue
        with pytest.raises(NodesDisagree, match=rf"node {liar}: {trouble}|{liar}"):
            await step()
    assert await rows(database) == []
    assert pair.trouble(liar) is trouble
    health = await pair.together.health()
    assert health is not None and f"node {liar}: {trouble.value}" in health
    other = {"a": "b", "b": "a"}[liar]
    assert trouble is NodeTrouble.DISAGREES or not pair.ever(other)

    pair[liar].blocks, pair[liar].genesis = copy.deepcopy(honest.blocks), honest.genesis
    pair[liar].distort = lambda block: block
    await follower.start()
    await settle(follower)
    assert await rows(database) == on_chain(honest)
    assert await pair.together.health() is None


@pytest.mark.parametrize("stale", ["a", "b"])
async def test_a_stale_head_is_named_and_holds_back_what_only_others_show(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower], stale: str
) -> None:
    del pair[stale].blocks[5:]
    follower = follow(pair)
    await follower.start()
    await follower.step()
    assert follower.head.number == 5
    with pytest.raises(NotAgreedYet, match=f"{stale} ends at 5"):
        await follower.step()
    assert not pair.ever(stale), "a short lag is the network's way"
    pair.clock.now += 60
    with pytest.raises(NotAgreedYet):
        await follower.step()
    assert pair.trouble(stale) is NodeTrouble.BEHIND
    assert f"node {stale}: NODE_BEHIND: ends at block 5, others at 8" in (await pair.together.health() or "")
    assert await rows(database) == on_chain(pair[stale])

    honest = pair["b" if stale == "a" else "a"]
    pair[stale].blocks = copy.deepcopy(honest.blocks)
    await settle(follower)
    assert await rows(database) == on_chain(honest)
    assert await pair.together.health() is None


async def test_a_stale_head_on_another_fork_is_a_disagreement(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower]
) -> None:
    pair["b"].reorg(3)
    del pair["b"].blocks[7:]
    follower = follow(pair)
    await follower.start()
    with pytest.raises(NodesDisagree, match="block 6 is 0x"):
        await follower.step()
    assert await rows(database) == []


@pytest.mark.parametrize("down", ["a", "b"])
async def test_a_silent_node_is_named_and_not_waited_for(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower], down: str
) -> None:
    pair[down].down = True
    follower = follow(pair)
    await follower.start()
    await settle(follower)
    honest = pair["b" if down == "a" else "a"]
    assert await rows(database) == on_chain(honest)
    assert pair.trouble(down) is NodeTrouble.SILENT
    assert await pair.together.health() is None

    pair[down].down = False
    await settle(follower)
    assert pair.trouble(down) is None


async def test_all_silent_is_no_answer(pair: Nodes) -> None:
    pair["a"].down = pair["b"].down = True
    with pytest.raises(NodeUnavailable, match=r"node a: NODE_SILENT.*node b: NODE_SILENT"):
        await pair.together.block_number()
    assert "NODE_SILENT" in (await pair.together.health() or "")


async def test_a_node_that_came_back_on_another_chain_is_found_out(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower]
) -> None:
    follower = follow(pair)
    await follower.start()
    pair["b"].down = True
    await settle(follower)
    pair["b"].down, pair["b"].chain = False, 1
    pair["a"].mine(1)
    with pytest.raises(NodesDisagree, match="node b: NODE_OTHER_CHAIN: chain 1"):
        await follower.step()
    assert follower.head.number == 8


async def test_a_node_that_hangs_is_waited_for_once(pair: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_heads, "ANSWER_WITHIN_S", 0.05)
    answer = asyncio.Event()

    async def hang() -> int:
        await answer.wait()
        return 8

    monkeypatch.setattr(pair["b"], "block_number", hang)
    assert await pair.together.block_number() == 8
    assert pair.trouble("b") is NodeTrouble.SILENT
    monkeypatch.setattr(node_heads, "ANSWER_WITHIN_S", 60)
    assert await asyncio.wait_for(pair.together.block_number(), 5) == 8
    answer.set()
    await asyncio.sleep(0)
    await pair.together.block_number()
    assert pair.trouble("b") is None


async def test_of_three_the_odd_one_is_blamed() -> None:
    three = await network_of(3, 6)
    three["b"].reorg(1)
    await three.together.block_number()
    with pytest.raises(NodesDisagree):
        await three.together.full_blocks(1, 6)
    assert [three.trouble(name) for name in "abc"] == [None, NodeTrouble.DISAGREES, None]


async def test_two_of_three_are_enough_where_two_must_agree() -> None:
    three = await network_of(3, 6, agreement=2)
    del three["c"].blocks[2:]
    await three.together.block_number()
    assert [block.header.number for block in await three.together.full_blocks(1, 6)] == [1, 2, 3, 4, 5, 6]
    three.clock.now += 60
    await three.together.block_number()
    assert three.trouble("c") is NodeTrouble.BEHIND
    assert await three.together.health() is None, "told, but nothing waits for it"
    three["b"].down = True
    await three.together.block_number()
    with pytest.raises(NotAgreedYet):
        await three.together.full_blocks(3, 6)
    three["c"].down = True
    with pytest.raises(NodeUnavailable, match="1 of 3 nodes answer"):
        await three.together.block_number()
    assert "node b: NODE_SILENT" in (await three.together.health() or "")


@pytest.mark.parametrize("liar", ["a", "b"])
async def test_a_lie_among_many_blocks_is_found_whichever_node_tells_it(
    database: Database, follow: Callable[[Nodes], Follower], liar: str
) -> None:
    many = await network_of(2, 12)
    many[liar].distort = _altered
    follower = follow(many)
    await follower.start()
    for _ in range(3):
        with pytest.raises(NodesDisagree, match=f"node {liar}: NODE_LIED: block 2"):
            await follower.step()
    assert await rows(database) == []


async def test_blocks_carry_the_name_of_who_told_them(pair: Nodes) -> None:
    assert {block.told_by for block in await pair.together.full_blocks(1, 3)} == {"a"}
    pair["a"].down = True
    await pair.together.block_number()
    assert {block.told_by for block in await pair.together.full_blocks(1, 3)} == {"b"}


async def test_a_node_that_gives_no_block_counts_as_silent(pair: Nodes) -> None:
    await pair.together.block_number()
    pair["b"].range_limit = 0
    with pytest.raises(NodeUnavailable, match="node b does not give blocks 1 to 4"):
        await pair.together.full_blocks(1, 4)
    assert pair.trouble("b") is NodeTrouble.SILENT
    await pair.together.block_number()
    assert len(await pair.together.full_blocks(1, 1)) == 1


async def test_a_reorg_that_all_nodes_see_is_followed(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower]
) -> None:
    follower = follow(pair)
    await follower.start()
    await settle(follower)
    pair["a"].reorg(3, length=4)
    with pytest.raises(NodesDisagree):
        await settle(follower)
    assert await rows(database) == on_chain(pair["b"]), "undone only when nobody holds on to it"
    pair["b"].blocks = copy.deepcopy(pair["a"].blocks)
    await settle(follower)
    assert await rows(database) == on_chain(pair["a"])


async def test_a_conflict_at_finality_halts_only_when_no_node_contradicts_it(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower]
) -> None:
    follower = follow(pair)
    await follower.start()
    await settle(follower)
    before = on_chain(pair["b"])
    pair["a"].reorg(7, length=9)
    with pytest.raises(NodesDisagree):
        await follower.step()
    pair["b"].blocks = copy.deepcopy(pair["a"].blocks)
    await asyncio.wait_for(follower.run(asyncio.Event()), 5)
    assert isinstance(follower.halted, FinalityViolated)
    assert await rows(database) == before


async def test_following_goes_on_after_a_restart_with_another_node(
    database: Database, pair: Nodes, follow: Callable[[Nodes], Follower]
) -> None:
    first = follow(pair)
    await first.start()
    await settle(first)
    for name in "ab":
        pair[name].mine(4)
    pair["a"].down = True
    second = follow(Nodes(pair.fakes))
    await second.start()
    await settle(second)
    assert await rows(database) == on_chain(pair["b"])


async def test_transactions_go_to_a_node_that_answers(pair: Nodes) -> None:
    pair["a"].down = True
    await send_through(pair)
    assert len(pair["b"].sent) == 2, "one of the history, one now"
    pair["b"].down = True
    with pytest.raises(NodeError, match="node a"):
        await send_through(pair)


async def send_through(nodes: Nodes) -> None:
    await send(nodes.together, Account.generate(), 0)  # type: ignore[arg-type] # needs send_raw only


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2), min_size=2))
def test_blame_spares_those_with_the_majority_and_nobody_else(shown: dict[str, int]) -> None:
    blamed = blame(shown)
    values = list(shown.values())
    leading = [value for value in set(values) if 2 * values.count(value) > len(values)]
    spared = {name for name in shown if name not in blamed}
    assert spared == {name for name, value in shown.items() if value in leading}


@pytest.mark.parametrize(("names", "agreement"), [("aa", 0), ("ab", 3), ("ab", -1)])
def test_names_differ_and_no_more_can_agree_than_there_are(names: str, agreement: int) -> None:
    with pytest.raises(ValueError, match="names must differ"):
        CrossCheckedNode(
            [(name, FakeNode()) for name in names], CHAIN, GENESIS, block_time_s=1, agreement=agreement
        )


async def test_an_answer_without_sense_stops_everything(pair: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nonsense() -> int:
        raise NodeLied("block number: missing")

    with monkeypatch.context() as patch:
        patch.setattr(pair["b"], "block_number", nonsense)
        with pytest.raises(NodesDisagree, match="node b: NODE_LIED"):
            await pair.together.block_number()
    assert await pair.together.block_number() == 8
