"""Transaction receipts: typed encoding, bloom, the receipts trie, inclusion proofs.

A receipts trie maps `rlp(transaction index)` to the receipt. Rebuilding it from all receipts of a block
and comparing the root also proves completeness: no log of the block was left out. Besu's root leaves
the revert reason out, as here. Sources: yellow paper 4.3.1 and 4.4.3; EIP-658, EIP-2718.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.evidence import rlp, rpc
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trie import EMPTY_TRIE_ROOT, Trie, verify_proof
from silkledger.values import Address

BLOOM_SIZE: Final = 256
"""Bytes of a bloom filter."""
_MAX_TOPICS: Final = 4
_MAX_TYPE: Final = 0x7F
"""Largest transaction type byte of EIP-2718."""


@dataclass(frozen=True, slots=True)
class EventLog:
    """One log entry as the EVM recorded it."""

    address: Address
    topics: tuple[bytes, ...]
    """Up to four words of 32 bytes; the first is the event's signature hash."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """One transaction's receipt. `tx_type` 0 is a legacy transaction."""

    tx_type: int
    status: bool
    """Whether the transaction succeeded (EIP-658)."""
    cumulative_gas_used: int
    logs_bloom: bytes
    logs: tuple[EventLog, ...]

    def encode(self) -> bytes:
        """The value under this receipt's key in the receipts trie."""
        body = rlp.encode(
            [
                b"\x01" if self.status else b"",
                rlp.encode_int(self.cumulative_gas_used),
                self.logs_bloom,
                [[bytes(log.address), list(log.topics), log.data] for log in self.logs],
            ]
        )
        return bytes([self.tx_type]) + body if self.tx_type else body


def bloom_of(logs: Sequence[EventLog]) -> bytes:
    """The 2048-bit filter over the addresses and topics of `logs` (yellow paper 4.4.3, M3:2048)."""
    bits = 0
    for log in logs:
        for item in (bytes(log.address), *log.topics):
            bits |= _bloom_bits(item)
    return bits.to_bytes(BLOOM_SIZE, "big")


def _bloom_bits(item: bytes) -> int:
    digest = keccak256(item)
    bits = 0
    for i in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return bits


def bloom_may_contain(bloom: bytes, item: bytes) -> bool:
    """False only if no log under `bloom` has `item` as address or topic. True proves nothing."""
    bits = _bloom_bits(item)
    return int.from_bytes(bloom, "big") & bits == bits


def receipt_from_rpc(fields: Mapping[str, object]) -> Receipt:
    """A receipt as `eth_getTransactionReceipt` returned it. Not a proof: compare the receipts root.

    Raises:
        EvidenceInvalid: RPC_FIELD.
    """
    logs = fields.get("logs")
    if not isinstance(logs, list):
        raise EvidenceInvalid(Reason.RPC_FIELD, "logs is missing or not a list")
    tx_type = rpc.quantity(fields, "type") if "type" in fields else 0
    status = rpc.quantity(fields, "status")
    if status > 1 or tx_type > _MAX_TYPE:
        raise EvidenceInvalid(Reason.RPC_FIELD, "status must be 0 or 1, type at most 0x7f")
    return Receipt(
        tx_type=tx_type,
        status=status == 1,
        cumulative_gas_used=rpc.quantity(fields, "cumulativeGasUsed"),
        logs_bloom=rpc.data(fields, "logsBloom", BLOOM_SIZE),
        logs=tuple(_log_from_rpc(log) for log in logs),
    )


def _log_from_rpc(log: object) -> EventLog:
    if not isinstance(log, Mapping):
        raise EvidenceInvalid(Reason.RPC_FIELD, "a log is not an object")
    topics = log.get("topics")
    if not isinstance(topics, list) or len(topics) > _MAX_TOPICS:
        raise EvidenceInvalid(Reason.RPC_FIELD, "topics must be a list of at most four")
    return EventLog(
        address=Address(rpc.data(log, "address", Address.SIZE)),
        topics=tuple(rpc.unhex(topic, "topic", 32) for topic in topics),
        data=rpc.data(log, "data"),
    )


def decode_receipt(value: bytes) -> Receipt:
    """The receipt whose trie value is `value`, which MUST be its only encoding.

    Raises:
        EvidenceInvalid: RECEIPT_SHAPE, RECEIPT_BLOOM, RLP_NOT_CANONICAL.
    """
    if not value:
        raise EvidenceInvalid(Reason.RECEIPT_SHAPE, "a receipt is not empty")
    tx_type = value[0] if value[0] <= _MAX_TYPE else 0
    items = rlp.decode_list(value[1:] if tx_type else value, "receipt")
    if len(items) != 4 or items[0] not in (b"", b"\x01") or not isinstance(items[3], list):
        raise EvidenceInvalid(Reason.RECEIPT_SHAPE, "a receipt is [status, gas, bloom, logs]")
    receipt = Receipt(
        tx_type=tx_type,
        status=items[0] == b"\x01",
        cumulative_gas_used=rlp.as_int(items[1], "cumulative gas", 8),
        logs_bloom=rlp.as_bytes(items[2], "bloom", BLOOM_SIZE),
        logs=tuple(_decode_log(log) for log in items[3]),
    )
    if bloom_of(receipt.logs) != receipt.logs_bloom:
        raise EvidenceInvalid(Reason.RECEIPT_BLOOM, "the bloom is not that of the logs")
    if receipt.encode() != value:
        raise EvidenceInvalid(Reason.RLP_NOT_CANONICAL, "the receipt does not re-encode to the same bytes")
    return receipt


def _decode_log(item: rlp.Item) -> EventLog:
    address, topics, data = rlp.as_list(item, "log", 3)
    words = rlp.as_list(topics, "topics")
    if len(words) > _MAX_TOPICS:
        raise EvidenceInvalid(Reason.RECEIPT_SHAPE, "a log has at most four topics")
    return EventLog(
        address=Address(rlp.as_bytes(address, "log address", Address.SIZE)),
        topics=tuple(rlp.as_bytes(word, "topic", 32) for word in words),
        data=rlp.as_bytes(data, "log data"),
    )


def receipts_trie(receipts: Sequence[Receipt]) -> Trie:
    """The receipts trie of a block whose receipts, in order, are `receipts`."""
    return Trie({_key(index): receipt.encode() for index, receipt in enumerate(receipts)})


def receipts_root(receipts: Sequence[Receipt]) -> bytes:
    """The root that the block's header must name."""
    return receipts_trie(receipts).root


def _key(index: int) -> bytes:
    return rlp.encode(rlp.encode_int(index))


def prove_receipt(receipts: Sequence[Receipt], index: int) -> list[bytes]:
    """The proof that `receipts[index]` is at `index`. Raises: IndexError."""
    if not 0 <= index < len(receipts):
        raise IndexError(f"no receipt {index} of {len(receipts)}")
    return receipts_trie(receipts).prove(_key(index))


def verify_receipt_proof(root: bytes, index: int, proof: Sequence[bytes]) -> Receipt:
    """The receipt of transaction `index` of the block whose receipts root is `root`.

    Raises:
        EvidenceInvalid: PROOF_EMPTY_ROOT for the root of a block without transactions, PROOF_ABSENT if
            the block has no transaction `index`, and what `verify_proof` and `decode_receipt` raise.
    """
    if root == EMPTY_TRIE_ROOT:
        raise EvidenceInvalid(Reason.PROOF_EMPTY_ROOT, "the block has no receipts")
    value = verify_proof(root, _key(index), proof)
    if value is None:
        raise EvidenceInvalid(Reason.PROOF_ABSENT, f"the block has no transaction {index}")
    return decode_receipt(value)
