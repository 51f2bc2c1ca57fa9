"""LogAnchor registrations: which account and which key speak for a log origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from silkledger.registry.histories import HistoryRecord, RecordInvalid, decode_record, record_kind, visible
from silkledger.values import Address

_REGISTERED: Final = 1
_TYPES: Final = ("uint8", "bytes", "address", "bytes", "bytes32")


@dataclass(frozen=True, slots=True)
class OriginRegistration:
    """The registration of one origin. Never changed: an origin is succeeded, not edited."""

    origin: str
    controller: Address
    log_key: bytes
    predecessor: bytes
    """Origin id (keccak-256 of the origin) of the log this one succeeds; 32 zero bytes when there is none."""
    recorded_at: int
    """Block number."""


def origin_registration(records: Sequence[HistoryRecord], known_at: int) -> OriginRegistration | None:
    """The registration that was on chain at the end of block `known_at`; None when there was none.

    Raises: RecordInvalid for a record of another shape, or for a second registration.
    """
    seen = visible(records, known_at)
    if not seen:
        return None
    if len(seen) > 1:
        raise RecordInvalid("an origin is registered once")
    if record_kind(seen[0].record) != _REGISTERED:
        raise RecordInvalid("unknown kind of origin record")
    _, origin, controller, log_key, predecessor = decode_record(_TYPES, seen[0].record)
    try:
        name = cast(bytes, origin).decode("utf-8")
    except UnicodeDecodeError:
        raise RecordInvalid("the origin is not UTF-8") from None
    return OriginRegistration(
        origin=name,
        controller=Address.from_hex(cast(str, controller)),
        log_key=cast(bytes, log_key),
        predecessor=cast(bytes, predecessor),
        recorded_at=seen[0].block_number,
    )
