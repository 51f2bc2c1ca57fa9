"""Completeness: "these are all the events of this kind in this range", as one CBOR file.

Deterministic CBOR with integer keys, closed; nothing in it is believed, and there is no field that
`silkledger.evidence.completeness_verdict` does not check. CDDL: docs/formats/completeness.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from silkledger import cbor
from silkledger.evidence.bundle import NetworkSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.network import read_network
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import Receipt, bloom_may_contain
from silkledger.values import Address

VERSION: Final = 1
MAX_PROOF_BYTES: Final = 32 * 1024 * 1024
"""Largest proof read: about 50,000 blocks without such events. Longer ranges are proven piece by piece."""
_MAX_U64: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class EventQuestion:
    """Which events: all logs of one contract with one first topic, in blocks `first` to `last` inclusive.

    Raises:
        ValueError: the range is empty, or holds the genesis block, which has no transactions.
    """

    contract: Address
    topic: bytes
    """keccak of the event's signature, 32 bytes."""
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= _MAX_U64 or len(self.topic) != 32:
            raise ValueError("a question has a topic of 32 bytes and a range of blocks from 1 on")

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def may_be_in(self, header: Header) -> bool:
        """False only if the header's bloom shows that the block has no such event."""
        bloom = header.logs_bloom
        return bloom_may_contain(bloom, bytes(self.contract)) and bloom_may_contain(bloom, self.topic)


@dataclass(frozen=True, slots=True)
class BlockReceipts:
    """All receipts of one block, in order, each as its value in the receipts trie."""

    number: int
    receipts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CompletenessProof:
    """The file's content. A parsed proof has the right form; that is all."""

    network: NetworkSection
    question: EventQuestion
    headers: tuple[bytes, ...]
    """Raw headers, ascending: all of the range, and those that link it to what verifiers trust."""
    blocks: tuple[BlockReceipts, ...]
    """The blocks of the range whose bloom does not rule such an event out, ascending."""

    def encode(self) -> bytes:
        """The one encoding of this proof."""
        network, question = self.network, self.question
        return cbor.encode(
            {
                1: VERSION,
                2: {1: network.chain_id, 2: bytes(network.genesis_hash), 3: bytes(network.directory)},
                3: {1: bytes(question.contract), 2: question.topic, 3: question.first, 4: question.last},
                4: list(self.headers),
                5: [[block.number, list(block.receipts)] for block in self.blocks],
            }
        )


def prove_completeness(
    network: NetworkSection,
    question: EventQuestion,
    headers: Iterable[Header],
    receipts: Mapping[int, Sequence[Receipt]],
) -> CompletenessProof:
    """Pack what was gathered; of `receipts`, by block number, only those that are needed. Not a verification.

    Raises:
        KeyError: the receipts of a block are needed and not there.
    """
    ordered = sorted(headers, key=lambda header: header.number)
    needed = [h.number for h in ordered if h.number in question and question.may_be_in(h)]
    return CompletenessProof(
        network=network,
        question=question,
        headers=tuple(header.entry for header in ordered),
        blocks=tuple(BlockReceipts(n, tuple(receipt.encode() for receipt in receipts[n])) for n in needed),
    )


def decode_completeness(data: bytes) -> CompletenessProof:
    """The proof whose encoding is `data`. Not a verification of anything in it.

    Guarantees that `decode_completeness(data).encode() == data`.

    Raises:
        EvidenceInvalid: PROOF_MALFORMED.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise _malformed(f"{len(data)} bytes exceed {MAX_PROOF_BYTES}")
    try:
        value = cbor.decode(data)
    except cbor.CborError as error:
        raise _malformed(str(error)) from error
    fields = _map(value, "the proof", 5)
    if type(fields[1]) is not int or fields[1] != VERSION:
        raise _malformed(f"the proof is not of version {VERSION}")
    proof = CompletenessProof(
        network=read_network(fields[2]),
        question=_question(fields[3]),
        headers=_byte_strings(fields[4], "headers"),
        blocks=tuple(_block(item) for item in _list(fields[5], "blocks")),
    )
    if any(one.number >= other.number for one, other in pairwise(proof.blocks)):
        raise _malformed("blocks must ascend, none twice")
    if proof.encode() != data:
        raise _malformed("the proof does not re-encode to the same bytes")
    return proof


def _question(value: object) -> EventQuestion:
    fields = _map(value, "question", 4)
    contract, topic = _bytes(fields[1], "contract", 20), _bytes(fields[2], "topic", 32)
    try:
        return EventQuestion(
            Address(contract), topic, _uint(fields[3], "first block"), _uint(fields[4], "last block")
        )
    except ValueError as error:
        raise _malformed(str(error)) from error


def _block(value: object) -> BlockReceipts:
    parts = _list(value, "block")
    if len(parts) != 2:
        raise _malformed("a block is [number, receipts]")
    return BlockReceipts(_uint(parts[0], "block number"), _byte_strings(parts[1], "receipts"))


def _malformed(detail: str) -> EvidenceInvalid:
    return EvidenceInvalid(Reason.PROOF_MALFORMED, detail)


def _map(value: object, what: str, size: int) -> dict[int, object]:
    if not isinstance(value, dict) or value.keys() != set(range(1, size + 1)):
        raise _malformed(f"{what} must be a map with the keys 1 to {size}")
    return value


def _list(value: object, what: str) -> list[object]:
    if not isinstance(value, list):
        raise _malformed(f"{what} must be an array")
    return value


def _bytes(value: object, what: str, size: int | None = None) -> bytes:
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise _malformed(f"{what} must be a byte string" + (f" of {size} bytes" if size else ""))
    return value


def _byte_strings(value: object, what: str) -> tuple[bytes, ...]:
    return tuple(_bytes(item, what) for item in _list(value, what))


def _uint(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_U64:
        raise _malformed(f"{what} must be an unsigned 64-bit integer")
    return value
