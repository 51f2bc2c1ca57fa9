"""Status lists on chain: which digest an identity recorded as which number of a series.

The IdentityRegistry takes a number once, from the identity's owner, and in order. What it records is a digest
only; that the list is signed, and by whom, is for `silkledger.status_list`. Format:
docs/formats/status-list.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from silkledger.registry.histories import HistoryRecord, RecordInvalid, decode_record
from silkledger.values import Digest

_TYPES: Final = ("uint8", "uint64", "bytes32")
KIND: Final = 4
"""First word of such a record."""


@dataclass(frozen=True, slots=True)
class ListRecord:
    """One record, decoded."""

    sequence: int
    digest: Digest
    """Of the list: SHA-256 of the canonical credential without its proof."""
    recorded_at: int
    """Block; in force from its end on, until the next record of the series."""


def decode_list_record(item: HistoryRecord) -> ListRecord:
    """Raises: RecordInvalid when it is no record of a status list."""
    kind, sequence, digest = decode_record(_TYPES, item.record)
    if kind != KIND:
        raise RecordInvalid(f"unknown kind of status list record: {kind}")
    return ListRecord(cast(int, sequence), Digest(cast(bytes, digest)), item.block_number)


def list_at(records: Sequence[HistoryRecord], at_block: int) -> ListRecord | None:
    """The list in force at the end of `at_block`; None: none was recorded by then.

    Raises: RecordInvalid for a record that is none, or for numbers that are not 0, 1, 2 and so on.
    """
    found = [decode_list_record(item) for item in records]
    if [record.sequence for record in found] != list(range(len(found))):
        raise RecordInvalid("status lists of a series are numbered from 0 on without a gap")
    return next((record for record in reversed(found) if record.recorded_at <= at_block), None)
