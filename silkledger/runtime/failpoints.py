"""Places where a process can be told to die, so that recovery from a death just there is tested.

Armed by `SILKLEDGER_FAILPOINT=name` or `name:n` in development mode: when the place is reached for the n-th
time, the process kills itself with SIGKILL, nothing flushed and nothing closed. That is a kill of the
process, not a loss of power. Production mode refuses to start with it. Not armed, `reach` compares one
reference.

`Failpoint` is the one registry: a name that is not in it is refused at start, and every name in it is reached
by exactly one line of code (tests/unit/runtime/test_failpoints.py) and killed at in the crash matrix
(tests/integration/ledger/crash).
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum

from silkledger.runtime.settings import Mode, SettingsError, require_development, variable_of
from silkledger.runtime.telemetry import logger


class Failpoint(StrEnum):
    """Every place, by stage of the way from a call to a final transaction and its evidence."""

    ACCEPT_CHECKED = "accept.checked"
    """The statements of a call are verified; nothing is signed or written."""
    ACCEPT_PROMISED = "accept.promised"
    """The promise is signed; nothing is written."""
    ACCEPT_WRITTEN = "accept.written"
    """Entries, idempotency and audit rows are in the transaction; it is not committed."""
    ACCEPT_COMMITTED = "accept.committed"
    """The call is durable; its caller was not told."""

    SEQUENCE_TAKEN = "sequence.taken"
    """A batch was read off the queue; its entries have no leaves."""
    SEQUENCE_ASSIGNED = "sequence.assigned"
    """The batch has its leaves in the transaction; the tree's hashes are not stored."""

    INTEGRATE_GROWN = "integrate.grown"
    """The grown tree is in memory and proven to extend the old one; nothing of it is stored."""
    INTEGRATE_STORED = "integrate.stored"
    """Leaves and hashes are in the transaction; there is no checkpoint yet."""
    INTEGRATE_WRITTEN = "integrate.written"
    """The checkpoint is in the transaction as well; it is not committed."""
    INTEGRATE_COMMITTED = "integrate.committed"
    """The batch is logged; nothing in this process knows."""

    INTEGRATE_MERGED = "integrate.merged"
    """Merged pages of the index are in the transaction; it is not committed."""
    INTEGRATE_DROPPED = "integrate.dropped"
    """The pages of a segment that was merged are deleted in the transaction; it is not committed."""

    SIGN_CHECKPOINT = "sign.checkpoint"
    """A checkpoint is signed and in no row."""
    SIGN_TRANSACTION = "sign.transaction"
    """A transaction is signed under a nonce that no row has taken."""

    PERSIST_INTENT = "persist.intent"
    """An intent is in the transaction that wants it; it is not committed."""
    PERSIST_SIGNED = "persist.signed"
    """Nonces and signed bytes are in the transaction; it is not committed."""
    PERSIST_COMMITTED = "persist.committed"
    """The signed bytes are durable; no node has them."""

    BROADCAST_SENDING = "broadcast.sending"
    """The bytes are about to be handed to the node."""
    BROADCAST_TAKEN = "broadcast.taken"
    """The node has the bytes; no row says so."""
    BROADCAST_NOTED = "broadcast.noted"
    """Rows say which bytes the node has."""

    INCLUDE_FETCHED = "include.fetched"
    """Blocks are read and verified; nothing of them is written."""
    INCLUDE_APPLIED = "include.applied"
    """Blocks, cursor and projections are in the transaction; it is not committed."""
    INCLUDE_COMMITTED = "include.committed"
    """The blocks are durable; nothing in this process knows."""
    INCLUDE_NOTED = "include.noted"
    """The lane is about to write which of its transactions are in which block."""

    FINALISE_NOTED = "finalise.noted"
    """The lane is about to write which of its transactions are final."""
    FINALISE_WRITTEN = "finalise.written"
    """Their final states are in the transaction; it is not committed."""
    FINALISE_COMMITTED = "finalise.committed"
    """Their final states are durable; nothing in this process knows."""

    CAPTURE_GATHERED = "capture.gathered"
    """An anchor is final and the state proofs for its evidence are read; none of them is written."""


class _Armed:
    """Counts down to the death of this process."""

    def __init__(self, place: Failpoint, hits: int) -> None:
        self._place = place
        self._left = hits

    def reached(self, place: Failpoint) -> None:
        if place is not self._place:
            return
        self._left -= 1
        if self._left == 0:
            logger().critical("failpoint_reached", failpoint=str(place))
            os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def reach(place: Failpoint) -> None:
    """Die here, if that was ordered and this is the n-th time; else nothing."""
    if _armed is not None:
        _armed.reached(place)


def arm(order: str, mode: Mode) -> None:
    """Take the order of the settings; an empty one orders nothing.

    Raises:
        SettingsError: an unknown name, a count that is no positive number, or production mode.
    """
    global _armed  # one process has one death
    if not order:
        _armed = None
        return
    name, _, count = order.partition(":")
    try:
        place, hits = Failpoint(name), int(count or "1")
    except ValueError:
        raise SettingsError({variable_of("failpoint"): "must be a known failpoint, or name:n"}) from None
    if hits < 1:
        raise SettingsError({variable_of("failpoint"): "is reached for the first time at the earliest"})
    logger().warning("failpoint_armed", warning=require_development(mode, f"dying at {order}"))
    _armed = _Armed(place, hits)
