"""Values check their shape and never stand in for each other."""

from __future__ import annotations

import pytest

from silkledger.values import (
    Address,
    BlockHash,
    CountryCode,
    Did,
    Digest,
    DocumentType,
    Money,
    TxHash,
    ValueShapeError,
)


def test_look_alikes_are_different_values() -> None:
    raw = bytes(range(32))
    assert Digest(raw) != TxHash(raw)
    assert BlockHash(raw) != TxHash(raw)
    assert Digest(raw) == Digest(raw) == raw
    assert len({Digest(raw), TxHash(raw)}) == 2


@pytest.mark.parametrize("size", [0, 31, 33])
def test_fixed_bytes_have_their_size(size: int) -> None:
    with pytest.raises(ValueShapeError, match="32 bytes"):
        Digest(bytes(size))


def test_hexadecimal_comes_back_lower_case_with_prefix() -> None:
    address = Address.from_hex("0xF39FD6E51AAD88F6F4CE6AB8827279CFFFB92266")
    assert str(address) == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert Address.from_hex(str(address)[2:]) == address
    for text in ("0xzz", "0x00", ""):
        with pytest.raises(ValueShapeError):
            Address.from_hex(text)


def test_a_did_has_one_spelling() -> None:
    did = Did.of(7317, Address(bytes([0xAB]) * 20))
    assert str(did) == "did:ethr:0x1c95:0x" + "ab" * 20
    assert (did.chain_id, did.address) == (7317, bytes([0xAB]) * 20)


@pytest.mark.parametrize(
    "text",
    [
        "did:ethr:0x1c95:0x" + "AB" * 20,
        "did:ethr:0x01c95:0x" + "ab" * 20,
        "did:ethr:mainnet:0x" + "ab" * 20,
        "did:ethr:0x" + "ab" * 20,
        "did:ethr:0x1c95:0x" + "ab" * 19,
        "did:ethr:0x1c95:0x" + "ab" * 20 + "\n",
    ],
)
def test_other_spellings_of_a_did_are_refused(text: str) -> None:
    with pytest.raises(ValueShapeError):
        Did(text)


def test_codes_check_their_shape() -> None:
    assert CountryCode("TH") == "TH"
    assert DocumentType("705").to_bytes8() == b"705\0\0\0\0\0"
    for bad in ("th", "THA", "T1", "TH\n"):
        with pytest.raises(ValueShapeError):
            CountryCode(bad)
    for bad in ("", "123456789", "70 5", "70\n"):
        with pytest.raises(ValueShapeError):
            DocumentType(bad)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1250.00", "CNY", 125000),
        ("0.5", "CNY", 50),
        ("7", "JPY", 7),
        ("1.234", "KWD", 1234),
        ("3", "CNY", 300),
    ],
)
def test_amounts_are_whole_minor_units(text: str, currency: str, minor: int) -> None:
    assert Money.parse(text, currency).amount_minor == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("1.005", "CNY"),
        ("1.000", "CNY"),
        ("1.0", "JPY"),
        ("1,00", "CNY"),
        ("-1.00", "CNY"),
        ("1e3", "CNY"),
        (" 1", "CNY"),
        ("1.00", "CNH"),
        ("1.00", "XXX"),
        ("1.00", "cny"),
        ("9" * 19, "CNY"),
        ("999999999999999999", "CNY"),
    ],
)
def test_amounts_are_refused_never_rounded(text: str, currency: str) -> None:
    with pytest.raises(ValueShapeError):
        Money.parse(text, currency)


def test_amounts_are_written_as_they_are_read() -> None:
    for text, currency in (("1250.00", "CNY"), ("0.05", "CNY"), ("7", "JPY"), ("0.001", "KWD")):
        assert Money.parse(text, currency).decimal() == text
    assert str(Money(-5, "CNY")) == "-0.05 CNY"
    for bad in (1.0, True, "1"):
        with pytest.raises(ValueShapeError):
            Money(bad, "CNY")  # type: ignore[arg-type]
