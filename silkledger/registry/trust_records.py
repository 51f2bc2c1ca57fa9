"""The TrustRegistry's records, decoded, and which of them decides at a block.

One rule for all of them, the same as the contract's: a record has begun at a block when its effective (or
from) block is not later; among the records that are known and have begun, the last recorded decides. A
revocation that has begun is for ever. Layouts: docs/formats/accreditation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from silkledger.registry.histories import HistoryRecord, RecordInvalid, decode_record, record_kind, visible
from silkledger.values import Address, CountryCode, DocumentType, ValueShapeError

MAX_DEPTH: Final = 4
"""Accreditations in one chain, the issuer's own and the root's included."""

_COUNTRY: Final = ("uint8", "bytes2", "address")
_GRANT: Final = (
    "uint8",
    "bytes32",
    "address",
    "bytes2",
    "bytes8",
    "uint8",
    "uint64",
    "uint64",
    "bytes32",
    "bool",
    "address",
)
_STATUS: Final = ("uint8", "bytes32", "uint8", "uint64", "uint8", "address")
_RECOGNITION: Final = ("uint8", "bytes2", "bytes2", "bytes8", "uint8", "uint64", "uint64", "address")
_WITHDRAWAL: Final = ("uint8", "bytes2", "bytes2", "bytes8", "uint64", "address")


class AccreditationStatus(StrEnum):
    """Where an accreditation stands."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"


_STATUS_OF_CODE: Final = {
    1: AccreditationStatus.ACTIVE,
    2: AccreditationStatus.SUSPENDED,
    3: AccreditationStatus.REVOKED,
}


@dataclass(frozen=True, slots=True)
class CountryRecord:
    """The registration of a country, or of a new root authority for it."""

    country: CountryCode
    authority: Address
    recorded_at: int


@dataclass(frozen=True, slots=True)
class Grant:
    """One accreditation as it was given. Its later suspension or revocation is another record."""

    id: bytes
    issuer: Address
    country: CountryCode
    document_type: DocumentType
    level: int
    """1 low, 2 substantial, 3 high."""
    from_block: int
    """First block in which it is in force."""
    until_block: int
    """First block in which it is no longer in force; 0: open-ended."""
    parent: bytes
    """Accreditation under which it was given; 32 zero bytes: given by the country's root authority."""
    may_subaccredit: bool
    by: Address
    recorded_at: int

    @property
    def is_root(self) -> bool:
        return not any(self.parent)


@dataclass(frozen=True, slots=True)
class GrantStatusChange:
    """A suspension, reinstatement or revocation of an accreditation."""

    id: bytes
    status: AccreditationStatus
    effective_block: int
    reason: int
    by: Address
    recorded_at: int


@dataclass(frozen=True, slots=True)
class Recognition:
    """`relying` accepts what `issuing` accredits for the type, from `min_level` up."""

    relying: CountryCode
    issuing: CountryCode
    document_type: DocumentType
    min_level: int
    from_block: int
    until_block: int
    by: Address
    recorded_at: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """`relying` no longer recognises `issuing` for the type, from the effective block on."""

    relying: CountryCode
    issuing: CountryCode
    document_type: DocumentType
    effective_block: int
    by: Address
    recorded_at: int


def decode_country(item: HistoryRecord) -> CountryRecord:
    """Raises: RecordInvalid when it is not a country record."""
    _, country, authority = _decode(item, 1, _COUNTRY)
    return CountryRecord(_country(country), _address(authority), item.block_number)


def decode_grant(item: HistoryRecord) -> Grant:
    """Raises: RecordInvalid when it is not an accreditation record."""
    v = _decode(item, 2, _GRANT)
    return Grant(
        id=cast(bytes, v[1]),
        issuer=_address(v[2]),
        country=_country(v[3]),
        document_type=_document_type(v[4]),
        level=_level(v[5]),
        from_block=cast(int, v[6]),
        until_block=cast(int, v[7]),
        parent=cast(bytes, v[8]),
        may_subaccredit=cast(bool, v[9]),
        by=_address(v[10]),
        recorded_at=item.block_number,
    )


def decode_grant_status(item: HistoryRecord) -> GrantStatusChange:
    """Raises: RecordInvalid when it is not an accreditation status record."""
    _, grant_id, code, effective, reason, by = _decode(item, 3, _STATUS)
    status = _STATUS_OF_CODE.get(cast(int, code))
    if status is None:
        raise RecordInvalid(f"unknown accreditation status {code}")
    return GrantStatusChange(
        cast(bytes, grant_id),
        status,
        cast(int, effective),
        cast(int, reason),
        _address(by),
        item.block_number,
    )


def decode_recognition(item: HistoryRecord) -> Recognition | Withdrawal:
    """Raises: RecordInvalid when it is neither a recognition nor a withdrawal."""
    if record_kind(item.record) == 5:
        _, relying, issuing, doc_type, effective, by = _decode(item, 5, _WITHDRAWAL)
        return Withdrawal(
            _country(relying),
            _country(issuing),
            _document_type(doc_type),
            cast(int, effective),
            _address(by),
            item.block_number,
        )
    _, relying, issuing, doc_type, level, start, until, by = _decode(item, 4, _RECOGNITION)
    return Recognition(
        _country(relying),
        _country(issuing),
        _document_type(doc_type),
        _level(level),
        cast(int, start),
        cast(int, until),
        _address(by),
        item.block_number,
    )


def authority_at(records: Sequence[HistoryRecord], known_at: int) -> CountryRecord | None:
    """The country's registration at the end of block `known_at`; None when it was not registered then."""
    seen = [decode_country(item) for item in visible(records, known_at)]
    return seen[-1] if seen else None


def status_at(
    records: Sequence[HistoryRecord], grant_id: bytes, at_block: int, known_at: int
) -> GrantStatusChange | None:
    """The change that decides the accreditation's status; None: it stands as it was given.

    Raises: RecordInvalid, also for a record of another accreditation.
    """
    changes = [decode_grant_status(item) for item in visible(records, known_at)]
    if any(change.id != grant_id for change in changes):
        raise RecordInvalid("a status record of another accreditation")
    begun = [change for change in changes if change.effective_block <= at_block]
    for change in begun:
        if change.status is AccreditationStatus.REVOKED:
            return change
    return begun[-1] if begun else None


def recognition_at(
    records: Sequence[HistoryRecord], at_block: int, known_at: int
) -> Recognition | Withdrawal | None:
    """The recognition or withdrawal that decides at `at_block`; None when none has begun.

    A recognition is returned also when its period has passed: it is the caller's to compare.
    """
    begun: Recognition | Withdrawal | None = None
    for item in visible(records, known_at):
        found = decode_recognition(item)
        start = found.from_block if isinstance(found, Recognition) else found.effective_block
        if start <= at_block:
            begun = found
    return begun


def _decode(item: HistoryRecord, kind: int, types: Sequence[str]) -> tuple[object, ...]:
    if record_kind(item.record) != kind:
        raise RecordInvalid(f"kind {record_kind(item.record)} where {kind} belongs")
    return decode_record(types, item.record)


def _address(value: object) -> Address:
    return Address.from_hex(cast(str, value))


def _country(value: object) -> CountryCode:
    try:
        return CountryCode(cast(bytes, value).decode("ascii"))
    except (ValueShapeError, UnicodeDecodeError) as error:
        raise RecordInvalid("a country is not two upper-case letters") from error


def _document_type(value: object) -> DocumentType:
    raw = cast(bytes, value)
    try:
        found = DocumentType(raw.rstrip(b"\0").decode("ascii"))
    except (ValueShapeError, UnicodeDecodeError) as error:
        raise RecordInvalid("a document type is not 1 to 8 letters or digits") from error
    if found.to_bytes8() != raw:
        raise RecordInvalid("a document type is not left-aligned")
    return found


def _level(value: object) -> int:
    level = cast(int, value)
    if level not in (1, 2, 3):
        raise RecordInvalid("a level is 1, 2 or 3")
    return level
