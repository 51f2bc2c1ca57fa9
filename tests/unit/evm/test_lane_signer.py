"""Key files and settings of a lane's signer: what is usable is used, the rest says why, without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_keyfile import create_keyfile_json

from silkledger.evm.keystore import load_account
from silkledger.evm.lane_signer import lane_limits, lane_signer
from silkledger.evm.signer import LocalSigner
from silkledger.evm.web3signer import Web3Signer
from silkledger.keys import KeyFileError, Suite, generate, save_key
from silkledger.keys.account import Account
from silkledger.runtime.settings import LaneSettings, Mode, SettingsError

ACCOUNT = Account.generate()
PASSWORD = b"correct horse"

VECTOR: dict[str, Any] = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}
"""The test vector of the Web3 Secret Storage Definition; its password is `testpassword`."""
VECTOR_SECRET = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def keystore(tmp_path: Path, **changes: object) -> Path:
    made = create_keyfile_json(ACCOUNT.export_secret(), PASSWORD, iterations=2, kdf="scrypt")
    return write(tmp_path / "lane.json", json.dumps(made | changes).encode())


def test_the_published_vector(tmp_path: Path) -> None:
    path = write(tmp_path / "lane.json", json.dumps(VECTOR).encode())
    account = load_account(path, write(tmp_path / "password", b"testpassword"))
    assert account.address == Account.from_secret(VECTOR_SECRET).address


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_keystore_with_its_password(tmp_path: Path, ending: bytes) -> None:
    path = write(tmp_path / "password", PASSWORD + ending)
    assert load_account(keystore(tmp_path), path).address == ACCOUNT.address


def test_pem_with_and_without_a_password(tmp_path: Path) -> None:
    ACCOUNT.save(tmp_path / "plain.pem")
    ACCOUNT.save(tmp_path / "sealed.pem", PASSWORD)
    password = write(tmp_path / "password", PASSWORD)
    assert load_account(tmp_path / "plain.pem").address == ACCOUNT.address
    assert load_account(tmp_path / "sealed.pem", password).address == ACCOUNT.address


@pytest.mark.parametrize(
    ("changes", "password", "reason"),
    [
        ({}, b"wrong horse", "KEY_FILE_PASSWORD"),
        ({}, None, "KEY_FILE_PASSWORD"),
        ({"address": "11" * 20}, PASSWORD, "KEY_FILE_MALFORMED"),
        ({"version": 4}, PASSWORD, "KEY_FILE_MALFORMED"),
        ({"crypto": {}}, PASSWORD, "KEY_FILE_MALFORMED"),
        ({"crypto": "none"}, PASSWORD, "KEY_FILE_MALFORMED"),
    ],
)
def test_a_keystore_that_cannot_be_used(
    tmp_path: Path, changes: dict[str, object], password: bytes | None, reason: str
) -> None:
    secret = None if password is None else write(tmp_path / "password", password)
    with pytest.raises(KeyFileError) as error:
        load_account(keystore(tmp_path, **changes), secret)
    assert error.value.reason == reason
    told = f"{error.value} {error.value!r}"
    assert ACCOUNT.export_secret().hex() not in told
    assert "horse" not in told


def test_not_json_and_not_there(tmp_path: Path) -> None:
    password = write(tmp_path / "password", PASSWORD)
    for data in (b'{"version": 3', b"{]"):
        with pytest.raises(KeyFileError, match="KEY_FILE_MALFORMED"):
            load_account(write(tmp_path / "lane.json", data), password)
    with pytest.raises(KeyFileError, match="KEY_FILE_MISSING"):
        load_account(tmp_path / "absent")
    with pytest.raises(KeyFileError, match="KEY_FILE_MISSING"):
        load_account(keystore(tmp_path), tmp_path / "absent")


@pytest.mark.parametrize("name", ["lane.json", "password"])
def test_files_open_to_others_are_refused(tmp_path: Path, name: str) -> None:
    path, password = keystore(tmp_path), write(tmp_path / "password", PASSWORD)
    (tmp_path / name).chmod(0o644)
    with pytest.raises(KeyFileError, match="KEY_FILE_PERMISSIONS"):
        load_account(path, password)


async def test_settings_choose_the_signer(tmp_path: Path) -> None:
    password = write(tmp_path / "password", PASSWORD)
    local = LaneSettings(lane_key_file=keystore(tmp_path), lane_key_password_file=password)
    async with lane_signer(local) as signer:
        assert isinstance(signer, LocalSigner)
        assert signer.address == ACCOUNT.address
    remote = LaneSettings(lane_signer_url="http://127.0.0.1:1", lane_signer_address=str(ACCOUNT.address))
    async with lane_signer(remote) as signer:
        assert isinstance(signer, Web3Signer)
        assert signer.address == ACCOUNT.address


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({}, "SILKLEDGER_LANE_KEY_FILE"),
        ({}, "SILKLEDGER_LANE_SIGNER_URL"),
        ({"lane_key_file": Path("x"), "lane_signer_url": "http://127.0.0.1:1"}, "SILKLEDGER_LANE_SIGNER_URL"),
        ({"lane_key_file": Path("/nowhere")}, "SILKLEDGER_LANE_KEY_FILE"),
        ({"lane_signer_url": "http://127.0.0.1:1"}, "SILKLEDGER_LANE_SIGNER_ADDRESS"),
        (
            {"lane_signer_url": "http://u:hunter2@s.example", "lane_signer_address": "0x" + "11" * 20},
            "SILKLEDGER_LANE_SIGNER_URL",
        ),
    ],
)
async def test_unusable_settings_name_their_variable(settings: dict[str, Any], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable) as error:
        async with lane_signer(LaneSettings(**settings)):
            pass
    assert "hunter2" not in f"{error.value} {LaneSettings(**settings)!r}"


def test_a_key_of_another_suite(tmp_path: Path) -> None:
    save_key(tmp_path / "log.pem", generate(Suite.EDDSA))
    settings = LaneSettings(lane_key_file=tmp_path / "log.pem")

    async def start() -> None:
        async with lane_signer(settings):
            pass

    with pytest.raises(SettingsError, match="secp256k1"):
        start().send(None)


def test_a_lease_that_an_idle_transaction_may_outlast_is_for_development() -> None:
    short, usual = LaneSettings(lane_lease_ms=8_000), LaneSettings()
    assert lane_limits(short, Mode.DEVELOPMENT).lease_s == 8
    assert lane_limits(usual, Mode.PRODUCTION).lease_s == 20
    with pytest.raises(SettingsError, match="must not run in production mode"):
        lane_limits(short, Mode.PRODUCTION)
