"""Equivocation: proof that one signer signed two things of which at most one can be true.

Three kinds: two blocks of one height, each sealed by a quorum; two checkpoints of one log and size with
different roots; two status lists of one issuer, series and sequence. A proof is one closed CBOR file
(docs/formats/equivocation.md) that anybody verifies offline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeGuard

from silkledger import cbor
from silkledger.evidence.bundle import Contract
from silkledger.evidence.contract_lineage import ContractRules, validators_at
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.header_trust import trust_headers
from silkledger.evidence.history_section import HistorySection, read_section, verify_section
from silkledger.evidence.list_equivocation import (
    read_lists,
    verify_identity,
    verify_signatures,
)
from silkledger.evidence.qbft import extra_data_of, verify_contract_seals, verify_seals
from silkledger.evidence.reasons import Reason
from silkledger.evidence.registration import CountingKeys, readable_keys, verify_checkpoint
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.log.checkpoint import LogVerifierKey, NoteError, log_name
from silkledger.registry.histories import RecordInvalid, origin_id
from silkledger.registry.origins import origin_history
from silkledger.values import Address

VERSION: Final = 1
MAX_PROOF_BYTES: Final = 32 * 1024 * 1024
"""Largest proof read."""


class Kind(IntEnum):
    """What was signed twice, by its number in the file."""

    HEADERS = 1
    CHECKPOINTS = 2
    STATUS_LISTS = 3


@dataclass(frozen=True, slots=True)
class EquivocationProof:
    """The file's content. A parsed proof has the right form; that is all."""

    kind: Kind
    pair: tuple[bytes, bytes]
    """Two raw headers, signed notes or signed status lists, in bytewise order."""
    lineage: tuple[bytes, ...] = ()
    """Headers: raw headers from a block that verifiers pin up to the two. They prove the validators."""
    log_keys: tuple[str, ...] = ()
    """Checkpoints: the C2SP verifier key that signed both; or, of a log that changed its key, the two that
    signed
    one each, in the order of the pair."""
    issuer_key: str = ""
    """Status lists: the key that signed both, as Multikey."""
    history: HistorySection | None = None
    """Checkpoints: of the log's origin, that it had these keys. Status lists: of the issuer's identity, that
    the key
    is the issuer's. None if that is not to be shown."""

    def encode(self) -> bytes:
        """The one encoding of this proof."""
        by: object = {
            Kind.HEADERS: list(self.lineage),
            Kind.CHECKPOINTS: self.log_keys[0] if len(self.log_keys) == 1 else list(self.log_keys),
            Kind.STATUS_LISTS: self.issuer_key,
        }[self.kind]
        value: dict[int, object] = {1: VERSION, 2: int(self.kind), 3: list(self.pair), 4: by}
        if self.history is not None:
            value[5] = self.history.value()
        return cbor.encode(value)


@dataclass(frozen=True, slots=True)
class Equivocation:
    """What was proven."""

    kind: Kind
    subject: str
    """The height, the log's origin and size, or the list's id, sequence and issuer."""
    values: tuple[str, str]
    """The two block hashes, roots or digests."""
    signers: tuple[str, ...]
    """Who signed both: validators' addresses, the issuer's key with its name, or the log's verifier key; two
    of
    those, if it signed one with each."""
    each_at_fault: bool
    """Whether every signer named broke the protocol. True for a log, an issuer, and for seals of one round:
    no correct validator commits twice in a round. Seals of different rounds prove that at least a third of
    the validators are faulty, but a correct one may be among those named (it can be led to a later round)."""
    pinned: bool
    """Whether the verifier's own trust roots say who these signers are. If not, only that the keys named
    signed both is proven, not that they are the network's, the log's or the issuer's."""


def prove_headers(one: bytes, other: bytes, lineage: Sequence[bytes] = ()) -> EquivocationProof:
    """Pack two raw headers of one height. Not a verification: call `verify_equivocation` on the result."""
    first, second = sorted((one, other))
    return EquivocationProof(Kind.HEADERS, (first, second), lineage=tuple(lineage))


def prove_checkpoints(
    one: bytes, other: bytes, log_key: str, other_key: str = "", history: HistorySection | None = None
) -> EquivocationProof:
    """Pack two signed notes, each with one signature line of the log alone: by `log_key`, and the other one
    by `other_key` where it is another. Not a verification.
    """
    (first, key), (second, key_of_second) = sorted(((one, log_key), (other, other_key or log_key)))
    keys = (key,) if key == key_of_second else (key, key_of_second)
    return EquivocationProof(Kind.CHECKPOINTS, (first, second), log_keys=keys, history=history)


def prove_status_lists(
    one: bytes, other: bytes, issuer_key: str, identity: HistorySection | None = None
) -> EquivocationProof:
    """Pack two signed status lists. Not a verification."""
    first, second = sorted((one, other))
    return EquivocationProof(Kind.STATUS_LISTS, (first, second), issuer_key=issuer_key, history=identity)


def decode_equivocation(data: bytes) -> EquivocationProof:
    """The proof whose encoding is `data`. Not a verification. Raises: EvidenceInvalid PROOF_MALFORMED."""
    if len(data) > MAX_PROOF_BYTES:
        raise _malformed(f"{len(data)} bytes exceed {MAX_PROOF_BYTES}")
    try:
        value = cbor.decode(data)
    except cbor.CborError as error:
        raise _malformed(str(error)) from error
    if not isinstance(value, dict) or not {1, 2, 3, 4} <= set(value) <= {1, 2, 3, 4, 5}:
        raise _malformed("must be a map with the keys 1 to 4, and perhaps 5")
    if not _is_int(value[1], VERSION):
        raise _malformed(f"must be of version {VERSION}")
    pair, by = value[3], value[4]
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(item, bytes) for item in pair):
        raise _malformed("3 must hold two byte strings")
    if _is_int(value[2], Kind.HEADERS) and isinstance(by, list) and all(isinstance(h, bytes) for h in by):
        proof = prove_headers(pair[0], pair[1], by)
    elif _is_int(value[2], Kind.CHECKPOINTS) and isinstance(by, str):
        proof = prove_checkpoints(pair[0], pair[1], by, history=_history(value))
    elif _is_int(value[2], Kind.CHECKPOINTS) and _are_two_keys(by):
        proof = prove_checkpoints(pair[0], pair[1], by[0], by[1], _history(value))
    elif _is_int(value[2], Kind.STATUS_LISTS) and isinstance(by, str):
        proof = prove_status_lists(pair[0], pair[1], by, _history(value))
    else:
        raise _malformed("2 must be 1 with headers in 4, or 2 or 3 with a key, or 2 with two, in 4")
    if proof.kind is Kind.CHECKPOINTS:
        _log_keys(proof)
    if proof.encode() != data:
        raise _malformed("the proof does not re-encode to the same bytes")
    return proof


def _history(value: dict[Any, Any]) -> HistorySection | None:
    return read_section(value[5]) if 5 in value else None


def _are_two_keys(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(key, str) for key in value)


def _is_int(value: object, wanted: int) -> bool:
    return type(value) is int and value == wanted


def _malformed(detail: str) -> EvidenceInvalid:
    return EvidenceInvalid(Reason.PROOF_MALFORMED, detail)


def verify_equivocation(data: bytes, roots: TrustRoots | None = None) -> Equivocation:
    """What the proof `data` proves. With `roots`, also that the signers are this network's or the pinned log.

    Guarantees that the keys named signed both of two contradicting things. Without `roots` it says nothing
    about whose keys these are: anybody can seal two blocks with keys of his own.

    Raises:
        EvidenceInvalid: PROOF_MALFORMED; NO_CONTRADICTION; NO_DOUBLE_SIGNER; with `roots`, whatever
            `trust_headers` raises where a header is not sealed along the lineage, LOG_KEY_NOT_PINNED,
            ORIGIN_NOT_REGISTERED, HISTORY_RECORD, and what `verify_section` raises; and
            the codes of headers, seals and checkpoints; those of silkledger.evidence.list_equivocation.
    """
    proof = decode_equivocation(data)
    if proof.kind is Kind.HEADERS:
        return _verify_headers(proof, roots)
    if proof.kind is Kind.CHECKPOINTS:
        return _verify_checkpoints(proof, roots)
    return _verify_status_lists(proof, roots)


def _verify_headers(proof: EquivocationProof, roots: TrustRoots | None) -> Equivocation:
    """(1) One height, two blocks; (2) each sealed by a quorum of the validators it names, or in contract mode
    of those that the parent proves; (3) the lineage leads to both from a pinned block; (4) somebody sealed
    both."""
    one, other = (decode_header(raw, EngineKind.QBFT) for raw in proof.pair)
    if one.number != other.number or one.hash == other.hash:  # (1)
        raise EvidenceInvalid(Reason.NO_CONTRADICTION, f"blocks {one.number} and {other.number} can both be")
    before = [decode_header(raw, EngineKind.QBFT) for raw in proof.lineage]
    rules = roots.rules if roots is not None else None
    members = _proven_members(one, before, rules) if isinstance(rules, ContractRules) else None
    signers = _sealers(one, members) & _sealers(other, members)  # (2)
    if roots is not None:  # (3)
        for header in (one, other):
            trust_headers([*before, header], roots)
    if not signers:  # (4)
        raise EvidenceInvalid(Reason.NO_DOUBLE_SIGNER, f"no validator sealed both blocks {one.number}")
    return Equivocation(
        kind=Kind.HEADERS,
        subject=f"block {one.number}",
        values=(str(one.hash), str(other.hash)),
        signers=tuple(str(signer) for signer in sorted(signers)),
        each_at_fault=extra_data_of(one).round == extra_data_of(other).round,
        pinned=roots is not None,
    )


def _sealers(header: Header, members: frozenset[Address] | None) -> frozenset[Address]:
    """Who sealed it: a quorum of those whom it names, or in contract mode of `members`."""
    if members is not None:
        return verify_contract_seals(header, members)
    return verify_seals(header, extra_data_of(header).validators)


def _proven_members(header: Header, before: Sequence[Header], rules: ContractRules) -> frozenset[Address]:
    """Contract mode: who validates both blocks, as their parent, the last of the lineage, proves."""
    parent = before[-1] if before else None
    if parent is None or parent.validators_proof is None or parent.number + 1 != header.number:
        raise EvidenceInvalid(
            Reason.VALIDATORS_NOT_PROVEN, f"nothing proves who the validators of block {header.number} are"
        )
    return validators_at(parent, parent.validators_proof, rules)


def _verify_checkpoints(proof: EquivocationProof, roots: TrustRoots | None) -> Equivocation:
    """(1) The keys read, of one log; (2) each signed its checkpoint; (3) one size, two roots; (4) the log had
    these
    keys, if its history is in the proof; (5) it is the pinned log."""
    keys = _log_keys(proof)  # (1)
    origin = log_name(keys)
    signers = (keys[0], keys[-1])
    one, other = (  # (2)
        verify_checkpoint(note, CountingKeys.given(key))
        for note, key in zip(proof.pair, signers, strict=True)
    )
    if one.size != other.size or one.root == other.root:  # (3)
        raise EvidenceInvalid(
            Reason.NO_CONTRADICTION, f"heads of {one.size} and {other.size} leaves can both be"
        )
    had = None if roots is None or proof.history is None else keys_in(proof.history, origin, roots)
    for key in keys:  # (4)
        if had is not None and key not in had:
            raise EvidenceInvalid(Reason.CHECKPOINT_KEY, f"the log {origin} never had the key {key}")
    pinned = roots.log if roots is not None else None
    if pinned is not None:  # (5)
        named = {str(key) for key in had} if had is not None else {pinned.verifier_key}
        if pinned.origin != origin or pinned.verifier_key not in named:
            raise EvidenceInvalid(Reason.LOG_KEY_NOT_PINNED, f"{pinned.verifier_key} is pinned")
        if had is None and any(str(key) != pinned.verifier_key for key in keys):
            raise EvidenceInvalid(
                Reason.LOG_KEY_NOT_PINNED, f"{pinned.verifier_key} is pinned, and nothing proves the others"
            )
    return Equivocation(
        kind=Kind.CHECKPOINTS,
        subject=f"log {one.origin} of {one.size} leaves",
        values=(f"0x{one.root.hex()}", f"0x{other.root.hex()}"),
        signers=tuple(map(str, keys)),
        each_at_fault=True,
        pinned=pinned is not None or had is not None,
    )


def _log_keys(proof: EquivocationProof) -> list[LogVerifierKey]:
    """Raises: EvidenceInvalid PROOF_MALFORMED: a text is no verifier key, or they are of two logs."""
    try:
        keys = [LogVerifierKey.parse(key) for key in proof.log_keys]
        log_name(keys)
    except NoteError as error:
        raise _malformed(str(error)) from error
    return keys


def keys_in(section: HistorySection, origin: str, roots: TrustRoots) -> list[LogVerifierKey]:
    """Every key that the log `origin` ever had, by its proven history.

    Raises:
        EvidenceInvalid: ORIGIN_NOT_REGISTERED, HISTORY_RECORD, and what `verify_section` raises.
    """
    verify_section(section, Contract.LOG_ANCHOR, origin_id(origin), roots)
    try:
        history = origin_history(section.records)
    except RecordInvalid as error:
        raise EvidenceInvalid(Reason.HISTORY_RECORD, str(error)) from error
    if history is None:
        raise EvidenceInvalid(Reason.ORIGIN_NOT_REGISTERED, f"{origin} is not registered")
    return [key for key, _ in readable_keys(origin, history)]


def _verify_status_lists(proof: EquivocationProof, roots: TrustRoots | None) -> Equivocation:
    """(1) Two lists of one issuer, id and sequence; (2) one key signed both; (3) it was the issuer's."""
    one, other = lists = read_lists(proof.pair)  # (1)
    key = verify_signatures(lists, proof.issuer_key)  # (2)
    if roots is not None and proof.history is not None:  # (3)
        verify_identity(proof.history, one, key, roots)
    return Equivocation(
        kind=Kind.STATUS_LISTS,
        subject=f"status list {one.id}, sequence {one.sequence}, of {one.issuer}",
        values=(str(one.digest), str(other.digest)),
        signers=(f"{one.method} {key.to_multikey()}",),
        each_at_fault=True,
        pinned=roots is not None and proof.history is not None,
    )
