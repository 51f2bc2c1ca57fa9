"""Whose certificate a server shows."""

from __future__ import annotations

import pytest

from services.settlement.peers.channels import did_of_server
from silkledger.values import Address, Did
from tests.support.pki import TestCa

BANK, OTHER = (Did.of(7317, Address(bytes([n]) * 20)) for n in (1, 2))


@pytest.fixture(scope="module")
def ca() -> TestCa:
    return TestCa()


def test_a_bank_is_named_by_its_certificate(ca: TestCa) -> None:
    assert did_of_server(ca.bank(BANK).certificate) == BANK


def test_a_certificate_without_exactly_one_did_names_nobody(ca: TestCa) -> None:
    assert did_of_server(ca.server().certificate) is None
    assert did_of_server(ca.client().certificate) is None
    assert did_of_server(ca.client(str(BANK), str(OTHER)).certificate) is None
    assert did_of_server(ca.client("did:ethr:0x1c95:nonsense").certificate) is None
    assert did_of_server(b"no certificate") is None
