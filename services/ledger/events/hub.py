"""All open streams: how many there may be, which consumer each serves, and whom a new block concerns.

A new block costs one look per distinct filter, not per stream: streams with equal filters form a topic, and a
topic is woken only when a block has something for it. Streams that are far behind, or wait for their
consumers, are not waited for by anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from services.ledger.errors import (
    ChainNotFollowed,
    FilterUnknown,
    ServiceStopping,
    StreamsExhausted,
)
from services.ledger.events.consumers import Key
from services.ledger.events.cursor import Wish
from services.ledger.events.filters import EventShape, Filter, unknown_names
from services.ledger.events.subscription import Sources, Subscription
from services.ledger.events.window import Window
from silkledger.evm.contracts import Network, artifact
from silkledger.runtime.auth import Caller


def event_shapes(network: Network) -> tuple[EventShape, ...]:
    """Every event that the network's contracts may emit."""
    return tuple(
        EventShape(contract, event.name, frozenset(event.names))
        for contract in network.addresses
        for event in artifact(contract).events.values()
    )


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams may be open."""

    total: int
    per_organisation: int


@dataclass(slots=True)
class _Topic:
    """Streams that want the same."""

    wanted: Filter
    final_only: bool
    through: int
    """Every block up to this one was looked at."""
    streams: set[Subscription] = field(default_factory=set)

    def concerned(self, window: Window) -> bool:
        """Whether blocks that came since the last look have something for these streams."""
        last = window.final if self.final_only else window.head.number
        first, self.through = self.through + 1, last
        if first <= window.base.number:
            return True
        return any(block.matching(self.wanted) for block in window.between(first, last))

    def wake(self) -> None:
        for stream in self.streams:
            stream.awake.set()


_TopicKey = tuple[Filter, bool]


class Hub:
    """Opens and ends streams. One per service."""

    def __init__(self, sources: Sources, limits: StreamLimits, shapes: Sequence[EventShape]) -> None:
        self._sources: Final = sources
        self._limits = limits
        self._shapes = tuple(shapes)
        self._streams: dict[Key, Subscription] = {}
        self._per_organisation: Counter[str] = Counter()
        self._topics: dict[_TopicKey, _Topic] = {}
        self._epoch = 0
        self._stopping = False
        sources.reader.changed = self.window_moved
        sources.takeovers.taken_over = self.taken_over

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, caller: Caller, wish: Wish) -> Subscription:
        """A stream of the caller's consumer; an older one of the same consumer ends, at once if it is here.

        Whoever opens it MUST `release` it.

        Raises:
            FilterUnknown, StreamsExhausted, ChainNotFollowed, ServiceStopping.
        """
        unknown = unknown_names(wish.filter, self._shapes)
        if unknown:
            raise FilterUnknown([(item.field, item.description) for item in unknown])
        if self._stopping:
            raise ServiceStopping
        if self._sources.reader.halted is not None:
            raise ChainNotFollowed(self._sources.reader.halted)
        if not self._sources.reader.ready:
            raise ChainNotFollowed
        stream = Subscription(self._sources, caller, wish)
        older = self._streams.get(stream.key)
        if older is not None:
            older.take_over()
            self.release(older)
        organisation = stream.key[0]
        if self._per_organisation[organisation] >= self._limits.per_organisation:
            raise StreamsExhausted("this organisation", self._limits.per_organisation)
        if len(self._streams) >= self._limits.total:
            raise StreamsExhausted("the service", self._limits.total)
        self._streams[stream.key] = stream
        self._per_organisation[organisation] += 1
        self._topic(wish).streams.add(stream)
        return stream

    def release(self, stream: Subscription) -> None:
        """The stream is over. Idempotent."""
        if self._streams.get(stream.key) is not stream:
            return
        del self._streams[stream.key]
        organisation = stream.key[0]
        self._per_organisation[organisation] -= 1
        if not self._per_organisation[organisation]:
            del self._per_organisation[organisation]
        topic = self._topic(stream.wish)
        topic.streams.discard(stream)
        if not topic.streams:
            del self._topics[_topic_key(stream.wish)]

    def taken_over(self, key: Key, number: int) -> None:
        """The consumer's newest stream has this number: an older one that is open here ends."""
        stream = self._streams.get(key)
        if stream is not None and 0 < stream.number < number:
            stream.take_over()
            self.release(stream)

    def window_moved(self) -> None:
        """Wake every stream that the move concerns; all of them after a reorg or a halt."""
        window = self._sources.reader.window
        everybody = self._epoch != window.epoch or self._sources.reader.halted is not None
        self._epoch = window.epoch
        for topic in self._topics.values():
            if topic.concerned(window) or everybody:
                topic.wake()

    def stop(self) -> None:
        """End every stream and open no more: the service is stopping."""
        self._stopping = True
        for stream in list(self._streams.values()):
            stream.end(ServiceStopping())

    def _topic(self, wish: Wish) -> _Topic:
        key = _topic_key(wish)
        if key not in self._topics:
            window = self._sources.reader.window
            through = window.final if wish.final_only else window.head.number
            self._topics[key] = _Topic(wish.filter, wish.final_only, through)
        return self._topics[key]


def _topic_key(wish: Wish) -> _TopicKey:
    return wish.filter, wish.final_only
