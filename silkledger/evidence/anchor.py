"""Anchor events: a tree head put on the ledger by the LogAnchor contract, proven from the block's receipts.

The contract verified the RFC 9162 consistency proof from `prev_size` to `size`, so an anchored head extends
all earlier ones. The first anchor whose size exceeds a leaf's index is that leaf's registration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from silkledger.evidence.bundle import AnchorSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import EventLog, verify_receipt_proof
from silkledger.values import Address, MerkleRoot

ANCHORED_TOPIC: Final = keccak256(b"Anchored(bytes32,uint64,bytes32,uint64,bytes32)")
"""First topic of LogAnchor's event `Anchored`."""
_TYPES: Final = ("uint64", "bytes32", "uint64", "bytes32")


@dataclass(frozen=True, slots=True)
class AnchorEvent:
    """One anchored tree head."""

    origin_id: bytes
    """keccak of the log's origin."""
    size: int
    root: MerkleRoot
    previous_size: int
    previous_root: MerkleRoot


def decode_anchored(log: EventLog, log_anchor: Address) -> AnchorEvent:
    """The anchor event in `log`, which MUST have been emitted by `log_anchor`.

    Raises:
        EvidenceInvalid: ANCHOR_EVENT.
    """
    if log.address != log_anchor or len(log.topics) != 2 or log.topics[0] != ANCHORED_TOPIC:
        raise EvidenceInvalid(Reason.ANCHOR_EVENT, "the log is no anchor event of the LogAnchor contract")
    try:
        size, root, previous_size, previous_root = decode(_TYPES, log.data)
    except DecodingError as error:
        raise EvidenceInvalid(Reason.ANCHOR_EVENT, "the event's data are malformed") from error
    if encode(_TYPES, (size, root, previous_size, previous_root)) != log.data:
        raise EvidenceInvalid(Reason.ANCHOR_EVENT, "the event's data have another encoding")
    return AnchorEvent(log.topics[1], size, MerkleRoot(root), previous_size, MerkleRoot(previous_root))


def verify_anchor(section: AnchorSection, header: Header, log_anchor: Address) -> AnchorEvent:
    """The anchor event that `section` proves to be in the block of `header`.

    Raises:
        EvidenceInvalid: ANCHOR_LOG_INDEX, ANCHOR_EVENT, and what `verify_receipt_proof` raises.
    """
    receipt = verify_receipt_proof(header.receipts_root, section.transaction_index, section.receipt_proof)
    if section.log_index >= len(receipt.logs):
        raise EvidenceInvalid(
            Reason.ANCHOR_LOG_INDEX, f"the receipt has {len(receipt.logs)} logs, none at {section.log_index}"
        )
    return decode_anchored(receipt.logs[section.log_index], log_anchor)
