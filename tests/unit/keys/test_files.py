"""Key files: what is written comes back, only to its owner, only with its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from silkledger.keys import KeyFileError, Suite, generate, load_key, save_key


def reason(path: Path, password: bytes | None = None) -> str:
    with pytest.raises(KeyFileError) as caught:
        load_key(path, password)
    return caught.value.reason


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("password", [None, b"correct horse"])
def test_a_key_comes_back_and_the_file_is_private(
    tmp_path: Path, suite: Suite, password: bytes | None
) -> None:
    key, path = generate(suite), tmp_path / "key.pem"
    save_key(path, key, password)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = load_key(path, password)
    assert (loaded.suite, loaded.export_secret()) == (suite, key.export_secret())
    loaded.verifying_key.verify(b"x", key.sign(b"x"))


@pytest.mark.parametrize("suite", list(Suite))
def test_the_password_is_needed_right_and_not_given_in_vain(tmp_path: Path, suite: Suite) -> None:
    key, sealed, plain = generate(suite), tmp_path / "sealed.pem", tmp_path / "plain.pem"
    save_key(sealed, key, b"right")
    save_key(plain, key)
    assert key.export_secret() not in sealed.read_bytes()
    assert reason(sealed) == "KEY_FILE_PASSWORD"
    assert reason(sealed, b"wrong") == "KEY_FILE_PASSWORD"
    assert reason(plain, b"right") == "KEY_FILE_PASSWORD"


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    save_key(path, generate(Suite.EDDSA))
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="KEY_FILE_EXISTS"):
        save_key(path, generate(Suite.EDDSA))
    assert path.read_bytes() == before


@pytest.mark.parametrize(("mode", "refused"), [(0o600, 0), (0o400, 0), (0o440, 0), (0o644, 1), (0o660, 1)])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int, refused: int) -> None:
    path = tmp_path / "key.pem"
    save_key(path, generate(Suite.ES256K))
    path.chmod(mode)
    if refused:
        assert reason(path) == "KEY_FILE_PERMISSIONS"
    else:
        assert load_key(path).suite is Suite.ES256K


def test_missing_and_malformed_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert reason(path) == "KEY_FILE_MISSING"
    for content in (
        b"",
        b"hello",
        b"x" * 20_000,
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ):
        path.write_bytes(content)
        path.chmod(0o600)
        assert reason(path) == "KEY_FILE_MALFORMED"


def test_an_sm2_file_whose_halves_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pem", tmp_path / "other.pem"
    save_key(one, generate(Suite.SM2))
    save_key(other, generate(Suite.SM2))
    first, second = one.read_text().splitlines(), other.read_text().splitlines()
    one.write_text("\n".join([*first[:2], *second[2:], ""]))
    assert reason(one) == "KEY_FILE_MALFORMED"


def test_the_error_text_holds_no_key_material(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key = generate(Suite.SM2)
    save_key(path, key, b"right")
    with pytest.raises(KeyFileError) as caught:
        load_key(path, b"wrong password")
    assert b"wrong" not in str(caught.value).replace("wrong password, or", "").encode()
    assert key.export_secret().hex() not in str(caught.value)
