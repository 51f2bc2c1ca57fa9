"""Breach of promise: proof that a log had not logged a statement by the time it promised to.

A promise, a head of the log that a witness dated after that time, and every entry up to that head, none of
which is the statement. One closed CBOR file (docs/formats/breach.md), verified offline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from silkledger import cbor, cose
from silkledger.envelope import StatementError, read_sign1
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.log.checkpoint import (
    Checkpoint,
    LogKeys,
    LogVerifierKey,
    NoteError,
    named_keys,
    parse_note,
    verify_cosignature,
    verify_note,
)
from silkledger.log.promise import Promise, PromiseError, verify_promise
from silkledger.log.tree import Tree
from silkledger.values import StatementId, ValueShapeError

VERSION: Final = 1
MAX_PROOF_BYTES: Final = 64 * 1024 * 1024
"""Largest proof read: about 100,000 entries."""


@dataclass(frozen=True, slots=True)
class BreachProof:
    """The file's content. A parsed proof has the right form; that is all."""

    promise: bytes
    statement_id: StatementId
    checkpoint: bytes
    """Signed note with exactly two lines: the log's, and the witness's dated one."""
    entries: tuple[bytes, ...]
    """All entries under the checkpoint, in order."""

    def encode(self) -> bytes:
        """The one encoding of this proof."""
        return cbor.encode(
            {
                1: VERSION,
                2: self.promise,
                3: bytes(self.statement_id),
                4: self.checkpoint,
                5: list(self.entries),
            }
        )


@dataclass(frozen=True, slots=True)
class Breach:
    """What was proven."""

    promise: Promise
    statement_id: StatementId
    head: Checkpoint
    dated_s: int
    """Unix seconds by the witness's clock, after the promise's `log_by_ms`."""


def decode_breach(data: bytes) -> BreachProof:
    """The proof whose encoding is `data`. Not a verification. Raises: EvidenceInvalid PROOF_MALFORMED."""
    if len(data) > MAX_PROOF_BYTES:
        raise _malformed(f"{len(data)} bytes exceed {MAX_PROOF_BYTES}")
    try:
        value = cbor.decode(data)
    except cbor.CborError as error:
        raise _malformed(str(error)) from error
    if not isinstance(value, dict) or set(value) != {1, 2, 3, 4, 5}:
        raise _malformed("must be a map with the keys 1 to 5")
    version, promise, identifier, note, entries = (value[key] for key in range(1, 6))
    if type(version) is not int or version != VERSION:
        raise _malformed(f"not of version {VERSION}")
    if not isinstance(promise, bytes) or not isinstance(identifier, bytes) or not isinstance(note, bytes):
        raise _malformed("promise, id and checkpoint must be byte strings")
    if not isinstance(entries, list) or not all(isinstance(entry, bytes) for entry in entries):
        raise _malformed("entries must be byte strings")
    try:
        listed = tuple(entry for entry in entries if isinstance(entry, bytes))
        return BreachProof(promise, StatementId(identifier), note, listed)
    except ValueShapeError as error:
        raise _malformed(str(error)) from error


def _malformed(detail: str) -> EvidenceInvalid:
    return EvidenceInvalid(Reason.PROOF_MALFORMED, detail)


def verify_breach(data: bytes, log: LogKeys, witness: LogVerifierKey) -> Breach:
    """That the log of `log` broke a promise, by a head that `witness` dated. The verifier pins all keys.

    `log` are the keys that the log had: it may have changed its key between promise and head.

    Steps: (1) the log made the promise, and for this statement; (2) the same log signed the checkpoint, and
    the witness dated it, and nothing else stands in the note; (3) that date is after the time promised; (4)
    the entries are all that the checkpoint covers; (5) none of them is the statement, however it is signed.

    Guarantees that the largest head known to the witness at that date lacked the statement. This does not
    exclude that the log had a larger head which it withheld from the witness until then, nor does it say why
    the promise was broken. Wrong clocks of log and witness are not made up for.

    Raises:
        EvidenceInvalid: PROOF_MALFORMED, PROMISE_NOT_MADE, CHECKPOINT_MALFORMED, CHECKPOINT_KEY,
            CHECKPOINT_SIGNATURE, ORIGIN_MISMATCH, HEAD_NOT_DATED, PROMISE_NOT_DUE, ENTRIES_MISMATCH,
            STATEMENT_LOGGED.
    """
    proof = decode_breach(data)
    promise = _promise(proof, log)  # (1)
    head, dated = _dated_head(proof.checkpoint, log, witness)  # (2)
    if head.origin != promise.origin:
        raise EvidenceInvalid(
            Reason.ORIGIN_MISMATCH, f"a promise of {promise.origin}, a head of {head.origin}"
        )
    if dated * 1000 <= promise.log_by_ms:  # (3)
        raise EvidenceInvalid(Reason.PROMISE_NOT_DUE, "the head is dated before the time promised")
    tree = Tree()
    tree.extend(proof.entries)
    if tree.size != head.size or tree.root() != head.root:  # (4)
        raise EvidenceInvalid(Reason.ENTRIES_MISMATCH, f"these are not the {head.size} entries of the head")
    for index, entry in enumerate(proof.entries):  # (5)
        if _id_of(entry) == proof.statement_id:
            raise EvidenceInvalid(Reason.STATEMENT_LOGGED, f"entry {index} is the statement")
    return Breach(promise, proof.statement_id, head, dated)


def _promise(proof: BreachProof, log: LogKeys) -> Promise:
    try:
        promise = verify_promise(proof.promise, log)
    except PromiseError as error:
        raise EvidenceInvalid(Reason.PROMISE_NOT_MADE, str(error)) from error
    if proof.statement_id not in promise.statement_ids:
        raise EvidenceInvalid(Reason.PROMISE_NOT_MADE, f"nothing is promised of {proof.statement_id}")
    return promise


_NOTE_REASONS: Final = {
    "NOTE_NOT_SIGNED": Reason.CHECKPOINT_KEY,
    "NOTE_SIGNATURE_INVALID": Reason.CHECKPOINT_SIGNATURE,
}


def _dated_head(note: bytes, log: LogKeys, witness: LogVerifierKey) -> tuple[Checkpoint, int]:
    try:
        text = note.decode("utf-8")
        lines = parse_note(text).signatures
        head = verify_note(text, log)
    except UnicodeDecodeError as error:
        raise EvidenceInvalid(Reason.CHECKPOINT_MALFORMED, "the checkpoint is not UTF-8") from error
    except NoteError as error:
        raise EvidenceInvalid(
            _NOTE_REASONS.get(error.reason, Reason.CHECKPOINT_MALFORMED), error.detail
        ) from error
    if len(lines) != 2:
        raise EvidenceInvalid(
            Reason.CHECKPOINT_MALFORMED, "the note must have the log's and the witness's line"
        )
    try:
        return head, verify_cosignature(text, witness)
    except NoteError as error:
        raise EvidenceInvalid(Reason.HEAD_NOT_DATED, error.detail) from error


def _id_of(entry: bytes) -> bytes | None:
    """The statement id of an entry; None for one that is no COSE_Sign1 and so has none."""
    try:
        sign1 = read_sign1(entry)
    except (StatementError, cose.CoseError):
        return None
    return hashlib.sha256(cose.sig_structure(sign1.protected_raw, sign1.payload or b"")).digest()


def prove_breach(
    promise: bytes,
    statement_id: StatementId,
    note: str,
    entries: Sequence[bytes],
    log: LogKeys,
    witness: LogVerifierKey,
) -> BreachProof:
    """Pack a breach. Of the lines of `note`, the log's first and the witness's are kept. Not a verification.

    Raises:
        EvidenceInvalid: CHECKPOINT_MALFORMED.
    """
    try:
        parsed = parse_note(note)
    except NoteError as error:
        raise EvidenceInvalid(Reason.CHECKPOINT_MALFORMED, str(error)) from error
    mine = [line for line in parsed.signatures if named_keys(log, line.key_id, line.name)]
    dated = [line for line in parsed.signatures if named_keys(witness, line.key_id, line.name)]
    kept = [*mine[:1], *dated]
    text = parsed.body + "\n" + "".join(line.line() for line in kept)
    return BreachProof(promise, statement_id, text.encode(), tuple(entries))
