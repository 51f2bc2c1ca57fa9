"""Putting a bundle together from parts that were gathered elsewhere. Pure: the gathering is
`silkledger.evm.capture`.

Nothing here is a verification: a bundle made of wrong parts does not verify.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from silkledger.envelope import SignedObject
from silkledger.evidence import issuer as issuers
from silkledger.evidence.anchor import AnchorEvent, decode_anchored
from silkledger.evidence.bundle import (
    AnchorSection,
    Bundle,
    Contract,
    ContractState,
    DocumentSection,
    History,
    LogSection,
    NetworkSection,
)
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.proven_histories import HistoryNotProven, ProvenHistories
from silkledger.evidence.receipts import Receipt, prove_receipt
from silkledger.evidence.trie import EMPTY_TRIE
from silkledger.log.checkpoint import Note, parse_note
from silkledger.manifest import ManifestLeaf, manifest_tree
from silkledger.registry.histories import HistoryRecord, history_slot, origin_id
from silkledger.values import Address, CountryCode

Histories = dict[Contract, dict[bytes, tuple[HistoryRecord, ...]]]
"""Record lists by contract and key."""


@dataclass(frozen=True, slots=True)
class StateParts:
    """One contract's proofs at the as-of block, as the node gave them."""

    account_proof: Sequence[bytes]
    slot_proofs: Mapping[int, Sequence[bytes]]
    """Storage slot → trie nodes."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a bundle is made of."""

    statement: bytes
    """A signed statement or a manifest."""
    log: LogSection
    anchor_block: int
    anchor_receipts: Sequence[Receipt]
    """All receipts of the registration block, in order."""
    transaction_index: int
    log_index: int
    """Within the transaction's receipt."""
    headers: Sequence[Header]
    network: NetworkSection
    histories: Histories
    states: Mapping[Contract, StateParts]
    document: DocumentSection | None = None
    """Exactly with a manifest."""
    promise: bytes | None = None


def assemble(parts: Parts) -> Bundle:
    """The bundle of these parts. Raises: KeyError if a history has no proof."""
    proof = prove_receipt(parts.anchor_receipts, parts.transaction_index)
    anchor = AnchorSection(parts.anchor_block, parts.transaction_index, parts.log_index, tuple(proof))
    states = tuple(
        _state(contract, parts.histories[contract], parts.states[contract])
        for contract in sorted(parts.histories)
    )
    headers = tuple(header.entry for header in sorted(parts.headers, key=lambda header: header.number))
    return Bundle(
        parts.statement, parts.log, anchor, headers, parts.network, states, parts.document, parts.promise
    )


def document_section(leaves: Sequence[ManifestLeaf], index: int) -> DocumentSection:
    """The proof of document `index` of the manifest over `leaves`. Raises: IndexError, StatementError."""
    path = manifest_tree(leaves).inclusion_path(index)
    return DocumentSection(leaves[index].encode(), index, tuple(path))


def cosigned(log: LogSection, cosignatures: Mapping[str, str]) -> LogSection:
    """`log` with these lines too in its checkpoint, by their witnesses' verifier keys, in the one order that
    a bundle has them in. A line by a witness that is there already takes the place of its older one.

    Raises:
        NoteError: the checkpoint is no signed note.
    """
    note = parse_note(log.checkpoint.decode("utf-8", "replace"))
    present = dict(zip(log.cosigners, (line.line() for line in note.signatures[1:]), strict=False))
    lines = present | dict(cosignatures)
    cosigners = tuple(sorted(lines, key=str.encode))
    text = Note(note.body, note.signatures[:1]).text() + "".join(lines[cosigner] for cosigner in cosigners)
    return replace(log, checkpoint=text.encode(), cosigners=cosigners)


def _state(
    contract: Contract, histories: Mapping[bytes, tuple[HistoryRecord, ...]], proofs: StateParts
) -> ContractState:
    return ContractState(
        contract,
        tuple(proofs.account_proof),
        tuple(
            History(key, tuple(histories[key]), _one_form(proofs.slot_proofs[slot_of(key)]))
            for key in sorted(histories)
        ),
    )


def _one_form(proof: Sequence[bytes]) -> tuple[bytes, ...]:
    """The proof. That of the empty trie is no node, where some give its one encoding: so that a bundle is the
    same whoever was asked.
    """
    return () if list(proof) == [EMPTY_TRIE] else tuple(proof)


def slot_of(key: bytes) -> int:
    """The storage slot that holds the head of the history `key`, in any of the contracts."""
    return int.from_bytes(history_slot(key), "big")


def find_anchor(
    receipts: Sequence[Receipt], log_anchor: Address, origin: str, leaf_index: int
) -> tuple[int, int, AnchorEvent] | None:
    """The anchor event among a block's receipts that was the first to cover the leaf.

    Its transaction index, its position in that transaction's receipt, and the event; None if there is none.
    """
    for transaction_index, receipt in enumerate(receipts):
        for log_index, log in enumerate(receipt.logs):
            try:
                event = decode_anchored(log, log_anchor)
            except EvidenceInvalid:
                continue
            if event.origin_id == origin_id(origin) and event.previous_size <= leaf_index < event.size:
                return transaction_index, log_index, event
    return None


def missing_histories(
    statement: SignedObject,
    origin: str,
    relying: Sequence[CountryCode],
    parent_block: int,
    as_of_block: int,
    have: Histories,
) -> set[tuple[Contract, bytes]]:
    """Histories that verification will ask for and that `have` lacks. Fetch them, add them, ask again.

    Which histories are needed depends on what others say (an accreditation names the one above it), so it
    takes a few rounds until the answer is empty. What is recorded nowhere is needed too, as an empty list:
    its absence is proven.
    """
    proven = ProvenHistories(have)

    def authority(country: CountryCode, at_block: int, known_at: int) -> Callable[[], object]:
        return lambda: issuers.authority(statement, proven, country, at_block, known_at)

    questions: list[Callable[[], object]] = [
        lambda: proven.records(Contract.LOG_ANCHOR, origin_id(origin)),
        lambda: issuers.status_records(statement, proven),
    ]
    for country in relying:
        questions.append(authority(country, parent_block, parent_block))
        questions.append(authority(country, parent_block, as_of_block))
        questions.append(authority(country, as_of_block, as_of_block))
    missing: set[tuple[Contract, bytes]] = set()
    for question in questions:
        try:
            question()
        except HistoryNotProven as error:
            missing.add((error.contract, error.key))
    return missing
