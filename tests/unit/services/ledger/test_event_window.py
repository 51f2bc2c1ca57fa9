"""The event stream's pure parts, against a chain that grows, is undone and is forgotten at random.

The oracle is the list of blocks of the chain as it is. Streams are checked to have delivered, when they come
to rest, exactly the events of that chain that pass their filter, each once since the last retraction.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.ledger.events.blocks import EventBlock, SharedEvent
from services.ledger.events.cursor import Batch, Cursor
from services.ledger.events.filters import EVERYTHING, Filter
from services.ledger.events.outstanding import Answer, Outstanding
from services.ledger.events.walk import Walk
from services.ledger.events.window import NotLinked, Rewritten, Window, WindowLimits
from silkledger.values import BlockHash, BlockRef

GENESIS = BlockRef(0, BlockHash(bytes(32)), 0)
NAMES = ("Anchored", "Accredited", "Executed")
DEPTH = 3
"""Blocks above the final one."""
LIMITS = WindowLimits(max_blocks=4, max_events=12)
_salt = itertools.count()


def block_after(parent: BlockRef, names: Sequence[str]) -> EventBlock:
    """A block that no other has the hash of."""
    digest = hashlib.sha256(bytes(parent.hash) + next(_salt).to_bytes(8, "big")).digest()
    ref = BlockRef(parent.number + 1, BlockHash(digest), parent.time + 1)
    events = tuple(
        SharedEvent(Cursor(ref.number, 2 * index, digest), "C", name, {}, frozenset(), b"%d" % index)
        for index, name in enumerate(names)
    )
    return EventBlock(ref, parent.hash, events)


class Chain:
    """What the follower has: every block, and which is final."""

    def __init__(self) -> None:
        self.blocks: list[EventBlock] = []
        self.final = 0

    @property
    def head(self) -> BlockRef:
        return self.blocks[-1].ref if self.blocks else GENESIS

    def grow(self, names: Sequence[str]) -> None:
        self.blocks.append(block_after(self.head, names))
        self.final = max(self.final, self.head.number - DEPTH)

    def undo(self, count: int) -> None:
        keep = max(len(self.blocks) - count, self.final)
        del self.blocks[keep:]

    def refs(self) -> dict[int, BlockRef]:
        return {block.ref.number: block.ref for block in self.blocks}

    def events(self, wanted: Filter, upto: int) -> list[Cursor]:
        passing = [block.matching(wanted) for block in self.blocks if block.ref.number <= upto]
        return [event.cursor for events in passing for event in events]


@dataclass
class Stream:
    """A consumer as the subscription runs it, without waiting."""

    wanted: Filter
    final_only: bool
    walk: Walk
    delivered: list[Cursor] = field(default_factory=list)
    outstanding: Outstanding = field(default_factory=Outstanding)

    def step(self, window: Window, chain: Chain, room: int) -> bool:
        """One turn; False: there is nothing to tell or to pass."""
        retracted = self.walk.retraction(window)
        if retracted is not None:
            assert not self.final_only
            self.delivered = [c for c in self.delivered if c.block_number <= retracted.ancestor.number]
            self.outstanding.retract(Cursor.after(retracted.ancestor))
            return True
        blocks = window.following(self.walk.place)
        if blocks is None:
            first = self.walk.place.block_number
            assert window.base.number <= chain.final, "what is read from the archive must be final"
            blocks = [b for b in chain.blocks if first <= b.ref.number <= window.base.number][:2]
            blocks = [b for b in blocks if b.ref.number > first or self.walk.place.log_index != 2**32 - 1]
        before = self.walk.place
        limit = window.final if self.final_only else window.head.number
        batch = self.walk.take(blocks, self.wanted, limit, room)
        if batch is not None:
            self.receive(batch, room)
        return batch is not None or self.walk.place != before

    def receive(self, batch: Batch, room: int) -> None:
        assert 0 < len(batch.cursors) <= room
        for cursor in batch.cursors:
            assert not self.delivered or cursor.position > self.delivered[-1].position
            self.delivered.append(cursor)
            self.outstanding.tell_event(cursor)


FILTERS = st.sampled_from([EVERYTHING, *(Filter(names=frozenset({name})) for name in NAMES)])
BLOCK = st.lists(st.sampled_from(NAMES), max_size=4)


class Machine(RuleBasedStateMachine):
    """Chain, window and streams, in any order of what may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.window = Window(GENESIS, LIMITS)
        self.streams: list[Stream] = []

    @rule(blocks=st.lists(BLOCK, min_size=1, max_size=9))
    def grow(self, blocks: list[list[str]]) -> None:
        for names in blocks:
            self.chain.grow(names)

    @rule(count=st.integers(1, DEPTH), names=BLOCK)
    def reorganise(self, count: int, names: list[str]) -> None:
        self.chain.undo(count)
        self.chain.grow(names)

    @rule(count=st.integers(1, DEPTH))
    def roll_back(self, count: int) -> None:
        self.chain.undo(count)

    @rule()
    def refresh(self) -> None:
        """What the reader does after the follower's commit."""
        window, chain = self.window, self.chain
        held = {n: ref for n, ref in chain.refs().items() if n in window.unfinal}
        ancestor = window.newest_of(held)
        first = max(ancestor.number + 1, min(chain.head.number - LIMITS.max_blocks, chain.final) + 1)
        blocks = [block for block in chain.blocks if block.ref.number >= first]
        window.undo(ancestor)
        if first == ancestor.number + 1:
            window.extend(blocks, chain.final)
        else:
            window.jump(chain.refs()[first - 1], blocks, chain.final)

    @rule(wanted=FILTERS, final_only=st.booleans())
    def subscribe(self, wanted: Filter, final_only: bool) -> None:
        start = Cursor.after(GENESIS)
        self.streams.append(Stream(wanted, final_only, Walk(start, start, self.window.epoch)))

    @rule(data=st.data(), room=st.integers(1, 5), turns=st.integers(1, 3))
    def read(self, data: st.DataObject, room: int, turns: int) -> None:
        if self.streams:
            stream = data.draw(st.sampled_from(self.streams))
            for _ in range(turns):
                stream.step(self.window, self.chain, room)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        waiting = [stream for stream in self.streams if stream.outstanding.events]
        if not waiting:
            return
        stream = data.draw(st.sampled_from(waiting))
        cursor = data.draw(st.sampled_from(stream.delivered[-stream.outstanding.events :]))
        later = [c for c in stream.delivered if c.position > cursor.position]
        assert stream.outstanding.acknowledge(cursor) is Answer.MOVES
        assert stream.outstanding.acknowledge(cursor) is Answer.VOID
        assert stream.outstanding.events == len(later)
        stranger = Cursor(cursor.block_number, cursor.log_index, b"\xff" * 32)
        assert stream.outstanding.acknowledge(stranger) is Answer.UNKNOWN

    @rule()
    def resume_all(self) -> None:
        """Everybody comes to rest: then everybody has exactly what is on the chain."""
        self.refresh()
        for stream in self.streams:
            while stream.step(self.window, self.chain, 3):
                pass
            limit = self.window.final if stream.final_only else self.window.head.number
            assert stream.delivered == self.chain.events(stream.wanted, limit)

    @invariant()
    def the_window_is_linked_bounded_and_covers_what_may_be_undone(self) -> None:
        window = self.window
        below = window.between(window.base.number + 1, window.final)
        assert len(below) <= max(LIMITS.max_blocks, 1)
        assert window.base.number <= window.final <= window.head.number
        held = window.between(0, window.head.number)
        parents = [window.base, *(block.ref for block in held)]
        assert [block.parent_hash for block in held] == [ref.hash for ref in parents[:-1]]
        assert window.events == sum(len(block.events) for block in held)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def grown(count: int) -> tuple[Chain, Window]:
    chain = Chain()
    for _ in range(count):
        chain.grow(["Anchored"])
    window = Window(GENESIS, WindowLimits(100, 100))
    window.extend(chain.blocks, chain.final)
    return chain, window


def test_blocks_of_another_branch_are_not_taken() -> None:
    chain, window = grown(5)
    other = block_after(block_after(chain.blocks[3].ref, []).ref, [])
    with pytest.raises(NotLinked):
        window.extend([other], 3)
    assert window.head == chain.head
    stream = Walk(Cursor.after(chain.blocks[4].ref), Cursor.after(GENESIS), 0)
    assert stream.take([other], EVERYTHING, 99, 10) is None
    assert stream.place == Cursor.after(chain.blocks[4].ref)


def test_a_final_block_is_never_undone() -> None:
    chain, window = grown(6)
    with pytest.raises(Rewritten, match="below the final block 3"):
        window.undo(chain.blocks[1].ref)
    with pytest.raises(Rewritten, match="not in the window"):
        window.undo(block_after(chain.blocks[4].ref, []).ref)
    assert window.epoch == 0
    window.undo(chain.blocks[2].ref)
    assert (window.head, window.epoch) == (chain.blocks[2].ref, 1)


def test_a_jump_begins_at_a_final_block() -> None:
    chain, window = grown(5)
    for _ in range(20):
        chain.grow([])
    with pytest.raises(NotLinked):
        window.jump(chain.blocks[23].ref, chain.blocks[24:], chain.final)
    with pytest.raises(NotLinked):
        window.jump(chain.blocks[15].ref, chain.blocks[17:], chain.final)
    assert window.head.number == 5
    window.jump(chain.blocks[15].ref, chain.blocks[16:], chain.final)
    assert (window.base, window.head) == (chain.blocks[15].ref, chain.head)


def test_a_stream_that_was_not_told_of_a_block_is_not_told_of_its_retraction() -> None:
    chain, window = grown(5)
    start = Cursor.after(chain.blocks[2].ref)
    silent, told = Walk(start, start, 0), Walk(start, start, 0)
    assert silent.take(chain.blocks[3:], Filter(names=frozenset({"Executed"})), 99, 10) is None
    assert told.take(chain.blocks[3:], EVERYTHING, 99, 10) is not None
    window.undo(chain.blocks[3].ref)
    assert silent.retraction(window) is None
    found = told.retraction(window)
    assert found is not None
    assert found.ancestor == chain.blocks[3].ref
    assert silent.place == told.place == Cursor.after(chain.blocks[3].ref)


def test_many_reorgs_are_remembered_in_bounded_space() -> None:
    chain, window = grown(5)
    walk = Walk(Cursor.after(chain.head), Cursor.after(chain.head), 0)
    lowest = chain.blocks[3].ref
    window.undo(lowest)
    for _ in range(500):  # each above the one before, none lower: all of them must be remembered, or merged
        first = block_after(window.head, [])
        window.extend([first, block_after(first.ref, [])], 0)
        window.undo(first.ref)
    assert len(window._reorgs) <= 64
    found = walk.retraction(window)
    assert found is not None
    assert found.ancestor == lowest
    assert walk.retraction(window) is None


class TestOutstanding:
    def test_what_was_retracted_is_void_until_the_consumer_knows(self) -> None:
        chain, _ = grown(4)
        events = [block.events[0].cursor for block in chain.blocks]
        waiting = Outstanding()
        for cursor in events:
            waiting.tell_event(cursor)
        waiting.retract(Cursor.after(chain.blocks[1].ref))
        assert (waiting.events, waiting.notices) == (2, 1)
        assert waiting.acknowledge(events[3]) is Answer.VOID
        assert waiting.acknowledge(Cursor.after(chain.blocks[1].ref)) is Answer.MOVES
        assert (waiting.events, waiting.notices) == (0, 0)
        fresh = block_after(chain.blocks[1].ref, ["Anchored"]).events[0].cursor
        waiting.tell_event(fresh)
        assert waiting.acknowledge(fresh) is Answer.MOVES
        assert waiting.acknowledge(events[3]) is Answer.UNKNOWN

    def test_acknowledging_never_goes_back_or_ahead(self) -> None:
        chain, _ = grown(4)
        events = [block.events[0].cursor for block in chain.blocks]
        waiting = Outstanding()
        for cursor in events[:3]:
            waiting.tell_event(cursor)
        assert waiting.acknowledge(events[3]) is Answer.UNKNOWN
        assert waiting.acknowledge(Cursor.after(chain.blocks[1].ref)) is Answer.UNKNOWN
        assert waiting.acknowledge(events[1]) is Answer.MOVES
        assert waiting.acknowledge(events[0]) is Answer.UNKNOWN
        assert waiting.events == 1

    def test_acknowledged_places_take_no_space(self) -> None:
        waiting = Outstanding()
        for number in range(1, 10_000):
            cursor = Cursor(number, 0, b"h" * 32)
            waiting.tell_event(cursor)
            assert waiting.acknowledge(cursor) is Answer.MOVES
        assert len(waiting._positions) < 200
