"""Signed status lists: W3C Bitstring Status List credentials with a sequence number.

An issuer publishes one list after the other under one id, each with the next sequence number; a number names
one list only. The bytes of a list are its canonical JSON (RFC 8785), signed as `eddsa-jcs-2022`. Closed: no
other member, no other order. Format: docs/formats/status-list.md. Sources: W3C Verifiable Credentials Data
Model v2.0, Bitstring Status List v1.0.

Whether one list may follow another is `check_succession`. A list without `validUntil` does not run out: which
one is in force is told by the chain, where its issuer records sequence and digest of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from silkledger import data_integrity
from silkledger.keys import PrivateKey, VerifyingKey
from silkledger.status_bits import BitsInvalid, StatusBits
from silkledger.values import Did, Digest, ValueShapeError

MAX_BYTES: Final = 1024 * 1024
MAX_SEQUENCE: Final = 2**53 - 1
"""Largest integer that every JSON reader keeps exact."""
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far ahead an honest issuer's clock may be."""
CONTEXT: Final[list[object]] = [
    "https://www.w3.org/ns/credentials/v2",
    {
        "sequence": {
            "@id": "urn:silkledger:status-list:sequence",
            "@type": "http://www.w3.org/2001/XMLSchema#nonNegativeInteger",
        }
    },
]
PURPOSES: Final = ("revocation", "suspension")
_TYPES: Final = ["VerifiableCredential", "BitstringStatusListCredential"]
_ID: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}:[!-~]{1,500}")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_BITS: Final = re.compile(r"u[A-Za-z0-9_-]+")
_FRAGMENT: Final = re.compile(r"delegate-[1-9][0-9]{0,5}")


class StatusListError(ValueError):
    """`reason` is one of docs/formats/status-list.md."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class StatusList:
    """One list. Parsed, not verified."""

    raw: bytes
    document: Mapping[str, object]
    id: str
    """Same for all lists of a series."""
    issuer: Did
    purpose: str
    sequence: int
    encoded_list: str
    """The bits, not looked into yet: `bits` does."""
    valid_from: datetime
    valid_until: datetime | None
    """None: it does not run out."""
    fragment: str
    """Of the verification method that the proof names: `delegate-N` of the issuer."""
    digest: Digest
    """SHA-256 of the canonical credential without its proof: what is signed, and what goes on chain."""

    @property
    def method(self) -> str:
        return f"{self.issuer}#{self.fragment}"

    def bits(self) -> StatusBits:
        """Expand the bits. Raises: StatusListError STATUS_LIST_MALFORMED."""
        try:
            return StatusBits.decode(self.encoded_list)
        except BitsInvalid as error:
            raise _malformed(f"encodedList: {error}") from error

    def check_period(self, now: datetime) -> None:
        """Raises: StatusListError STATUS_LIST_NOT_YET_VALID, STATUS_LIST_EXPIRED."""
        if self.valid_from > now + CLOCK_SKEW:
            raise StatusListError("STATUS_LIST_NOT_YET_VALID", f"valid from {_text_of(self.valid_from)} on")
        if self.valid_until is not None and self.valid_until <= now:
            raise StatusListError("STATUS_LIST_EXPIRED", f"valid until {_text_of(self.valid_until)}")

    def verify(self, key: VerifyingKey) -> None:
        """Verify that `key` signed the list; whose key it is, is not said here.

        Raises:
            StatusListError: STATUS_LIST_SIGNATURE.
        """
        try:
            data_integrity.verify(self.document, key)
        except data_integrity.ProofInvalid as error:
            raise StatusListError("STATUS_LIST_SIGNATURE", str(error)) from error


def sign_status_list(
    key: PrivateKey,
    *,
    issuer: Did,
    fragment: str,
    id_: str,
    purpose: str,
    sequence: int,
    encoded_list: str,
    issued: str,
    valid_until: str | None = None,
) -> bytes:
    """A signed list. `encoded_list` is multibase of the compressed bits (`StatusBits.encode`); times are
    `YYYY-MM-DDThh:mm:ssZ`.

    Raises:
        StatusListError: STATUS_LIST_MALFORMED if a value is not of its form.
    """
    unsigned: dict[str, object] = {
        "@context": CONTEXT,
        "id": id_,
        "type": _TYPES,
        "issuer": str(issuer),
        "validFrom": issued,
        **({} if valid_until is None else {"validUntil": valid_until}),
        "credentialSubject": {
            "id": f"{id_}#list",
            "type": "BitstringStatusList",
            "statusPurpose": purpose,
            "encodedList": encoded_list,
            "sequence": sequence,
        },
    }
    document = data_integrity.secure(unsigned, key, method=f"{issuer}#{fragment}", created=issued)
    raw = data_integrity.canonical(document)
    parse_status_list(raw)
    return raw


def parse_status_list(raw: bytes) -> StatusList:
    """The list whose bytes are `raw`. Not a verification of its signature, nor of its bits.

    Raises:
        StatusListError: STATUS_LIST_MALFORMED.
    """
    if len(raw) > MAX_BYTES:
        raise _malformed(f"{len(raw)} bytes exceed {MAX_BYTES}")
    try:
        document = _object(
            data_integrity.read_canonical(raw),
            "credential",
            {"@context", "id", "type", "issuer", "validFrom", "credentialSubject", "proof"},
            {"validUntil"},
        )
    except data_integrity.NotCanonical as error:
        raise _malformed(str(error)) from error
    id_ = _text(document["id"], "id", _ID)
    issuer = _did(document["issuer"])
    valid_from = _time(document["validFrom"], "validFrom")
    valid_until = _time(document["validUntil"], "validUntil") if "validUntil" in document else None
    if valid_until is not None and valid_until <= valid_from:
        raise _malformed("validUntil must be later than validFrom")
    if document["@context"] != CONTEXT or document["type"] != _TYPES:
        raise _malformed("@context and type are fixed")
    purpose, sequence, encoded_list = _subject(document["credentialSubject"], id_)
    return StatusList(
        raw=raw,
        document=document,
        id=id_,
        issuer=issuer,
        purpose=purpose,
        sequence=sequence,
        encoded_list=encoded_list,
        valid_from=valid_from,
        valid_until=valid_until,
        fragment=_proof(document["proof"], issuer),
        digest=Digest(data_integrity.document_digest(document)),
    )


def check_succession(one: StatusList, next_: StatusList) -> None:
    """Whether `next_` may follow `one` in a series. Not a verification of either.

    In this order: (1) the same series and purpose, the next number; (2) not valid from an earlier time;
    (3) not fewer entries: an index that was given out stays one; (4) what is revoked stays revoked.

    Raises:
        StatusListError: STATUS_LIST_SEQUENCE, STATUS_LIST_PURPOSE, STATUS_LIST_TIME, STATUS_LIST_LENGTH,
            STATUS_LIST_UNREVOKED, or STATUS_LIST_MALFORMED if bits do not expand.
    """
    if (one.issuer, one.id) != (next_.issuer, next_.id) or next_.sequence != one.sequence + 1:  # (1)
        raise StatusListError("STATUS_LIST_SEQUENCE", f"must be number {one.sequence + 1} of {one.id}")
    if one.purpose != next_.purpose:
        raise StatusListError("STATUS_LIST_PURPOSE", f"{one.id} is about {one.purpose}")
    if next_.valid_from < one.valid_from:  # (2)
        raise StatusListError(
            "STATUS_LIST_TIME", f"number {one.sequence} is valid from {_text_of(one.valid_from)} on"
        )
    before, after = one.bits(), next_.bits()
    if after.entries < before.entries:  # (3)
        raise StatusListError("STATUS_LIST_LENGTH", f"number {one.sequence} has {before.entries} entries")
    lost = before.first_cleared_in(after) if one.purpose == "revocation" else None
    if lost is not None:  # (4)
        raise StatusListError("STATUS_LIST_UNREVOKED", f"entry {lost} is revoked, which is for ever")


def _subject(value: object, id_: str) -> tuple[str, int, str]:
    subject = _object(value, "credentialSubject", {"id", "type", "statusPurpose", "encodedList", "sequence"})
    purpose, sequence = subject["statusPurpose"], subject["sequence"]
    if subject["id"] != f"{id_}#list" or subject["type"] != "BitstringStatusList":
        raise _malformed("credentialSubject must be the BitstringStatusList <id>#list")
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        raise _malformed(f"statusPurpose must be one of {', '.join(PURPOSES)}")
    if type(sequence) is not int or not 0 <= sequence <= MAX_SEQUENCE:
        raise _malformed("sequence must be an integer from 0 to 2^53 - 1")
    return purpose, sequence, _text(subject["encodedList"], "encodedList", _BITS)


def _proof(value: object, issuer: Did) -> str:
    names = {"@context", "type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue"}
    proof = _object(value, "proof", names)
    fixed = (proof["type"], proof["cryptosuite"], proof["proofPurpose"], proof["@context"])
    if fixed != ("DataIntegrityProof", data_integrity.CRYPTOSUITE, "assertionMethod", CONTEXT):
        raise _malformed(f"proof must be an assertion of {data_integrity.CRYPTOSUITE} in this context")
    _time(proof["created"], "created")
    method, value = proof["verificationMethod"], proof["proofValue"]
    did, _, fragment = method.partition("#") if isinstance(method, str) else ("", "", "")
    if did != str(issuer) or not _FRAGMENT.fullmatch(fragment):
        raise _malformed("verificationMethod must be <issuer>#delegate-N")
    if not isinstance(value, str):
        raise _malformed("proofValue must be a string")
    return fragment


def _malformed(detail: str) -> StatusListError:
    return StatusListError("STATUS_LIST_MALFORMED", detail)


def _object(
    value: object, what: str, names: AbstractSet[str], optional: AbstractSet[str] = frozenset()
) -> dict[str, object]:
    if not isinstance(value, dict) or not names <= value.keys() <= names | optional:
        raise _malformed(f"{what} must have exactly the members {', '.join(sorted(names))}")
    return value


def _time(value: object, what: str) -> datetime:
    text = _text(value, what, _TIME)
    try:
        return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise _malformed(f"{what} is no time") from None


def _text_of(time: datetime) -> str:
    return time.strftime(_TIME_FORMAT)


def _text(value: object, what: str, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _malformed(f"{what} is not of its form")
    return value


def _did(value: object) -> Did:
    try:
        return Did(value if isinstance(value, str) else "")
    except ValueShapeError as error:
        raise _malformed(str(error)) from error
