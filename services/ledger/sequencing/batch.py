"""A batch of waiting calls as leaves: which item becomes which leaf, and what the index says of it. Pure.

A statement that is in the log already gets no second leaf, whatever calls brought it: the promise to log it
is kept by the leaf that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.ledger.sequencing.pending import WaitingCall
from silkledger.log.index import absolute, run_records
from silkledger.projections.statements import Run

_OWN: bytes = b"\0\0"
"""The document number of records that are about the entry itself."""


@dataclass(slots=True)
class Batch:
    """What a batch adds to a log of `first_leaf` leaves."""

    first_leaf: int
    calls: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    leaf_hashes: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    items: int = 0
    """Statements taken off the queue, those that were known included."""
    ids: list[bytes] = field(default_factory=list)

    @property
    def end_leaf(self) -> int:
        return self.first_leaf + len(self.leaf_hashes)


def make_batch(first_leaf: int, calls: Sequence[WaitingCall], logged: Mapping[bytes, int]) -> Batch:
    """Leaves for the calls' statements, in order. `logged` are those that have a leaf, and which."""
    batch = Batch(first_leaf)
    known = dict(logged)
    for call in calls:
        _take(batch, call, known)
    return batch


def _take(batch: Batch, call: WaitingCall, known: dict[bytes, int]) -> None:
    leaves: list[int | None] = []
    ids = call.id_list()
    for item, statement_id in enumerate(ids):
        if statement_id in known:
            leaves.append(None)
            continue
        leaf = batch.end_leaf
        known[statement_id] = leaf
        leaves.append(leaf)
        batch.leaf_hashes.append(call.leaf_hash(item))
    batch.calls.append(call.call)
    batch.ids += ids
    batch.items += call.width
    batch.records += absolute(call.records, leaves)
    for run in _runs(call.call, leaves):
        batch.runs.append(run)
        types = call.types_of(run.first_item, run.first_item + run.width)
        batch.records += run_records(run.first_leaf, call.issuer, types)
    if leaves == [None]:
        # A manifest that the log has, whose documents' leaves were missing here and came with this call.
        again = absolute(call.records, [known[ids[0]]])
        batch.records += [record for record in again if record[-2:] != _OWN]


def _runs(call: int, leaves: Sequence[int | None]) -> Iterator[Run]:
    """Consecutive items with consecutive leaves."""
    item = 0
    while item < len(leaves):
        leaf = leaves[item]
        if leaf is None:
            item += 1
            continue
        start = item
        while item < len(leaves) and leaves[item] == leaf + item - start:
            item += 1
        yield Run(leaf, call, start, item - start)
