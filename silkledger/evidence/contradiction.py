"""Finding what contradicts itself in what one holds: headers, checkpoints, status lists, evidence bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from silkledger.evidence.bundle import Contract, decode_bundle
from silkledger.evidence.equivocation import (
    EquivocationProof,
    prove_checkpoints,
    prove_headers,
    prove_status_lists,
)
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.history_section import section_from
from silkledger.evidence.list_equivocation import identity_from, read_lists
from silkledger.evidence.qbft import extra_data_of
from silkledger.evidence.reasons import Reason
from silkledger.log.checkpoint import LogVerifierKey, Note, NoteError, NoteSignature, log_name, parse_note
from silkledger.registry.histories import origin_id


@dataclass(frozen=True, slots=True)
class _Held:
    """What one file holds: sealed headers by number, and a checkpoint."""

    headers: Mapping[int, Header]
    note: Note | None


def find_contradiction(
    one: bytes, other: bytes, log_keys: Sequence[str] = (), evidence: bytes | None = None
) -> EquivocationProof:
    """A proof from two files, each an evidence bundle, a raw QBFT header (or its hexadecimal), a checkpoint.

    The lowest height at which both have a block, and different ones, with the headers of the first below it
    as lineage; where there is none, the two checkpoints, each with the line of one of `log_keys` alone, of
    the same where it signed both. `evidence` is an evidence bundle of that log: it shows whose keys they are.
    Not a verification: call `verify_equivocation` on the encoded result.

    Raises:
        EvidenceInvalid: NO_CONTRADICTION where there is nothing of the kind; PROOF_MALFORMED for another key;
            HISTORY_NOT_IN_BUNDLE where the evidence is of another log, and the codes of its form.
    """
    mine, theirs = _held(one), _held(other)
    for number in sorted(mine.headers.keys() & theirs.headers.keys()):
        pair = mine.headers[number], theirs.headers[number]
        if pair[0].hash != pair[1].hash and all(extra_data_of(header).seals for header in pair):
            lineage = [mine.headers[below].entry for below in sorted(mine.headers) if below < number]
            return prove_headers(mine.headers[number].raw, theirs.headers[number].raw, lineage)
    if mine.note is None or theirs.note is None or not log_keys:
        detail = "the files share no height with two blocks" + (
            "" if log_keys else "; for checkpoints, name the log's key"
        )
        raise EvidenceInvalid(Reason.NO_CONTRADICTION, detail)
    return _checkpoints(mine.note, theirs.note, log_keys, evidence)


def _checkpoints(
    mine: Note, theirs: Note, log_keys: Sequence[str], evidence: bytes | None
) -> EquivocationProof:
    try:
        keys = [LogVerifierKey.parse(key) for key in log_keys]
        origin = log_name(keys)
    except NoteError as error:
        raise EvidenceInvalid(Reason.PROOF_MALFORMED, str(error)) from error
    history = None
    if evidence is not None:
        history = section_from(decode_bundle(evidence), Contract.LOG_ANCHOR, origin_id(origin))
        if history is None:
            raise EvidenceInvalid(
                Reason.HISTORY_NOT_IN_BUNDLE, f"the evidence proves nothing about the log {origin}"
            )
    signed = [[key for key in keys if _lines(note, key)] for note in (mine, theirs)]
    both = [key for key in signed[0] if key in signed[1]]
    # Where none of them signed a note, its verification will say so.
    key, other = (both[0], both[0]) if both else ((signed[0] or keys)[0], (signed[1] or keys)[0])
    return prove_checkpoints(_stripped(mine, key), _stripped(theirs, other), str(key), str(other), history)


def contradicting_lists(
    one: bytes, other: bytes, issuer_key: str, evidence: bytes | None = None
) -> EquivocationProof:
    """A proof from two signed status lists and the key that signed both (Multikey).

    `evidence` is an evidence bundle of any statement by the same issuer: it shows whose key it was. Not a
    verification: call `verify_equivocation` on the encoded result.

    Raises:
        EvidenceInvalid: NO_CONTRADICTION; STATUS_LIST_MALFORMED; HISTORY_NOT_IN_BUNDLE where the evidence
            proves nothing about the issuer's identity, and the codes of its form.
    """
    issuer = read_lists((one, other))[0].issuer
    identity = None
    if evidence is not None:
        identity = identity_from(decode_bundle(evidence), issuer)
        if identity is None:
            raise EvidenceInvalid(
                Reason.HISTORY_NOT_IN_BUNDLE, f"the evidence proves nothing about the identity of {issuer}"
            )
    return prove_status_lists(one, other, issuer_key, identity)


def _held(data: bytes) -> _Held:
    for read in (_from_bundle, _from_note):
        held = read(data)
        if held is not None:
            return held
    if data[:2] == b"0x":
        try:
            data = bytes.fromhex(data[2:].decode("ascii").strip())
        except ValueError as error:
            raise EvidenceInvalid(Reason.PROOF_MALFORMED, "not hexadecimal") from error
    header = decode_header(data, EngineKind.QBFT)
    return _Held({header.number: header}, None)


def _from_bundle(data: bytes) -> _Held | None:
    try:
        bundle = decode_bundle(data)
    except EvidenceInvalid:
        return None
    note = _from_note(bundle.log.checkpoint)
    try:
        headers = [decode_header(raw, EngineKind.QBFT) for raw in bundle.headers]
    except EvidenceInvalid:
        headers = []  # The engine has no seals: its headers accuse nobody.
    return _Held({header.number: header for header in headers}, note.note if note else None)


def _from_note(data: bytes) -> _Held | None:
    try:
        return _Held({}, parse_note(data.decode("utf-8")))
    except (NoteError, UnicodeDecodeError):
        return None


def _lines(note: Note, key: LogVerifierKey) -> tuple[NoteSignature, ...]:
    return tuple(line for line in note.signatures if (line.name, line.key_id) == (key.name, key.key_id))


def _stripped(note: Note, key: LogVerifierKey) -> bytes:
    """The note with the signature line of this key alone."""
    return replace(note, signatures=_lines(note, key)[:1]).text().encode()
