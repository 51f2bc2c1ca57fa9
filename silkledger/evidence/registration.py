"""That a statement is in the log, under the head whose anchor registered it.

The log's keys are those that count at the registration block, by the LogAnchor contract's history of the
origin: registered or added by then, and not ended before. Checkpoint, receipt and promise are each signed by
one of them. The receipt's tree size is not signed, and most paths verify under a neighbouring size: so it
must equal the checkpoint's, and the checkpoint's must equal the anchor's or be linked to it by a consistency
proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from silkledger.evidence.anchor import AnchorEvent
from silkledger.evidence.bundle import Contract, LogSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.proven_histories import ProvenHistories
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.log.checkpoint import (
    Checkpoint,
    LogVerifierKey,
    Note,
    NoteError,
    named_keys,
    parse_note,
    verify_note,
)
from silkledger.log.promise import Promise, PromiseError, verify_promise
from silkledger.log.receipt import ReceiptError, VerifiedReceipt, parse_receipt, verify_receipt
from silkledger.log.tree import ProofInvalid, verify_consistency
from silkledger.registry.histories import origin_id
from silkledger.registry.origins import OriginHistory, OriginKey, origin_history
from silkledger.values import StatementId

_CHECKPOINT_REASONS: Final = {
    "NOTE_NOT_SIGNED": Reason.CHECKPOINT_KEY,
    "NOTE_SIGNATURE_INVALID": Reason.CHECKPOINT_SIGNATURE,
    "ORIGIN_MISMATCH": Reason.ORIGIN_MISMATCH,
}
_RECEIPT_REASONS: Final = {
    "RECEIPT_KEY_UNKNOWN": Reason.RECEIPT_KEY,
    "RECEIPT_SIGNATURE_INVALID": Reason.RECEIPT_SIGNATURE,
    "RECEIPT_SIZE_MISMATCH": Reason.RECEIPT_SIZE,
    "RECEIPT_ROOT_MISMATCH": Reason.RECEIPT_ROOT,
    "SIZE_ZERO": Reason.RECEIPT_SIZE_ZERO,
    "INDEX_OUT_OF_RANGE": Reason.RECEIPT_INDEX,
    "PATH_TOO_LONG": Reason.RECEIPT_PATH_TOO_LONG,
    "PATH_TOO_SHORT": Reason.RECEIPT_PATH_TOO_SHORT,
}

_PROMISE_REASONS: Final = {
    "PROMISE_KEY_UNKNOWN": Reason.PROMISE_KEY,
    "PROMISE_SIGNATURE_INVALID": Reason.PROMISE_SIGNATURE,
    "PROMISE_ORIGIN_MISMATCH": Reason.ORIGIN_MISMATCH,
}


@dataclass(frozen=True, slots=True)
class CountingKeys:
    """Which keys of a log count at a block, and why others do not."""

    block: int
    """Number of the registration block."""
    keys: tuple[LogVerifierKey, ...]
    """Those that count, of the kinds known here."""
    others: tuple[tuple[LogVerifierKey, OriginKey], ...] = ()
    """The log's further keys, ended before or added later."""

    @classmethod
    def given(cls, key: LogVerifierKey) -> CountingKeys:
        """A key that is named otherwise than by a ledger."""
        return cls(0, (key,))

    def standing(self, key_id: bytes) -> str:
        """Why no key of this id counts, for a message; empty where nothing is known of one."""
        for key, recorded in self.others:
            if key.key_id == key_id and not named_keys(self.keys, key_id):
                if recorded.added_at > self.block:
                    return f"; the log added it in block {recorded.added_at}, after block {self.block}"
                return f"; the log ended it in block {recorded.ended_at}, before block {self.block}"
        return ""


def counting_log_keys(
    log: LogSection, anchor: AnchorEvent, histories: ProvenHistories, block: int, pinned: PinnedLog | None
) -> CountingKeys:
    """The log's keys that count at `block`, by the ledger's whole history of the origin.

    Steps: (1) the checkpoint names an origin, and it is the anchor's; (2) that origin was registered; (3) a
    key that counts is of a kind known here; (4) the pinned log, where one is pinned, is this one: its key is
    among those that the origin ever had. The controller says which others it has beside.

    Raises:
        EvidenceInvalid: CHECKPOINT_MALFORMED, ORIGIN_MISMATCH, ORIGIN_NOT_REGISTERED, LOG_KEY_UNREADABLE,
            LOG_KEY_NOT_PINNED.
        HistoryMissing: the bundle proves nothing about the origin.
    """
    origin = _claimed(log.checkpoint, len(log.cosigners)).origin  # (1)
    if origin_id(origin) != anchor.origin_id:
        raise EvidenceInvalid(Reason.ORIGIN_MISMATCH, f"the anchor is not of the log {origin}")
    history = origin_history(histories.records(Contract.LOG_ANCHOR, anchor.origin_id))  # (2)
    if history is None or history.recorded_at > block:
        raise EvidenceInvalid(Reason.ORIGIN_NOT_REGISTERED, f"{origin} was not registered at block {block}")
    known = readable_keys(origin, history)
    counting = tuple(key for key, recorded in known if recorded.counts(block))
    if not counting:  # (3)
        raise EvidenceInvalid(Reason.LOG_KEY_UNREADABLE, f"{origin} has no key of a known kind")
    if pinned is not None and not _is_pinned(pinned, origin, known):  # (4)
        raise EvidenceInvalid(
            Reason.LOG_KEY_NOT_PINNED, f"{pinned.verifier_key} is pinned, which the log {origin} never had"
        )
    return CountingKeys(block, counting, tuple(item for item in known if not item[1].counts(block)))


def readable_keys(origin: str, history: OriginHistory) -> list[tuple[LogVerifierKey, OriginKey]]:
    """The origin's keys of the kinds known here (Ed25519), each as a verifier key and as it is recorded."""
    found = ((LogVerifierKey.of_recorded(origin, key.log_key), key) for key in history.keys)
    return [(key, recorded) for key, recorded in found if key is not None]


def _is_pinned(pinned: PinnedLog, origin: str, known: list[tuple[LogVerifierKey, OriginKey]]) -> bool:
    return pinned.origin == origin and any(str(key) == pinned.verifier_key for key, _ in known)


def note_text(checkpoint: bytes) -> str:
    """Raises: EvidenceInvalid CHECKPOINT_MALFORMED."""
    try:
        return checkpoint.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceInvalid(Reason.CHECKPOINT_MALFORMED, "the checkpoint is not UTF-8") from error


def _claimed(checkpoint: bytes, cosigners: int) -> Checkpoint:
    """What the checkpoint says, before any signature is verified."""
    try:
        note = parse_note(note_text(checkpoint))
        claimed = Checkpoint.parse_body(note.body)
    except NoteError as error:
        raise EvidenceInvalid(Reason.CHECKPOINT_MALFORMED, str(error)) from error
    wanted = 1 + cosigners
    if len(note.signatures) != wanted:
        # Further lines would stand in the bundle unverified.
        raise EvidenceInvalid(
            Reason.CHECKPOINT_MALFORMED,
            f"{len(note.signatures)} signature lines, there must be {wanted}",
        )
    return claimed


def verify_checkpoint(checkpoint: bytes, keys: CountingKeys, cosigners: int = 0) -> Checkpoint:
    """The checkpoint, signed by a key that counts in the first of its lines, with one more line for each
    cosigner.

    Raises:
        EvidenceInvalid: CHECKPOINT_MALFORMED, CHECKPOINT_KEY, CHECKPOINT_SIGNATURE, ORIGIN_MISMATCH.
    """
    _claimed(checkpoint, cosigners)
    note = parse_note(note_text(checkpoint))
    try:
        return verify_note(Note(note.body, note.signatures[:1]).text(), keys.keys)
    except NoteError as error:
        reason = _CHECKPOINT_REASONS.get(error.reason, Reason.CHECKPOINT_MALFORMED)
        more = keys.standing(note.signatures[0].key_id) if reason is Reason.CHECKPOINT_KEY else ""
        raise EvidenceInvalid(reason, error.detail + more) from error


def verify_log_receipt(
    receipt: bytes, statement: bytes, keys: CountingKeys, checkpoint: Checkpoint
) -> VerifiedReceipt:
    """That `statement` is a leaf under `checkpoint`, by a key that counts.

    Raises:
        EvidenceInvalid: the RECEIPT_… codes.
    """
    try:
        return verify_receipt(receipt, statement, keys.keys, checkpoint)
    except ReceiptError as error:
        reason = _RECEIPT_REASONS.get(error.reason, Reason.RECEIPT_MALFORMED)
        more = keys.standing(parse_receipt(receipt).key_id) if reason is Reason.RECEIPT_KEY else ""
        raise EvidenceInvalid(reason, error.detail + more) from error


def verify_registration(
    checkpoint: Checkpoint, consistency: tuple[bytes, ...] | None, anchor: AnchorEvent, leaf_index: int
) -> None:
    """That `anchor` is the first that covers the leaf.

    Steps: (1) checkpoint and anchor are one head, or a consistency proof links them; (2) the anchored tree
    has the leaf; (3) the one anchored before did not.

    Raises:
        EvidenceInvalid: SIZE_NOT_LINKED, ANCHOR_DOES_NOT_COVER, ANCHOR_NOT_FIRST.
    """
    _check_linked(checkpoint, consistency, anchor)  # (1)
    if leaf_index >= anchor.size:  # (2)
        raise EvidenceInvalid(
            Reason.ANCHOR_DOES_NOT_COVER, f"leaf {leaf_index} is not in the anchored tree of {anchor.size}"
        )
    if leaf_index < anchor.previous_size:  # (3)
        raise EvidenceInvalid(
            Reason.ANCHOR_NOT_FIRST, f"leaf {leaf_index} was anchored before, at size {anchor.previous_size}"
        )


def verify_log_promise(promise: bytes | None, keys: CountingKeys, statement: StatementId) -> Promise:
    """That the log promised to log the statement, by a key that counts. Whether it kept the promise in time
    is not looked at.

    Raises:
        EvidenceInvalid: PROMISE_NOT_IN_BUNDLE, PROMISE_MALFORMED, PROMISE_KEY, PROMISE_SIGNATURE,
            ORIGIN_MISMATCH, PROMISE_OTHER_STATEMENT.
    """
    if promise is None:
        raise EvidenceInvalid(Reason.PROMISE_NOT_IN_BUNDLE, "whoever made the bundle put none in")
    try:
        made = verify_promise(promise, keys.keys)
    except PromiseError as error:
        reason = _PROMISE_REASONS.get(error.reason, Reason.PROMISE_MALFORMED)
        raise EvidenceInvalid(reason, error.detail) from error
    if statement not in made.statement_ids:
        raise EvidenceInvalid(
            Reason.PROMISE_OTHER_STATEMENT,
            f"the promise is about {len(made.statement_ids)} statements, {statement} is not one of them",
        )
    return made


def _check_linked(checkpoint: Checkpoint, consistency: tuple[bytes, ...] | None, anchor: AnchorEvent) -> None:
    if (consistency is None) != (checkpoint.size == anchor.size):
        raise EvidenceInvalid(
            Reason.SIZE_NOT_LINKED,
            f"sizes {checkpoint.size} and {anchor.size}: a proof goes with different ones, and only then",
        )
    heads = sorted([(checkpoint.size, bytes(checkpoint.root)), (anchor.size, bytes(anchor.root))])
    (old, old_root), (new, new_root) = heads
    try:
        verify_consistency(old, new, old_root, new_root, consistency or ())
    except ProofInvalid as error:
        raise EvidenceInvalid(Reason.SIZE_NOT_LINKED, str(error)) from error
