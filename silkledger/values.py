"""The values that everything else is said in. Pure: imports nothing but the standard library.

Look-alikes are different types, so that a transaction hash can never stand where a document digest is
meant: `Digest`, `StatementId`, `BlockHash`, `TxHash`, `Address`, `Did`. All are immutable and hashable,
compare only within their own type, and check their shape when made. None of them is a verification of
anything but shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

MAX_MINOR: Final = 2**63 - 1
"""Largest amount in minor units: what a signed 64-bit column and wire field hold."""


class ValueShapeError(ValueError):
    """A value does not have the shape of its type. `what` names the type."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class _FixedBytes(bytes):
    """Bytes of one fixed length. Equal only to bytes of the same type (or plain bytes)."""

    SIZE: int = 32

    def __new__(cls, value: bytes) -> Self:
        if len(value) != cls.SIZE:
            raise ValueShapeError(cls.__name__, f"must be {cls.SIZE} bytes, got {len(value)}")
        return super().__new__(cls, value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """From hexadecimal with or without 0x, any case."""
        try:
            return cls(bytes.fromhex(text.removeprefix("0x")))
        except ValueError as error:
            if isinstance(error, ValueShapeError):
                raise
            raise ValueShapeError(cls.__name__, "is not hexadecimal") from None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _FixedBytes) and type(other) is not type(self):
            return False
        return bytes.__eq__(self, other) if isinstance(other, bytes) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = bytes.__hash__

    def __str__(self) -> str:
        return "0x" + self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class Digest(_FixedBytes):
    """SHA-256 digest of a document's bytes."""


class StatementId(_FixedBytes):
    """SHA-256 of a signed statement's Sig_structure (RFC 9052 section 4.4)."""


class MerkleRoot(_FixedBytes):
    """Root hash of an RFC 9162 tree."""


class BlockHash(_FixedBytes):
    """keccak-256 of a block header as the engine defines it."""


class TxHash(_FixedBytes):
    """keccak-256 of a signed transaction."""


class Address(_FixedBytes):
    """Account or contract address on the EVM ledger: 20 bytes."""

    SIZE = 20


_DID: Final = re.compile(r"did:ethr:(0x[0-9a-f]+):(0x[0-9a-f]{40})")


@dataclass(frozen=True, slots=True, order=True)
class Did:
    """A `did:ethr` identifier in its normal form: `did:ethr:0x<chain id>:0x<address, lower case>`.

    The address is the identity on the IdentityRegistry (ERC-1056). Upper-case hex is refused, so that
    one identity has one spelling.
    """

    text: str

    def __post_init__(self) -> None:
        match = _DID.fullmatch(self.text)
        if match is None:
            raise ValueShapeError("Did", "must be did:ethr:0x<chain id>:0x<40 lower-case hex digits>")
        if match.group(1).startswith("0x0"):
            raise ValueShapeError("Did", "the chain id must have no leading zero")

    @classmethod
    def of(cls, chain_id: int, address: Address) -> Did:
        return cls(f"did:ethr:{chain_id:#x}:{address}")

    @property
    def chain_id(self) -> int:
        return int(self.text.split(":")[2], 16)

    @property
    def address(self) -> Address:
        return Address.from_hex(self.text.split(":")[3])

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class BlockRef:
    """A block by number and hash. `time` is the header's Unix time in seconds."""

    number: int
    hash: BlockHash
    time: int

    def at(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)


_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_DOCUMENT_TYPE: Final = re.compile(r"[A-Za-z0-9]{1,8}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class CountryCode(str):
    """ISO 3166-1 alpha-2, upper case. Not a check that the code is assigned."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if not _COUNTRY.fullmatch(value):
            raise ValueShapeError("CountryCode", "must be two upper-case letters (ISO 3166-1 alpha-2)")
        return super().__new__(cls, value)


class DocumentType(str):
    """UN/EDIFACT data element 1001 code, e.g. 705 bill of lading, 380 commercial invoice."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if not _DOCUMENT_TYPE.fullmatch(value):
            raise ValueShapeError("DocumentType", "must be 1 to 8 letters or digits (UN/EDIFACT 1001)")
        return super().__new__(cls, value)

    def to_bytes8(self) -> bytes:
        """ASCII, left-aligned, zero-padded: how the contracts hold it (Solidity bytes8)."""
        return self.encode("ascii").ljust(8, b"\0")


MINOR_UNITS: Final = {
    "CNY": 2,
    "HKD": 2,
    "USD": 2,
    "EUR": 2,
    "THB": 2,
    "SGD": 2,
    "MYR": 2,
    "IDR": 2,
    "LAK": 2,
    "KZT": 2,
    "AED": 2,
    "RUB": 2,
    "JPY": 0,
    "KRW": 0,
    "VND": 0,
    "KWD": 3,
    "BHD": 3,
    "OMR": 3,
}
"""Decimal places of the minor unit per currency, ISO 4217 table A.1. Others are refused, not guessed."""


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in integer minor units of an ISO 4217 currency. Never a float.

    `CNH` is not an ISO 4217 code: the renminbi is CNY, and the market (onshore/offshore) is another field.
    """

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if self.currency == "CNH":
            raise ValueShapeError("Money", "CNH is not an ISO 4217 code; use CNY and the offshore market")
        if not _CURRENCY.fullmatch(self.currency) or self.currency not in MINOR_UNITS:
            raise ValueShapeError("Money", f"currency {self.currency[:8]!r} is not supported")
        if isinstance(self.amount_minor, bool) or not isinstance(self.amount_minor, int):
            raise ValueShapeError("Money", "amount_minor must be an integer")
        if abs(self.amount_minor) > MAX_MINOR:
            raise ValueShapeError("Money", "amount exceeds 64 bits of minor units")

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """From an ISO 20022 decimal such as `1250.00`.

        More decimals than the currency has are refused, never rounded, even when they are zeros.
        """
        zero = cls(0, currency)
        match = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,5}))?", text)
        if match is None:
            raise ValueShapeError("Money", f"{text[:32]!r} is not a plain decimal amount")
        places = MINOR_UNITS[zero.currency]
        fraction = match.group(2) or ""
        if len(fraction) > places:
            raise ValueShapeError("Money", f"{len(fraction)} decimals, but {currency} has {places}")
        return cls(int(match.group(1) + fraction.ljust(places, "0")), currency)

    def decimal(self) -> str:
        """As ISO 20022 writes it: all decimal places of the currency, no sign of the currency."""
        places = MINOR_UNITS[self.currency]
        sign = "-" if self.amount_minor < 0 else ""
        digits = str(abs(self.amount_minor)).rjust(places + 1, "0")
        return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"

    def __str__(self) -> str:
        return f"{self.decimal()} {self.currency}"
