"""Cosignatures of the bundle's checkpoint by witnesses (C2SP tlog-cosignature, v1).

A cosignature says that its witness saw this head as one that extends all it had seen before: the log did not
show others another history. Every line in a bundle is verified, under the key that the bundle names for it;
only those of witnesses that the trust roots pin count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.evidence.times import utc
from silkledger.evidence.trust_roots import PinnedWitnesses
from silkledger.log.checkpoint import (
    LogVerifierKey,
    NoteError,
    NoteKeyType,
    NoteSignature,
    parse_note,
    verify_cosignature_line,
)


@dataclass(frozen=True, slots=True)
class Cosignature:
    """One verified line."""

    witness: LogVerifierKey
    time: int
    """Unix seconds by the witness's clock."""

    def __str__(self) -> str:
        return f"{self.witness.name} ({utc(self.time)})"


def verify_cosignatures(
    checkpoint: str, cosigners: Sequence[str], pinned: PinnedWitnesses | None
) -> tuple[Cosignature, ...]:
    """The cosignatures by pinned witnesses, which are enough.

    1. each line after the log's is by the key named for it, which is a witness's; 2. and verifies; 3. as many
    pinned witnesses as asked for are among them.

    Raises:
        EvidenceInvalid: COSIGNATURE_KEY, COSIGNATURE_INVALID, COSIGNATURES_TOO_FEW; where (3) is not asked
            for, WITNESSES_NOT_PINNED.
    """
    note = parse_note(checkpoint)
    found = [  # (1) (2)
        _verified(note.body, text, line) for text, line in zip(cosigners, note.signatures[1:], strict=True)
    ]
    if pinned is None:  # (3)
        others = f"; cosigned by {', '.join(map(str, found))}, whom nobody vouches for" if found else ""
        raise EvidenceInvalid(Reason.WITNESSES_NOT_PINNED, f"the trust roots pin no witnesses{others}")
    known = {str(witness) for witness in pinned.witnesses}
    counted = tuple(item for item in found if str(item.witness) in known)
    if len(counted) < pinned.threshold:
        raise EvidenceInvalid(
            Reason.COSIGNATURES_TOO_FEW,
            f"{len(counted)} of the {len(known)} pinned witnesses cosigned, {pinned.threshold} must have",
        )
    return counted


def _verified(body: str, text: str, line: NoteSignature) -> Cosignature:
    try:
        witness = LogVerifierKey.parse(text)
    except NoteError as error:
        raise EvidenceInvalid(Reason.COSIGNATURE_KEY, str(error)) from error
    named = (witness.name, witness.key_id)
    if witness.key_type is not NoteKeyType.COSIGNATURE_V1 or named != (line.name, line.key_id):
        raise EvidenceInvalid(
            Reason.COSIGNATURE_KEY, f"the line by {line.name} is not by the witness key {witness}"
        )
    try:
        return Cosignature(witness, verify_cosignature_line(body, line, witness))
    except NoteError as error:
        raise EvidenceInvalid(Reason.COSIGNATURE_INVALID, error.detail) from error
