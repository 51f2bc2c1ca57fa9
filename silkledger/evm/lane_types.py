"""The lane's words: intents, builders, states, limits, errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.runtime.errors import Code, ServiceError
from silkledger.values import Address, TxHash


class State(StrEnum):
    """Where an intent or one attempt of it stands (design section 10)."""

    QUEUED = "QUEUED"
    """Durable; no nonce yet."""
    SIGNED = "SIGNED"
    """Nonce, bytes and hash are committed; not known to have reached a node."""
    BROADCAST = "BROADCAST"
    """A node took the bytes."""
    INCLUDED = "INCLUDED"
    """In a block that is not final."""
    FINAL = "FINAL"
    """In a final block, and succeeded."""
    REFUSED = "REFUSED"
    """Will never succeed: failed in a final block, outbid by its own replacement, or nothing to do."""
    ORPHANED = "ORPHANED"
    """Was in a block that a reorg undid; sent again next."""
    STUCK = "STUCK"
    """The node does not take the bytes; tried again, with a higher fee where there are fees."""
    FROZEN = "FROZEN"
    """Its nonce was consumed by a transaction that we do not know: nothing is decided without an operator."""


OPEN: Final = (State.SIGNED, State.BROADCAST, State.INCLUDED, State.ORPHANED, State.STUCK)
"""States of attempts whose end is not known yet."""

PENDING: Final = (State.SIGNED, State.BROADCAST, State.ORPHANED, State.STUCK)
"""Open, and in no block."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What somebody wants on chain. One per `kind` and `key`, for ever; `payload` is the builder's to
    read.
    """

    kind: str
    key: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class IntentStatus:
    """An intent with the attempt that stands for it: the included one, else the newest."""

    id: int
    state: State
    reason: str | None
    tx_hash: TxHash | None
    block_number: int | None


@dataclass(frozen=True, slots=True)
class CallSpec:
    """A transaction without its nonce and price. `gas` is the builder's own limit: it is never estimated."""

    to: Address
    data: bytes
    gas: int


class NothingToDo(Exception):
    """A builder finds its intent overtaken by events. It ends as REFUSED with `reason`; no nonce is used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotYet(Exception):
    """A builder cannot say yet what to send. The intent stays queued, later ones go ahead of it."""


class IntentBuilder(Protocol):
    """Makes the call of an intent at the moment of signing, from the database as it then is."""

    async def __call__(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        """Raises: NothingToDo, NotYet. `conn` only reads."""
        ...


Builders = Mapping[str, IntentBuilder]
"""By intent kind."""


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """Sizes and times of a lane."""

    queue: int = 10_000
    """Most intents that wait unsigned; more are refused with RESOURCE_EXHAUSTED."""
    window: int = 64
    """Most signed transactions that are in no block."""
    lease_s: float = 20.0
    """How long an owner may be silent. Above the database's limit for an idle transaction, and above the
    time that a signer may take.
    """
    poll_s: float = 0.2
    """Pause between rounds when nobody wakes the lane."""
    max_bumps: int = 10
    """Most replacements of one transaction at a higher fee."""


class LaneFull(ServiceError):
    """The queue is full; the same call may succeed later."""

    def __init__(self, queued: int) -> None:
        super().__init__(
            "LANE_FULL",
            f"{queued} transactions wait to be sent",
            code=Code.RESOURCE_EXHAUSTED,
            retry_after_s=5.0,
        )


class IntentConflict(ValueError):
    """The same kind and key was enqueued with another payload: a fault of the caller's."""

    def __init__(self, intent: Intent) -> None:
        super().__init__(f"intent {intent.kind}/{intent.key} exists with another payload")
