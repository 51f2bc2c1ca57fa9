"""Signed status lists: W3C Bitstring Status List credentials with a sequence number.

An issuer publishes one list after the other under one id, each with the next sequence number; a number names
one list only. The bytes of a list are its canonical JSON (RFC 8785), signed as `eddsa-jcs-2022`. Closed: no
other member, no other order. Format: docs/formats/status-list.md. Sources: W3C Verifiable Credentials Data
Model v2.0, Bitstring Status List v1.0.

The bits are not looked into here: this says who signed which list as which number, no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from silkledger import data_integrity
from silkledger.keys import PrivateKey, VerifyingKey
from silkledger.values import Did, Digest, ValueShapeError

MAX_BYTES: Final = 1024 * 1024
MAX_SEQUENCE: Final = 2**53 - 1
"""Largest integer that every JSON reader keeps exact."""
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
_ID: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,500}")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_BITS: Final = re.compile(r"u[A-Za-z0-9_-]+")
_FRAGMENT: Final = re.compile(r"delegate-[1-9][0-9]{0,5}")


class StatusListError(ValueError):
    """`reason` is STATUS_LIST_MALFORMED or STATUS_LIST_SIGNATURE."""

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
    fragment: str
    """Of the verification method that the proof names: `delegate-N` of the issuer."""
    digest: Digest
    """SHA-256 of the canonical credential without its proof: what is signed, and what goes on chain."""

    @property
    def method(self) -> str:
        return f"{self.issuer}#{self.fragment}"

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
) -> bytes:
    """A signed list. `encoded_list` is multibase of the compressed bits (Bitstring Status List section 3.3).

    Raises:
        StatusListError: STATUS_LIST_MALFORMED if a value is not of its form.
    """
    unsigned: dict[str, object] = {
        "@context": CONTEXT,
        "id": id_,
        "type": _TYPES,
        "issuer": str(issuer),
        "validFrom": issued,
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
    """The list whose bytes are `raw`. Not a verification of its signature.

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
        )
    except data_integrity.NotCanonical as error:
        raise _malformed(str(error)) from error
    id_ = _text(document["id"], "id", _ID)
    issuer = _did(document["issuer"])
    _text(document["validFrom"], "validFrom", _TIME)
    if document["@context"] != CONTEXT or document["type"] != _TYPES:
        raise _malformed("@context and type are fixed")
    purpose, sequence = _subject(document["credentialSubject"], id_)
    return StatusList(
        raw=raw,
        document=document,
        id=id_,
        issuer=issuer,
        purpose=purpose,
        sequence=sequence,
        fragment=_proof(document["proof"], issuer),
        digest=Digest(data_integrity.document_digest(document)),
    )


def _subject(value: object, id_: str) -> tuple[str, int]:
    subject = _object(value, "credentialSubject", {"id", "type", "statusPurpose", "encodedList", "sequence"})
    purpose, sequence = subject["statusPurpose"], subject["sequence"]
    if subject["id"] != f"{id_}#list" or subject["type"] != "BitstringStatusList":
        raise _malformed("credentialSubject must be the BitstringStatusList <id>#list")
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        raise _malformed(f"statusPurpose must be one of {', '.join(PURPOSES)}")
    if type(sequence) is not int or not 0 <= sequence <= MAX_SEQUENCE:
        raise _malformed("sequence must be an integer from 0 to 2^53 - 1")
    _text(subject["encodedList"], "encodedList", _BITS)
    return purpose, sequence


def _proof(value: object, issuer: Did) -> str:
    names = {"@context", "type", "cryptosuite", "created", "verificationMethod", "proofPurpose", "proofValue"}
    proof = _object(value, "proof", names)
    fixed = (proof["type"], proof["cryptosuite"], proof["proofPurpose"], proof["@context"])
    if fixed != ("DataIntegrityProof", data_integrity.CRYPTOSUITE, "assertionMethod", CONTEXT):
        raise _malformed(f"proof must be an assertion of {data_integrity.CRYPTOSUITE} in this context")
    _text(proof["created"], "created", _TIME)
    method, value = proof["verificationMethod"], proof["proofValue"]
    did, _, fragment = method.partition("#") if isinstance(method, str) else ("", "", "")
    if did != str(issuer) or not _FRAGMENT.fullmatch(fragment):
        raise _malformed("verificationMethod must be <issuer>#delegate-N")
    if not isinstance(value, str):
        raise _malformed("proofValue must be a string")
    return fragment


def _malformed(detail: str) -> StatusListError:
    return StatusListError("STATUS_LIST_MALFORMED", detail)


def _object(value: object, what: str, names: set[str]) -> dict[str, object]:
    if not isinstance(value, dict) or value.keys() != names:
        raise _malformed(f"{what} must have exactly the members {', '.join(sorted(names))}")
    return value


def _text(value: object, what: str, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _malformed(f"{what} is not of its form")
    return value


def _did(value: object) -> Did:
    try:
        return Did(value if isinstance(value, str) else "")
    except ValueShapeError as error:
        raise _malformed(str(error)) from error
