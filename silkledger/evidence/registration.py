"""That a statement is in the log, under the head whose anchor registered it.

The log's key is the one that the LogAnchor contract held for the origin at the registration block. The
receipt's tree size is not signed, and most paths verify under a neighbouring size: so it must equal the
checkpoint's, and the checkpoint's must equal the anchor's or be linked to it by a consistency proof.
"""

from __future__ import annotations

from typing import Final

from silkledger.evidence.anchor import AnchorEvent
from silkledger.evidence.bundle import Contract
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.proven_histories import ProvenHistories
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.log.checkpoint import (
    Checkpoint,
    LogVerifierKey,
    NoteError,
    NoteKeyType,
    parse_note,
    verify_note,
)
from silkledger.log.receipt import ReceiptError, VerifiedReceipt, verify_receipt
from silkledger.log.tree import ProofInvalid, verify_consistency
from silkledger.registry.histories import origin_id
from silkledger.registry.origins import origin_registration

_KEY_SIZE: Final = 33
"""Registered log keys: signature type byte and public key, as in a C2SP verifier key."""

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


def registered_log_key(
    checkpoint: bytes, anchor: AnchorEvent, histories: ProvenHistories, block: int, pinned: PinnedLog | None
) -> LogVerifierKey:
    """The log's verifier key, as registered on the ledger at the end of `block`.

    Steps: (1) the checkpoint names an origin, and it is the anchor's; (2) that origin was registered; (3) its
    key is of a kind known here; (4) it is the pinned one, where one is pinned.

    Raises:
        EvidenceInvalid: CHECKPOINT_MALFORMED, ORIGIN_MISMATCH, ORIGIN_NOT_REGISTERED, LOG_KEY_UNREADABLE,
            LOG_KEY_NOT_PINNED.
        HistoryMissing: the bundle proves nothing about the origin.
    """
    origin = _claimed(checkpoint).origin  # (1)
    if origin_id(origin) != anchor.origin_id:
        raise EvidenceInvalid(Reason.ORIGIN_MISMATCH, f"the anchor is not of the log {origin}")
    records = histories.records(Contract.LOG_ANCHOR, anchor.origin_id)
    registration = origin_registration(records, block)  # (2)
    if registration is None:
        raise EvidenceInvalid(Reason.ORIGIN_NOT_REGISTERED, f"{origin} was not registered at block {block}")
    key = registration.log_key  # (3)
    if len(key) != _KEY_SIZE or key[0] != NoteKeyType.ED25519:
        raise EvidenceInvalid(
            Reason.LOG_KEY_UNREADABLE, f"{origin} is registered with an unknown kind of key"
        )
    found = LogVerifierKey(origin, key[1:])
    if pinned is not None and (pinned.origin, pinned.verifier_key) != (origin, str(found)):  # (4)
        raise EvidenceInvalid(Reason.LOG_KEY_NOT_PINNED, f"{pinned.verifier_key} is pinned, not {found}")
    return found


def _text(checkpoint: bytes) -> str:
    try:
        return checkpoint.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceInvalid(Reason.CHECKPOINT_MALFORMED, "the checkpoint is not UTF-8") from error


def _claimed(checkpoint: bytes) -> Checkpoint:
    """What the checkpoint says, before any signature is verified."""
    try:
        note = parse_note(_text(checkpoint))
        claimed = Checkpoint.parse_body(note.body)
    except NoteError as error:
        raise EvidenceInvalid(Reason.CHECKPOINT_MALFORMED, str(error)) from error
    if len(note.signatures) != 1:
        # Further lines would stand in the bundle unverified.
        raise EvidenceInvalid(Reason.CHECKPOINT_MALFORMED, "the checkpoint must have one signature line")
    return claimed


def verify_checkpoint(checkpoint: bytes, key: LogVerifierKey) -> Checkpoint:
    """The checkpoint, signed by `key`.

    Raises:
        EvidenceInvalid: CHECKPOINT_MALFORMED, CHECKPOINT_KEY, CHECKPOINT_SIGNATURE, ORIGIN_MISMATCH.
    """
    _claimed(checkpoint)
    try:
        return verify_note(_text(checkpoint), key)
    except NoteError as error:
        reason = _CHECKPOINT_REASONS.get(error.reason, Reason.CHECKPOINT_MALFORMED)
        raise EvidenceInvalid(reason, error.detail) from error


def verify_log_receipt(
    receipt: bytes, statement: bytes, key: LogVerifierKey, checkpoint: Checkpoint
) -> VerifiedReceipt:
    """That `statement` is a leaf under `checkpoint`.

    Raises:
        EvidenceInvalid: the RECEIPT_… codes.
    """
    try:
        return verify_receipt(receipt, statement, key, checkpoint)
    except ReceiptError as error:
        reason = _RECEIPT_REASONS.get(error.reason, Reason.RECEIPT_MALFORMED)
        raise EvidenceInvalid(reason, error.detail) from error


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
