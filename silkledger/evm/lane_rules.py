"""What the chain's rows mean for the lane's attempts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from silkledger.evm.lane_store import AttemptRow, Change
from silkledger.evm.lane_types import State


def changes_by_chain(attempts: Sequence[AttemptRow], final: int) -> list[Change]:
    """What must be written, given which attempts the follower found in blocks and which block is final.

    In a final block: FINAL, or REFUSED if it failed there. In another block: INCLUDED. Was in a block that is
    gone: ORPHANED. Not in a block, but the same nonce is consumed in a final block by a known replacement:
    REFUSED.
    """
    settled = {a.nonce for a in attempts if a.chain_block is not None and a.chain_block <= final}
    included = {a.nonce for a in attempts if a.chain_block is not None}
    changes: list[Change] = []
    for attempt in attempts:
        if attempt.chain_block is not None:
            changes += _in_block(attempt, final)
        elif attempt.nonce in settled:
            changes.append(Change(attempt, State.REFUSED, "replaced by another attempt", alone=True))
        elif attempt.state is State.INCLUDED:
            changes.append(Change(attempt, State.ORPHANED, alone=attempt.nonce in included))
    return changes


def _in_block(attempt: AttemptRow, final: int) -> list[Change]:
    if attempt.chain_block is not None and attempt.chain_block <= final:
        if attempt.succeeded:
            return [Change(attempt, State.FINAL)]
        return [Change(attempt, State.REFUSED, "the transaction failed on chain")]
    if attempt.state is not State.INCLUDED or attempt.known_hash != attempt.chain_hash:
        return [Change(attempt, State.INCLUDED)]
    return []


def newest_of_each_nonce(attempts: Sequence[AttemptRow]) -> list[AttemptRow]:
    """The highest-priced attempt of every nonce of which no attempt is in a block."""
    included = {a.nonce for a in attempts if a.chain_block is not None}
    return list({a.nonce: a for a in attempts if a.nonce not in included}.values())


def due(attempt: AttemptRow, now_ms: int, resend_after_s: float) -> bool:
    """Whether an attempt's bytes are to be handed to a node now."""
    if attempt.sent_ms is None or attempt.state in (State.SIGNED, State.ORPHANED):
        return True
    return now_ms - attempt.sent_ms >= resend_after_s * 1000
