"""LogAnchor's history of a log origin: which account speaks for it, and which keys count at which block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from silkledger.registry.histories import HistoryRecord, RecordInvalid, decode_record, record_kind
from silkledger.values import Address

_REGISTERED: Final = 1
_KEY_ADDED: Final = 2
_KEY_ENDED: Final = 3
_REGISTRATION: Final = ("uint8", "bytes", "address", "bytes", "bytes32")
_KEY_CHANGE: Final = ("uint8", "bytes")


@dataclass(frozen=True, slots=True)
class OriginKey:
    """A key of an origin, with the blocks between which it counts."""

    log_key: bytes
    """Signature type byte and public key, as in a C2SP verifier key."""
    added_at: int
    """Block number of the registration or of the addition: the first block at which it counts."""
    ended_at: int | None = None
    """Block number of its end: the last block at which it counts. None: it was not ended."""

    def counts(self, block: int) -> bool:
        """Whether the key counts for what block `block` anchored: added by then, and not ended before."""
        return self.added_at <= block and (self.ended_at is None or block <= self.ended_at)


@dataclass(frozen=True, slots=True)
class OriginHistory:
    """What is recorded of one origin. The registration is never changed; keys are added and ended."""

    origin: str
    controller: Address
    predecessor: bytes
    """Origin id (keccak-256 of the origin) of the log this one succeeds; 32 zero bytes when there is none."""
    recorded_at: int
    """Block number of the registration."""
    keys: tuple[OriginKey, ...]
    """Every key that ever counted, in the order of the records."""

    def counting(self, block: int) -> tuple[bytes, ...]:
        """The keys that count at block `block`, as recorded; none before the registration."""
        return tuple(key.log_key for key in self.keys if key.counts(block))


def origin_history(records: Sequence[HistoryRecord]) -> OriginHistory | None:
    """What `records`, the origin's whole history, say; None when nothing is recorded.

    The contract never lets a key count twice at a time, nor again once it was ended.

    Raises: RecordInvalid for a record of another shape, or one that contradicts those before it.
    """
    if not records:
        return None
    found = _registration(records[0])
    for item in records[1:]:
        found = replace(found, keys=_changed(found.keys, item))
    return found


def _registration(item: HistoryRecord) -> OriginHistory:
    if record_kind(item.record) != _REGISTERED:
        raise RecordInvalid("the first record of an origin is its registration")
    _, origin, controller, log_key, predecessor = decode_record(_REGISTRATION, item.record)
    try:
        name = cast(bytes, origin).decode("utf-8")
    except UnicodeDecodeError:
        raise RecordInvalid("the origin is not UTF-8") from None
    return OriginHistory(
        origin=name,
        controller=Address.from_hex(cast(str, controller)),
        predecessor=cast(bytes, predecessor),
        recorded_at=item.block_number,
        keys=(OriginKey(cast(bytes, log_key), item.block_number),),
    )


def _changed(keys: tuple[OriginKey, ...], item: HistoryRecord) -> tuple[OriginKey, ...]:
    kind = record_kind(item.record)
    if kind == _REGISTERED:
        raise RecordInvalid("an origin is registered once")
    if kind not in (_KEY_ADDED, _KEY_ENDED):
        raise RecordInvalid("unknown kind of origin record")
    log_key = cast(bytes, decode_record(_KEY_CHANGE, item.record)[1])
    known = {key.log_key: place for place, key in enumerate(keys)}
    if kind == _KEY_ADDED:
        if log_key in known:
            raise RecordInvalid("a key is added once")
        return (*keys, OriginKey(log_key, item.block_number))
    place = known.get(log_key)
    if place is None or keys[place].ended_at is not None:
        raise RecordInvalid("the key that is ended does not count")
    return (*keys[:place], replace(keys[place], ended_at=item.block_number), *keys[place + 1 :])
