"""Histories: the append-only record lists that a contract commits to with one storage word per key.

    head' = keccak256(abi.encode(head, uint64(block.number), keccak256(record)))

A head of zero means that nothing was ever recorded. `fold_head` recomputes a head; `history_slot` says where
the contract stores it, so that a storage proof of that slot makes the record list complete, ordered and
dated. Formats: docs/formats/identity.md and docs/formats/accreditation.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sha3
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from silkledger.values import Address, CountryCode, DocumentType, StatementId

EMPTY_HEAD: Final = bytes(32)
"""Head of a key under which nothing was ever recorded."""

_HEADS_SLOT: Final = 0
"""Storage slot of `mapping(bytes32 => bytes32) _heads` in every contract that inherits Histories first."""

MAX_BLOCK: Final = 2**64 - 1
"""Largest block number that a record can be dated with (uint64)."""


class RecordInvalid(ValueError):
    """A record is not the ABI encoding of any record of its contract. `reason` says what is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"history record: {reason}")
        self.reason = reason


class HistoryMissing(LookupError):
    """The history of `key` is needed and was not handed in. Not the same as an empty history."""

    def __init__(self, key: bytes) -> None:
        super().__init__(f"the history of key 0x{key.hex()} is not at hand")
        self.key = key


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One appended record: the block it was recorded in, and its bytes exactly as the event carried them."""

    block_number: int
    record: bytes


def keccak256(data: bytes) -> bytes:
    """The 32-byte keccak-256 of `data` (the EVM's, not FIPS 202 SHA3-256)."""
    return bytes(sha3.keccak_256(data).digest())


def fold_head(records: Iterable[HistoryRecord], start: bytes = EMPTY_HEAD) -> bytes:
    """The head after appending `records` in order to a history whose head is `start`.

    Equality with a proven storage word proves that the list is complete and unaltered, dates included.
    This is not that proof: it only recomputes.

    Raises: ValueError when block numbers go down, or do not fit uint64.
    """
    head = start
    last = 0
    for item in records:
        if not last <= item.block_number <= MAX_BLOCK:
            raise ValueError("block numbers of a history never go down and fit uint64")
        last = item.block_number
        head = keccak256(
            encode(["bytes32", "uint64", "bytes32"], [head, item.block_number, keccak256(item.record)])
        )
    return head


def visible(records: Sequence[HistoryRecord], known_at: int) -> list[HistoryRecord]:
    """The records that were on chain at the end of block `known_at`, in order."""
    return [item for item in records if item.block_number <= known_at]


def history_slot(key: bytes) -> bytes:
    """Storage slot (32 bytes) of the head of `key`: Solidity's layout of a mapping in slot 0."""
    return keccak256(encode(["bytes32", "uint256"], [key, _HEADS_SLOT]))


def origin_id(origin: str) -> bytes:
    """LogAnchor: key of a log origin's registration history, and the id that anchors carry."""
    return keccak256(origin.encode("utf-8"))


def identity_key(identity: Address) -> bytes:
    """IdentityRegistry: key of one identity's history."""
    return bytes(12) + bytes(identity)


def status_list_key(identity: Address, list_id: str) -> bytes:
    """IdentityRegistry: key of the status lists that an identity published as one series."""
    return keccak256(
        encode(["string", "address", "bytes32"], ["status list", bytes(identity), status_list_id(list_id)])
    )


def status_list_id(list_id: str) -> bytes:
    """IdentityRegistry: what stands on chain for the id of a series of status lists."""
    return keccak256(list_id.encode("utf-8"))


def country_key(country: CountryCode) -> bytes:
    """TrustRegistry: key of a country's authorities."""
    return keccak256(encode(["string", "bytes2"], ["country", _bytes2(country)]))


def accreditation_key(issuer: Address, document_type: DocumentType) -> bytes:
    """TrustRegistry: key of everything ever accredited to `issuer` for `document_type`."""
    return keccak256(
        encode(
            ["string", "address", "bytes8"],
            ["accreditation", bytes(issuer), document_type.to_bytes8()],
        )
    )


def accreditation_status_key(accreditation_id: bytes) -> bytes:
    """TrustRegistry: key of the suspensions, reinstatements and revocations of one accreditation."""
    return keccak256(encode(["string", "bytes32"], ["status", accreditation_id]))


def recognition_key(relying: CountryCode, issuing: CountryCode, document_type: DocumentType) -> bytes:
    """TrustRegistry: key of what `relying` recognises of `issuing` for `document_type`."""
    return keccak256(
        encode(
            ["string", "bytes2", "bytes2", "bytes8"],
            ["recognition", _bytes2(relying), _bytes2(issuing), document_type.to_bytes8()],
        )
    )


def document_status_key(actor: Address, statement_id: StatementId) -> bytes:
    """DocumentStatus: key of what `actor` said about a statement. Only the issuer's own account counts."""
    return keccak256(encode(["address", "bytes32"], [bytes(actor), bytes(statement_id)]))


def record_kind(record: bytes) -> int:
    """The first word of a record.

    Raises: RecordInvalid when it is not a uint8.
    """
    if len(record) < 32 or any(record[:31]):
        raise RecordInvalid("does not begin with a uint8 kind")
    return record[31]


def decode_record(types: Sequence[str], record: bytes) -> tuple[object, ...]:
    """Decode `record` as `abi.encode` of `types`, strictly: encoding the result again must give the same
    bytes.

    Raises: RecordInvalid when it does not.
    """
    try:
        values: tuple[object, ...] = decode(list(types), record)
        same = encode(list(types), list(values)) == record
    except (DecodingError, ValueError, OverflowError) as error:
        raise RecordInvalid(f"is not abi.encode({', '.join(types)})") from error
    if not same:
        raise RecordInvalid("is not in canonical ABI encoding")
    return values


def _bytes2(country: CountryCode) -> bytes:
    return country.encode("ascii")
