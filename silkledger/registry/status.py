"""Document status: what an issuer said on chain about its statement after registering it.

The rule, the same as the contract's view: among the records known at `known_at`, a revocation that has begun
by `at_block` is for ever; else a supersession that has begun is for ever; else the last recorded suspension
or reinstatement that has begun decides. Format: docs/formats/accreditation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from silkledger.registry.histories import HistoryRecord, RecordInvalid, decode_record
from silkledger.values import StatementId

_TYPES: Final = ("uint8", "uint8", "uint64", "bytes32")


class DocumentStatus(StrEnum):
    """Where a document stands. ACTIVE is also the state of one about which nothing was ever said."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"
    SUPERSEDED = "SUPERSEDED"


_STATUS_OF_KIND: Final = {
    1: DocumentStatus.REVOKED,
    2: DocumentStatus.SUSPENDED,
    3: DocumentStatus.ACTIVE,
    4: DocumentStatus.SUPERSEDED,
}
"""The first word of a record: 1 revoked, 2 suspended, 3 reinstated, 4 superseded."""

_TERMINAL: Final = (DocumentStatus.REVOKED, DocumentStatus.SUPERSEDED)
"""For ever once begun; the first outranks the second."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One record, decoded."""

    status: DocumentStatus
    """The status it gives."""
    reason: int
    """Reason code of docs/formats/accreditation.md."""
    effective_block: int
    """In force from the end of this block on."""
    new_id: StatementId | None
    """The statement that takes its place, only when SUPERSEDED."""
    recorded_at: int
    """Block that recorded it, which is when it could first be known."""


@dataclass(frozen=True, slots=True)
class DocumentStatusState:
    """The answer as of one block."""

    status: DocumentStatus
    change: StatusChange | None
    """The record that decides; None when nothing had been said."""
    later: tuple[StatusChange, ...]
    """Records handed in that were not yet known, or had not yet begun: what a reader must also be told."""


def decode_status(item: HistoryRecord) -> StatusChange:
    """Decode one DocumentStatus record.

    Raises: RecordInvalid when it is none, or names a new statement without superseding.
    """
    kind, reason, effective, new_id = decode_record(_TYPES, item.record)
    status = _STATUS_OF_KIND.get(cast(int, kind))
    if status is None:
        raise RecordInvalid(f"unknown kind of status record: {kind}")
    successor = cast(bytes, new_id)
    if any(successor) != (status is DocumentStatus.SUPERSEDED):
        raise RecordInvalid("a new statement id goes with a supersession, and only with one")
    return StatusChange(
        status=status,
        reason=cast(int, reason),
        effective_block=cast(int, effective),
        new_id=StatementId(successor) if any(successor) else None,
        recorded_at=item.block_number,
    )


def status_at(records: Sequence[HistoryRecord], at_block: int, known_at: int) -> DocumentStatusState:
    """The status in force at the end of `at_block`, by what was on chain at the end of `known_at`.

    Raises: RecordInvalid for a record that is not a DocumentStatus record.
    """
    changes = [decode_status(item) for item in records]
    begun = [c for c in changes if c.recorded_at <= known_at and c.effective_block <= at_block]
    later = tuple(c for c in changes if c not in begun)
    for terminal in _TERMINAL:
        for change in begun:
            if change.status is terminal:
                return DocumentStatusState(terminal, change, later)
    if begun:
        return DocumentStatusState(begun[-1].status, begun[-1], later)
    return DocumentStatusState(DocumentStatus.ACTIVE, None, later)
