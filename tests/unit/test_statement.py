"""Signed statements: one form, every other refused with its own reason and field."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cbor2
import pytest

from silkledger import cbor, cose
from silkledger.keys import PrivateKey, Suite, generate
from silkledger.keys.account import Account
from silkledger.keys.suites import FACTS
from silkledger.statement import (
    MAX_BYTES,
    SignedStatement,
    StatementError,
    parse_statement,
    sign_statement,
    verify_batch,
)
from silkledger.values import Address, Did, Digest, DocumentType, StatementId

ACCOUNT = Account.generate()
DID = Did.of(7317, ACCOUNT.address)
OTHER = Did.of(7317, Address(b"\x11" * 20))
DIGEST = Digest(hashlib.sha256(b"a bill of lading").digest())
SALT = bytes(range(16))
CLAIMS: dict[int | str, Any] = {
    1: DID.text,
    2: "bl/MAEU1234567",
    6: 1_790_000_000,
    -70001: "705",
    -70002: SALT,
    -70005: ACCOUNT.public_key,
}
HEADER: dict[int | str, Any] = {
    1: -47,
    4: f"{DID}#controller".encode(),
    15: CLAIMS,
    258: -16,
    259: "application/json",
}


def sign(key: PrivateKey = ACCOUNT.key, fragment: str = "controller", **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "issuer": DID,
        "kid": f"{DID}#{fragment}",
        "subject": "bl/MAEU1234567",
        "document_type": DocumentType("705"),
        "digest": DIGEST,
        "content_type": "application/json",
        "issued_at": 1_790_000_000,
        "salt": SALT,
    }
    return sign_statement(key, **(fields | changes))


def build(header: dict[int | str, Any], payload: bytes = DIGEST, key: PrivateKey = ACCOUNT.key) -> bytes:
    """A correctly signed message with any headers, so that only the format can be at fault."""
    protected = cbor.encode(header)
    return cose.encode_sign1(protected, payload, key.sign(cose.sig_structure(protected, payload)))


def claims(**changes: Any) -> dict[int | str, Any]:
    """HEADER with claims changed; `c1=...` sets claim 1, `m70001` sets -70001, None removes."""
    changed = dict(CLAIMS)
    for name, value in changes.items():
        label = -int(name[1:]) if name[0] == "m" else int(name[1:])
        if value is None:
            changed.pop(label)
        else:
            changed[label] = value
    return HEADER | {15: changed}


def refusal(raw: bytes) -> tuple[str, str]:
    with pytest.raises(StatementError) as caught:
        parse_statement(raw)
    return caught.value.reason, caught.value.field


def test_what_was_said_comes_back() -> None:
    raw = sign(supersedes=StatementId(b"\7" * 32), audience=[OTHER, DID])
    statement = parse_statement(raw)
    assert statement.raw == raw
    assert (statement.issuer, statement.kid, statement.fragment) == (DID, f"{DID}#controller", "controller")
    assert (statement.subject, statement.document_type) == ("bl/MAEU1234567", "705")
    assert (statement.digest, statement.content_type) == (DIGEST, "application/json")
    assert (statement.issued_at, statement.salt) == (1_790_000_000, SALT)
    assert (statement.supersedes, statement.audience) == (b"\7" * 32, (OTHER, DID))
    assert statement.controller_address == ACCOUNT.address
    statement.verify(ACCOUNT.key.verifying_key)


def test_the_bytes_are_those_of_the_rfcs() -> None:
    """Read and rebuilt with a plain CBOR library, none of ours."""
    raw = sign()
    message = cbor2.loads(raw)
    assert message.tag == 18
    protected, unprotected, payload, signature = message.value
    assert cbor2.loads(protected) == HEADER
    assert (unprotected, payload) == ({}, DIGEST)
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    statement = parse_statement(raw)
    assert statement.sig_structure == structure
    assert statement.id == hashlib.sha256(structure).digest()
    ACCOUNT.key.verifying_key.verify(structure, signature)


def test_another_signature_makes_no_other_statement() -> None:
    raw = sign()
    order = FACTS[Suite.ES256K].order or 0
    high = (order - int.from_bytes(raw[-32:], "big")).to_bytes(32, "big")
    malleated = parse_statement(raw[:-32] + high)
    assert malleated.id == parse_statement(raw).id
    with pytest.raises(StatementError, match="SIGNATURE_HIGH_S: signature"):
        malleated.verify(ACCOUNT.key.verifying_key)


def test_another_salt_makes_another_statement() -> None:
    assert parse_statement(sign()).id != parse_statement(sign(salt=bytes(16))).id


@pytest.mark.parametrize("suite", list(Suite))
def test_every_suite_signs_as_a_delegate(suite: Suite) -> None:
    key = generate(suite)
    statement = parse_statement(sign(key, "delegate-3"))
    assert (statement.suite, statement.fragment, statement.controller_key) == (suite, "delegate-3", None)
    assert statement.controller_address is None
    statement.verify(key.verifying_key)
    with pytest.raises(StatementError, match="SIGNATURE_INVALID"):
        statement.verify(generate(suite).verifying_key)


def test_a_key_of_another_suite_or_another_controller_is_named() -> None:
    statement = parse_statement(sign())
    with pytest.raises(StatementError, match="SUITE_MISMATCH: alg"):
        statement.verify(generate(Suite.EDDSA).verifying_key)
    with pytest.raises(StatementError, match="CONTROLLER_KEY_MISMATCH: controller_key"):
        statement.verify(generate(Suite.ES256K).verifying_key)


@pytest.mark.parametrize("at", [10, 120, 250, -70])
def test_no_bit_can_be_turned_and_still_verify(at: int) -> None:
    raw = bytearray(sign())
    raw[at] ^= 1
    with pytest.raises(StatementError):
        parse_statement(bytes(raw)).verify(ACCOUNT.key.verifying_key)


FORM: list[tuple[Any, str]] = [
    (lambda raw: b"", "COSE_TRUNCATED"),
    (lambda raw: raw[:-1], "COSE_TRUNCATED"),
    (lambda raw: raw[:100], "COSE_TRUNCATED"),
    (lambda raw: raw + b"\0", "COSE_TRAILING_BYTES"),
    (lambda raw: raw[1:], "COSE_TAG_MISSING"),
    (lambda raw: b"\xd1" + raw[1:], "COSE_TAG_MISSING"),
    (lambda raw: b"\xd2" + raw, "COSE_KIND_REFUSED"),
    (lambda raw: b"\xd2\x80", "COSE_NOT_SIGN1"),
    (lambda raw: b"\xd2\xa0", "COSE_NOT_SIGN1"),
    (lambda raw: b"\xd2\x84\x00\xa0\x40\x40", "COSE_NOT_SIGN1"),
    (lambda raw: b"\xd2\x84\x40\x80\x40\x40", "COSE_NOT_SIGN1"),
    (lambda raw: b"\xd2\x84\x41\x80\xa0\x40\x40", "COSE_NOT_SIGN1"),
    (lambda raw: b"\xd2\x84\x41\xa0\xa0\x00\x40", "COSE_NOT_SIGN1"),
    (lambda raw: b"\xd2\x84\x41\xa0\xa0\x40\x60", "COSE_NOT_SIGN1"),
    (lambda raw: b"\xd2\x84\x41\xff\xa0\x40\x40", "COSE_MALFORMED"),
    (lambda raw: b"\xd2\x9f" + raw[2:] + b"\xff", "COSE_NOT_DETERMINISTIC"),
    (lambda raw: b"\xd2\x98\x04" + raw[2:], "COSE_NOT_DETERMINISTIC"),
    (lambda raw: raw + bytes(MAX_BYTES), "COSE_TOO_LARGE"),
]


@pytest.mark.parametrize(("change", "reason"), FORM)
def test_another_form_is_refused(change: Any, reason: str) -> None:
    assert refusal(change(sign()))[0] == reason


def test_an_unprotected_header_is_refused() -> None:
    statement = parse_statement(sign())
    protected = cbor2.loads(statement.raw).value[0]
    raw = cose.encode_sign1(protected, DIGEST, statement.signature, {4: b"elsewhere"})
    assert refusal(raw) == ("COSE_UNPROTECTED_NOT_EMPTY", "unprotected")


def test_a_header_in_another_order_is_refused() -> None:
    loose = cbor2.dumps(dict(reversed(list(HEADER.items()))))
    raw = cose.encode_sign1(loose, DIGEST, ACCOUNT.key.sign(cose.sig_structure(loose, DIGEST)))
    assert refusal(raw) == ("COSE_NOT_DETERMINISTIC", "protected")


def without(label: int) -> dict[int | str, Any]:
    return {k: v for k, v in HEADER.items() if k != label}


CONTENT: list[tuple[dict[int | str, Any], str, str]] = [
    (HEADER | {5: 1}, "HEADER_UNKNOWN", "protected[5]"),
    (HEADER | {"x": 1}, "HEADER_UNKNOWN", "protected[x]"),
    (without(4), "HEADER_MISSING", "protected[4]"),
    (without(15), "HEADER_MISSING", "protected[15]"),
    (without(258), "HEADER_MISSING", "protected[258]"),
    ({1: -47, 3: "application/json", 4: HEADER[4], 15: CLAIMS}, "NOT_A_HASH_ENVELOPE", "protected[3]"),
    (HEADER | {1: -257}, "ALG_UNSUPPORTED", "alg"),
    (HEADER | {1: "ES256K"}, "ALG_UNSUPPORTED", "alg"),
    (HEADER | {1: True}, "ALG_UNSUPPORTED", "alg"),
    (HEADER | {258: -43}, "HASH_ALG_UNSUPPORTED", "payload_hash_alg"),
    (HEADER | {259: "json"}, "CONTENT_TYPE_MALFORMED", "content_type"),
    (HEADER | {259: "a/b\n"}, "CONTENT_TYPE_MALFORMED", "content_type"),
    (HEADER | {259: 50}, "CONTENT_TYPE_MALFORMED", "content_type"),
    (HEADER | {4: f"{DID}#key-1".encode()}, "KID_MALFORMED", "kid"),
    (HEADER | {4: f"{DID}#delegate-0".encode()}, "KID_MALFORMED", "kid"),
    (HEADER | {4: f"{DID}#controller"}, "KID_MALFORMED", "kid"),
    (HEADER | {4: b"\xff"}, "KID_MALFORMED", "kid"),
    (HEADER | {4: f"{OTHER}#controller".encode()}, "KID_NOT_OF_ISSUER", "kid"),
    (HEADER | {15: []}, "CLAIMS_MALFORMED", "claims"),
    (claims(c7=b"x"), "CLAIM_UNKNOWN", "claims[7]"),
    (claims(c1=None), "CLAIM_MISSING", "issuer"),
    (claims(c6=None), "CLAIM_MISSING", "issued_at"),
    (claims(m70002=None), "CLAIM_MISSING", "salt"),
    (claims(c1="did:web:example.com"), "ISSUER_MALFORMED", "issuer"),
    (claims(c1=DID.text.upper()), "ISSUER_MALFORMED", "issuer"),
    (claims(c1=5), "ISSUER_MALFORMED", "issuer"),
    (claims(c2=""), "SUBJECT_MALFORMED", "subject"),
    (claims(c2=" bl"), "SUBJECT_MALFORMED", "subject"),
    (claims(c2="b\u202el"), "SUBJECT_MALFORMED", "subject"),
    (claims(c2="b\nl"), "SUBJECT_MALFORMED", "subject"),
    (claims(c2="x" * 257), "SUBJECT_MALFORMED", "subject"),
    (claims(c2=b"bl"), "SUBJECT_MALFORMED", "subject"),
    (claims(c6=0), "ISSUED_AT_MALFORMED", "issued_at"),
    (claims(c6=2**40), "ISSUED_AT_MALFORMED", "issued_at"),
    (claims(c6=True), "ISSUED_AT_MALFORMED", "issued_at"),
    (claims(m70001="705-1"), "DOCUMENT_TYPE_MALFORMED", "document_type"),
    (claims(m70001=705), "DOCUMENT_TYPE_MALFORMED", "document_type"),
    (claims(m70002=bytes(15)), "SALT_LENGTH", "salt"),
    (claims(m70003=bytes(31)), "SUPERSEDES_LENGTH", "supersedes"),
    (claims(m70004=[]), "AUDIENCE_MALFORMED", "audience"),
    (claims(m70004=[DID.text, DID.text]), "AUDIENCE_MALFORMED", "audience"),
    (claims(m70004=["x"]), "AUDIENCE_MALFORMED", "audience"),
    (claims(m70004=[1]), "AUDIENCE_MALFORMED", "audience"),
    (claims(m70004=DID.text), "AUDIENCE_MALFORMED", "audience"),
    (claims(m70005=None), "CONTROLLER_KEY_MISSING", "controller_key"),
    (claims(m70005=bytes(33)), "CONTROLLER_KEY_MALFORMED", "controller_key"),
    (claims(m70005=bytes(32)), "CONTROLLER_KEY_MALFORMED", "controller_key"),
    (HEADER | {4: f"{DID}#delegate-1".encode()}, "CONTROLLER_KEY_UNEXPECTED", "controller_key"),
    (HEADER | {1: -8}, "CONTROLLER_SUITE", "alg"),
]


@pytest.mark.parametrize(("header", "reason", "field"), CONTENT)
def test_other_content_is_refused_even_when_signed(
    header: dict[int | str, Any], reason: str, field: str
) -> None:
    assert refusal(build(header)) == (reason, field)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_the_digest_has_32_bytes(size: int) -> None:
    assert refusal(build(HEADER, bytes(size))) == ("DIGEST_LENGTH", "digest")


def test_a_detached_payload_is_refused() -> None:
    protected = cbor.encode(HEADER)
    signature = ACCOUNT.key.sign(cose.sig_structure(protected, DIGEST))
    assert refusal(cose.encode_sign1(protected, None, signature)) == ("PAYLOAD_DETACHED", "payload")


def test_the_largest_allowed_audience_fits_the_size_cap() -> None:
    audience = [Did.of(2**63, Address(i.to_bytes(20, "big"))) for i in range(64)]
    raw = sign(audience=audience, subject="水" * 256, supersedes=StatementId(bytes(32)))
    assert len(raw) <= MAX_BYTES
    assert parse_statement(raw).audience == tuple(audience)


def test_nothing_is_signed_that_would_be_refused() -> None:
    with pytest.raises(StatementError, match="KID_NOT_OF_ISSUER"):
        sign(kid=f"{OTHER}#controller")
    with pytest.raises(StatementError, match="CONTROLLER_SUITE"):
        sign(generate(Suite.SM2))


def test_a_batch_tells_each_apart_and_crosses_processes() -> None:
    delegate = generate(Suite.SM2)
    bad = build(claims(m70002=bytes(15)))
    wrong = sign()[:-1] + b"\0"
    items = [sign(), sign(delegate, "delegate-1"), sign(delegate, "delegate-1"), bad, wrong]
    keys = [None, delegate.verifying_key, None, None, None]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = pool.submit(verify_batch, items, keys).result(60)
    assert [type(r.statement) for r in results[:3]] == [SignedStatement] * 3
    assert [r.signed_by for r in results[:3]] == [ACCOUNT.key.verifying_key, delegate.verifying_key, None]
    assert [r.error.reason for r in results[3:] if r.error] == ["SALT_LENGTH", "SIGNATURE_INVALID"]
    assert [r.statement for r in results] == [r.statement for r in verify_batch(items, keys)]
    with pytest.raises(ValueError, match="one key entry"):
        verify_batch(items, keys[:1])


def test_errors_and_statements_pickle() -> None:
    error = pickle.loads(pickle.dumps(StatementError("A", "b", "c")))
    assert (error.reason, error.field, error.detail) == ("A", "b", "c")
    statement = parse_statement(sign())
    assert pickle.loads(pickle.dumps(statement)) == statement
