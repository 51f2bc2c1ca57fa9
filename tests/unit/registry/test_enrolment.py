"""The controller's proof binds every claim and the network."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from silkledger import cbor
from silkledger.keys.account import Account
from silkledger.registry.enrolment import Enrolment, ProofInvalid
from silkledger.values import CountryCode, Did

ACCOUNT = Account.from_secret(bytes(31) + b"\1")
CLAIMS = Enrolment(
    request_id="4B3C1E0A-6E0E-4D0B-8B1A-0F3B6E2A9C11",
    chain_id=7317,
    name="Sample Customs",
    country=CountryCode("TH"),
    roles=frozenset({"agency", "auditor"}),
    lei="",
    uscc="",
    bic="",
    endpoint="",
    csr_pem="-----BEGIN CERTIFICATE REQUEST-----",
    controller_key=ACCOUNT.public_key,
)


def test_a_good_proof_gives_the_did_of_the_key() -> None:
    assert CLAIMS.verify(CLAIMS.sign(ACCOUNT.key)) == Did.of(7317, ACCOUNT.address)


def test_the_message_is_the_documented_one() -> None:
    domain, encoded = CLAIMS.message()[:24], CLAIMS.message()[24:]
    assert domain == b"silkledger/enrolment/v1\0"
    assert cbor.decode(encoded) == {
        0: "did:ethr:0x1c95:0x7e5f4552091a69125d5dfcb7b8c2659029395bdf",
        1: "4b3c1e0a-6e0e-4d0b-8b1a-0f3b6e2a9c11",
        2: "Sample Customs",
        3: "TH",
        4: ["agency", "auditor"],
        5: "",
        6: "",
        7: "",
        8: "",
        9: "-----BEGIN CERTIFICATE REQUEST-----",
        10: ACCOUNT.public_key,
    }


def test_an_account_that_signs_digests_makes_the_same_proof() -> None:
    digest = hashlib.sha256(CLAIMS.message()).digest()
    CLAIMS.verify(ACCOUNT.sign_digest(digest)[:64])


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "4b3c1e0a-6e0e-4d0b-8b1a-0f3b6e2a9c12"},
        {"chain_id": 1},
        {"name": "Sample customs"},
        {"country": CountryCode("CN")},
        {"roles": frozenset({"agency"})},
        {"lei": "529900T8BM49AURSDO55"},
        {"uscc": "91110000600037341L"},
        {"bic": "SAMPTHBK"},
        {"endpoint": "127.0.0.1:1"},
        {"csr_pem": "-----BEGIN CERTIFICATE REQUEST----- "},
        {"controller_key": Account.from_secret(bytes(31) + b"\2").public_key},
    ],
)
def test_a_change_of_any_claim_breaks_the_proof(change: dict[str, object]) -> None:
    proof = CLAIMS.sign(ACCOUNT.key)
    with pytest.raises(ProofInvalid) as caught:
        replace(CLAIMS, **change).verify(proof)  # type: ignore[arg-type]
    assert caught.value.reason == "SIGNATURE_INVALID"


@pytest.mark.parametrize(
    ("proof", "reason"),
    [(b"", "SIGNATURE_LENGTH"), (bytes(64), "SIGNATURE_RANGE"), (b"\1" * 64, "SIGNATURE_INVALID")],
)
def test_bad_proofs_have_their_reason(proof: bytes, reason: str) -> None:
    with pytest.raises(ProofInvalid) as caught:
        CLAIMS.verify(proof)
    assert caught.value.reason == reason


def test_a_key_off_the_curve_is_no_identity() -> None:
    with pytest.raises(ProofInvalid) as caught:
        replace(CLAIMS, controller_key=b"\2" + b"\xff" * 32).verify(bytes(64))
    assert caught.value.reason == "CONTROLLER_KEY_INVALID"
