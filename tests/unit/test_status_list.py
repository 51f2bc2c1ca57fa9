"""Signed status lists: the form is closed, the signature is that of the W3C suite."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silkledger import data_integrity
from silkledger.data_integrity import NotCanonical, ProofInvalid
from silkledger.keys import PrivateKey, Suite, VerifyingKey
from silkledger.status_bits import MIN_ENTRIES, StatusBits
from silkledger.status_list import (
    MAX_SEQUENCE,
    StatusListError,
    check_succession,
    parse_status_list,
    sign_status_list,
)
from silkledger.values import Did

KEY = PrivateKey(Suite.EDDSA, b"\x31" * 32)
ISSUER = Did("did:ethr:0x1c95:0x" + "ab" * 20)
WANTED: dict[str, Any] = {
    "issuer": ISSUER,
    "fragment": "delegate-1",
    "id_": "https://customs.example/status/3",
    "purpose": "revocation",
    "sequence": 12,
    "encoded_list": "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA",
    "issued": "2026-03-01T08:00:00Z",
}

PUBLISHED = """{
  "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
  "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
  "type": ["VerifiableCredential", "AlumniCredential"],
  "name": "Alumni Credential",
  "description": "A minimum viable example of an Alumni Credential.",
  "issuer": "https://vc.example/issuers/5678",
  "validFrom": "2023-01-01T00:00:00Z",
  "credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"},
  "proof": {
    "type": "DataIntegrityProof",
    "cryptosuite": "eddsa-jcs-2022",
    "created": "2023-02-24T23:36:38Z",
    "verificationMethod":
      "https://vc.example/issuers/5678#z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2",
    "proofPurpose": "assertionMethod",
    "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
    "proofValue":
      "z63t83Y53KfzJ5ZosfKTnqfMcKB2dmTrfjSaQjeNNjAD5srBowQfmWqeRb8rRjmeEuCBEsddF9LsVogtuTsijJKh4"
  }
}"""
"""The published example of the suite in W3C's vc-di-eddsa, whose key and document hash are known."""
PUBLISHED_KEY = VerifyingKey.from_multikey("z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2")


def signed(**changes: Any) -> bytes:
    return sign_status_list(KEY, **(WANTED | changes))


def test_the_published_example_of_the_suite_verifies() -> None:
    document = json.loads(PUBLISHED)
    data_integrity.verify(document, PUBLISHED_KEY)
    known = "59b7cb6251b8991add1ce0bc83107e3db9dbbab5bd2c28f687db1a03abc92f19"
    assert data_integrity.document_digest(document).hex() == known


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Another"},
        {"proof": json.loads(PUBLISHED)["proof"] | {"created": "2023-02-24T23:36:39Z"}},
        {"proof": json.loads(PUBLISHED)["proof"] | {"proofValue": "z1111"}},
        {"proof": json.loads(PUBLISHED)["proof"] | {"proofValue": "u63t8"}},
        {"proof": json.loads(PUBLISHED)["proof"] | {"proofValue": "z" + "1" * 5000}},
        {"proof": json.loads(PUBLISHED)["proof"] | {"proofValue": "z0OIl"}},
        {"proof": {"proofValue": 1}},
        {"proof": [json.loads(PUBLISHED)["proof"]]},
        {"proof": None},
    ],
)
def test_anything_else_does_not(change: dict[str, object]) -> None:
    with pytest.raises(ProofInvalid):
        data_integrity.verify(json.loads(PUBLISHED) | change, PUBLISHED_KEY)


def test_another_key_did_not_sign() -> None:
    for key in (KEY.verifying_key, PrivateKey(Suite.ES256K, b"\x31" * 32).verifying_key):
        with pytest.raises(ProofInvalid):
            data_integrity.verify(json.loads(PUBLISHED), key)
    with pytest.raises(ValueError, match="Ed25519"):
        data_integrity.secure({"@context": []}, PrivateKey(Suite.SM2, b"\x31" * 32), method="m", created="c")


NOT_CANONICAL = [
    b"",
    b"{",
    b'{"a": 1}',
    b'{"b":1,"a":1}',
    b'{"a":1,"a":1}',
    b'"\\u0041"',
    b"1.0",
    b"[" * 100_000,
    b"[" * 17 + b"]" * 17,
    b"\xff",
    b'"\\ud800"',
    b"9007199254740993",
    b"NaN",
]


@pytest.mark.parametrize("data", NOT_CANONICAL)
def test_only_canonical_json_is_read(data: bytes) -> None:
    with pytest.raises(NotCanonical):
        data_integrity.read_canonical(data)


@given(st.lists(st.text(alphabet='"\\[]{}ab\n', max_size=40), max_size=8))
def test_strings_of_quotes_backslashes_and_brackets_are_read(texts: list[str]) -> None:
    assert data_integrity.read_canonical(data_integrity.canonical(texts)) == texts
    deep = [texts]
    for _ in range(14):
        deep = [deep]  # type: ignore[list-item]
    assert data_integrity.read_canonical(data_integrity.canonical(deep)) == deep
    with pytest.raises(NotCanonical):
        data_integrity.read_canonical(data_integrity.canonical([deep]))


def test_brackets_in_strings_are_no_nesting() -> None:
    text = '"' + "[" * 100 + '\\"' + "{" * 100 + '"'
    assert data_integrity.read_canonical(text.encode()) == "[" * 100 + '"' + "{" * 100
    assert data_integrity.read_canonical(b"[" * 16 + b"]" * 16)


def test_a_signed_list_reads_back() -> None:
    found = parse_status_list(signed())
    assert (found.id, found.issuer, found.sequence) == (WANTED["id_"], ISSUER, 12)
    assert found.method == f"{ISSUER}#delegate-1"
    found.verify(KEY.verifying_key)
    assert found.digest != parse_status_list(signed(sequence=13)).digest
    with pytest.raises(StatusListError) as caught:
        found.verify(PrivateKey(Suite.EDDSA, b"\x32" * 32).verifying_key)
    assert caught.value.reason == "STATUS_LIST_SIGNATURE"


def changed(path: tuple[str, ...], value: object) -> bytes:
    document: dict[str, Any] = json.loads(signed())
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data_integrity.canonical(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("more",), 1),
        (("id",), None),
        (("id",), "no url"),
        (("id",), "https://customs.example/other"),
        (("issuer",), "did:web:example"),
        (("issuer",), "did:ethr:0x1c95:0x" + "cd" * 20),
        (("type",), ["VerifiableCredential"]),
        (("@context",), ["https://www.w3.org/ns/credentials/v2"]),
        (("id",), "https://customs.example/" + "x" * 500),
        (("id",), "x" * 33 + ":status"),
        (("validFrom",), "2026-03-01"),
        (("validFrom",), "2026-02-30T08:00:00Z"),
        (("validUntil",), "2026-03-01T08:00:00Z"),
        (("validUntil",), "2026-04-01"),
        (("validUntil",), 7),
        (("credentialSubject", "ttl"), 300_000),
        (("credentialSubject",), []),
        (("credentialSubject", "more"), 1),
        (("credentialSubject", "type"), "StatusList2021"),
        (("credentialSubject", "statusPurpose"), "message"),
        (("credentialSubject", "statusPurpose"), ["revocation"]),
        (("credentialSubject", "sequence"), "12"),
        (("credentialSubject", "sequence"), True),
        (("credentialSubject", "sequence"), -1),
        (("credentialSubject", "encodedList"), "H4sI"),
        (("proof",), [1]),
        (("proof", "more"), 1),
        (("proof", "@context"), None),
        (("proof", "@context"), ["https://www.w3.org/ns/credentials/v2"]),
        (("proof", "cryptosuite"), "eddsa-rdfc-2022"),
        (("proof", "created"), "now"),
        (("proof", "proofValue"), 7),
        (("proof", "verificationMethod"), "did:ethr:0x1c95:0x" + "cd" * 20 + "#delegate-1"),
        (("proof", "verificationMethod"), f"{ISSUER}#controller"),
        (("proof", "verificationMethod"), 7),
    ],
)
def test_another_form_is_refused(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(StatusListError) as caught:
        parse_status_list(changed(path, value))
    assert caught.value.reason == "STATUS_LIST_MALFORMED"


def test_bounds() -> None:
    assert parse_status_list(signed(sequence=0)).sequence == 0
    assert parse_status_list(signed(sequence=MAX_SEQUENCE)).sequence == MAX_SEQUENCE
    for bad in (signed()[:-1], signed() + b" ", b" " * 1_048_577):
        with pytest.raises(StatusListError):
            parse_status_list(bad)
    with pytest.raises(StatusListError):
        signed(purpose="refresh")


def test_a_list_is_valid_from_its_time_until_the_time_it_names() -> None:
    found = parse_status_list(signed(valid_until="2026-04-01T08:00:00Z"))
    found.verify(KEY.verifying_key)
    start, end = datetime(2026, 3, 1, 8, tzinfo=UTC), datetime(2026, 4, 1, 8, tzinfo=UTC)
    assert (found.valid_from, found.valid_until) == (start, end)
    second, skew = timedelta(seconds=1), timedelta(minutes=5)
    for good in (start - skew, start, end - second):
        found.check_period(good)
    parse_status_list(signed()).check_period(end + timedelta(days=10_000))
    for bad, reason in ((start - skew - second, "STATUS_LIST_NOT_YET_VALID"), (end, "STATUS_LIST_EXPIRED")):
        with pytest.raises(StatusListError) as caught:
            found.check_period(bad)
        assert caught.value.reason == reason


BEFORE = StatusBits.empty().changed(to_set=[5, 9])


def follows(bits: StatusBits = BEFORE, before: StatusBits = BEFORE, **changes: Any) -> None:
    purpose = changes.pop("before_purpose", "revocation")
    one = parse_status_list(signed(encoded_list=before.encode(), purpose=purpose))
    next_ = {"sequence": 13, "encoded_list": bits.encode()} | changes
    check_succession(one, parse_status_list(signed(**next_)))


def test_a_list_may_follow_another() -> None:
    follows()
    follows(BEFORE.changed(to_set=[7]), issued="2026-03-02T08:00:00Z")
    follows(StatusBits(BEFORE.data + bytes(100)))
    follows(BEFORE.changed(to_clear=[5]), before_purpose="suspension", purpose="suspension")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sequence": 12}, "STATUS_LIST_SEQUENCE"),
        ({"sequence": 14}, "STATUS_LIST_SEQUENCE"),
        ({"id_": "https://customs.example/status/4"}, "STATUS_LIST_SEQUENCE"),
        ({"issuer": Did("did:ethr:0x1c95:0x" + "cd" * 20)}, "STATUS_LIST_SEQUENCE"),
        ({"purpose": "suspension"}, "STATUS_LIST_PURPOSE"),
        ({"issued": "2026-03-01T07:59:59Z"}, "STATUS_LIST_TIME"),
        ({"before": StatusBits.empty(MIN_ENTRIES + 8)}, "STATUS_LIST_LENGTH"),
        ({"bits": BEFORE.changed(to_clear=[5])}, "STATUS_LIST_UNREVOKED"),
        ({"encoded_list": "uAAAA"}, "STATUS_LIST_MALFORMED"),
    ],
)
def test_another_list_may_not(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(StatusListError) as caught:
        follows(**changes)
    assert caught.value.reason == reason
