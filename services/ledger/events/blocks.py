"""A block's events, described for filters and encoded for the wire once, whoever reads them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.ledger.events.cursor import Cursor
from services.ledger.events.filters import EVERYTHING, Filter
from silkledger.values import BlockHash, BlockRef


@dataclass(frozen=True, slots=True)
class SharedEvent:
    """One event: what filters look at, and its bytes on the wire."""

    cursor: Cursor
    contract: str
    name: str
    arguments: Mapping[str, str]
    accounts: frozenset[bytes]
    wire: bytes


@dataclass(frozen=True, slots=True)
class EventBlock:
    """A block of the chain with its events in order."""

    ref: BlockRef
    parent_hash: BlockHash
    events: Sequence[SharedEvent]

    @property
    def end(self) -> Cursor:
        return Cursor.after(self.ref)

    def matching(self, wanted: Filter) -> Sequence[SharedEvent]:
        """The events that pass."""
        if wanted == EVERYTHING:
            return self.events
        return [event for event in self.events if wanted.passes(event)]
