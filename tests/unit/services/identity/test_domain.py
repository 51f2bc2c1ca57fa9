"""Decisions of the identity service: certificates, relayed functions, deadlines, actors."""

from __future__ import annotations

import ast
import inspect
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.identity import domain, errors
from services.identity.domain import (
    RELAYED,
    CertificateAuthority,
    Refused,
    check_actor,
    check_calldata,
    check_csr,
    check_deadline,
)
from silkledger.evm.contracts import artifact, encode_call
from silkledger.registry.enrolment import ROLES as ENROLLED
from silkledger.runtime.auth import ROLES, caller_of_certificate
from silkledger.values import Address, Did
from tests.support.pki import TestCa

DID = Did.of(7317, Address(b"\xab" * 20))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def csr(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey, *names: x509.GeneralName) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def ca() -> TestCa:
    return TestCa()


@pytest.fixture(scope="module")
def authority(ca: TestCa) -> CertificateAuthority:
    return CertificateAuthority.load(ca.pem, ca.key_pem)


def issue(authority: CertificateAuthority, pem: str, *, local: bool, days: int = 397) -> x509.Certificate:
    chain = authority.issue(
        check_csr(pem), DID, frozenset({"bank", "agency"}), now=NOW, days=days, local_names=local
    )
    return x509.load_pem_x509_certificates(chain.encode())[0]


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()])
def test_the_runtime_reads_caller_and_roles_from_what_is_issued(
    authority: CertificateAuthority, key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey
) -> None:
    leaf = issue(authority, csr(key), local=False)
    caller = caller_of_certificate(leaf.public_bytes(serialization.Encoding.PEM))
    assert (caller.did, caller.roles) == (DID, frozenset({"agency", "bank"}))


def test_names_that_were_asked_for_are_left_out_in_production(authority: CertificateAuthority) -> None:
    asked = (x509.DNSName("localhost"), x509.UniformResourceIdentifier("urn:silkledger:role:operator"))
    pem = csr(ec.generate_private_key(ec.SECP256R1()), *asked)
    for local, expected in ((False, []), (True, ["localhost"])):
        names = issue(authority, pem, local=local).extensions
        found = names.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found.get_values_for_type(x509.DNSName) == expected
        assert "urn:silkledger:role:operator" not in found.get_values_for_type(x509.UniformResourceIdentifier)


def test_a_certificate_never_outlives_its_ca_nor_397_days(
    ca: TestCa, authority: CertificateAuthority
) -> None:
    pem = csr(ec.generate_private_key(ec.SECP256R1()))
    leaf = issue(authority, pem, local=False, days=10_000)
    assert leaf.not_valid_after_utc <= ca.certificate.not_valid_after_utc
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=397)
    assert issue(authority, pem, local=False).serial_number != leaf.serial_number


def test_a_key_of_another_ca_is_refused_at_start(ca: TestCa) -> None:
    with pytest.raises(ValueError, match="not the CA certificate's"):
        CertificateAuthority.load(ca.pem, TestCa().key_pem)


def test_the_ca_key_is_in_no_text_form(authority: CertificateAuthority) -> None:
    assert "PRIVATE" not in repr(authority)
    assert "key" not in repr(authority)


@pytest.mark.parametrize("rpc", sorted(RELAYED))
def test_relayed_functions_are_the_contracts_own(rpc: str) -> None:
    contract, functions = RELAYED[rpc]
    for function in functions:
        entry = artifact(contract).functions[f"{function.name}({','.join(function.types)})"]
        assert (entry.selector, entry.names) == (function.selector, function.names)


def test_no_function_is_relayed_by_two_rpcs() -> None:
    selectors = [f.selector for _, functions in RELAYED.values() for f in functions]
    assert len(selectors) == len(set(selectors))


GOOD = (Address(b"\1" * 20), b"CN", b"705", 2, 5, 0, bytes(32), True)


def test_good_calldata_is_read() -> None:
    name, arguments = check_calldata("Accredit", encode_call("TrustRegistry", "accredit", GOOD))
    assert (name, arguments["level"], arguments["maySubaccredit"]) == ("accredit", 2, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({3: 0}, "CALL_ARGUMENT_INVALID"),
        ({3: 4}, "CALL_ARGUMENT_INVALID"),
        ({1: b"C\0"}, "CALL_ARGUMENT_INVALID"),
        ({2: b""}, "CALL_ARGUMENT_INVALID"),
        ({2: b"7\x000"}, "CALL_ARGUMENT_INVALID"),
        ({2: b"\xff"}, "CALL_ARGUMENT_INVALID"),
        ({5: 5}, "CALL_ARGUMENT_INVALID"),
    ],
)
def test_arguments_that_the_contract_would_refuse_are_named(change: dict[int, object], reason: str) -> None:
    arguments = [change.get(i, value) for i, value in enumerate(GOOD)]
    with pytest.raises(Refused) as caught:
        check_calldata("Accredit", encode_call("TrustRegistry", "accredit", arguments))
    assert (caught.value.reason, caught.value.field) == (reason, "call.data")


def test_calldata_of_another_rpc_or_not_canonical_is_refused() -> None:
    data = encode_call("TrustRegistry", "accredit", GOOD)
    for rpc, sent, reason in (
        ("Recognise", data, "CALL_FUNCTION_NOT_ALLOWED"),
        ("Accredit", data[:4], "CALL_DATA_MALFORMED"),
        ("Accredit", data + bytes(32), "CALL_DATA_MALFORMED"),
        ("Accredit", data[:-1] + b"\2", "CALL_DATA_MALFORMED"),
    ):
        with pytest.raises(Refused) as caught:
            check_calldata(rpc, sent)
        assert caught.value.reason == reason


def test_deadlines_are_ahead_but_not_far() -> None:
    check_deadline(101, 100)
    for deadline, reason in ((100, "CALL_EXPIRED"), (100 + 86_401, "CALL_DEADLINE_TOO_FAR")):
        with pytest.raises(Refused) as caught:
            check_deadline(deadline, 100)
        assert caught.value.reason == reason


def test_the_actor_is_the_caller_or_the_owner_of_its_identity() -> None:
    owner, stranger = Address(b"\1" * 20), Address(b"\2" * 20)
    check_actor(DID.address, DID, owner)
    check_actor(owner, DID, owner)
    with pytest.raises(Refused):
        check_actor(stranger, DID, owner)


def test_every_reason_of_the_domain_has_a_code() -> None:
    tree = ast.parse(inspect.getsource(domain))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Refused"]
    reasons = {n.args[0].value for n in calls if isinstance(n.args[0], ast.Constant)}
    assert reasons
    assert reasons <= set(errors.REASONS)


def test_enrolment_roles_are_roles_of_the_runtime_but_never_the_registrars() -> None:
    assert set(ENROLLED) == ROLES - {"operator"}
