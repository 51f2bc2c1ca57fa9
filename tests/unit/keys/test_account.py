"""Accounts agree with the Ethereum world's own library, and refuse what the contracts would."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from eth_account import Account as OutsideAccount

from silkledger.keys import KeyFileError, KeyShapeError, SignatureInvalid, Suite, generate, save_key
from silkledger.keys.account import Account, address_of, keccak, recover
from silkledger.keys.suites import FACTS

DIGEST = keccak(b"a digest")


def test_the_well_known_development_key_has_its_address() -> None:
    secret = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    assert str(Account.from_secret(secret).address) == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"


def test_keccak_of_nothing() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_signatures_are_those_of_the_outside_library() -> None:
    account = Account.generate()
    outside = OutsideAccount.from_key(account.export_secret())
    assert bytes(outside.unsafe_sign_hash(DIGEST).signature) == account.sign_digest(DIGEST)
    assert outside.address.lower() == str(account.address)


def test_recover_names_the_signer_and_nobody_for_another_digest() -> None:
    account = Account.generate()
    signature = account.sign_digest(DIGEST)
    assert recover(DIGEST, signature) == account.address
    assert recover(keccak(b"another"), signature) != account.address


def test_malformed_signatures_have_their_own_reasons() -> None:
    signature = Account.generate().sign_digest(DIGEST)
    order = FACTS[Suite.ES256K].order or 0
    high_s = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    cases = [
        (signature[:64], "SIGNATURE_LENGTH"),
        (signature[:64] + b"\x00", "SIGNATURE_INVALID"),
        (signature[:32] + high_s + bytes((55 - signature[64],)), "SIGNATURE_HIGH_S"),
        (bytes(32) + signature[32:], "SIGNATURE_INVALID"),
        (b"\xff" * 32 + signature[32:], "SIGNATURE_INVALID"),
    ]
    for bad, reason in cases:
        with pytest.raises(SignatureInvalid) as caught:
            recover(DIGEST, bad)
        assert caught.value.reason == reason


def test_only_digests_are_signed() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Account.generate().sign_digest(b"a message that was not hashed")


def test_both_encodings_of_a_key_have_one_address() -> None:
    account = Account.generate()
    outside = OutsideAccount.from_key(account.export_secret())
    uncompressed = b"\x04" + outside._key_obj.public_key.to_bytes()
    assert address_of(uncompressed) == address_of(account.public_key) == account.address
    with pytest.raises(KeyShapeError, match="KEY_LENGTH"):
        address_of(account.public_key[1:])
    with pytest.raises(KeyShapeError, match="KEY_NOT_ON_CURVE"):
        address_of(b"\x05" + bytes(32))


def test_an_account_is_kept_in_a_file_of_its_suite(tmp_path: Path) -> None:
    account, path, other = Account.generate(), tmp_path / "a.pem", tmp_path / "b.pem"
    account.save(path)
    assert Account.load(path).address == account.address
    with pytest.raises(KeyFileError, match="KEY_FILE_EXISTS"):
        account.save(path)
    save_key(other, generate(Suite.EDDSA))
    with pytest.raises(KeyShapeError, match="KEY_SUITE"):
        Account.load(other)


def test_the_secret_is_in_no_text_form() -> None:
    account = Account.generate()
    assert account.export_secret().hex() not in repr(account) + str(account)
    with pytest.raises(TypeError):
        pickle.dumps(account)
