"""Key files of a lane: PKCS#8 in PEM, or Web3 Secret Storage version 3 (what Ethereum tools call a keystore).

Sources: silkledger.keys.files for PEM; "Web3 Secret Storage Definition", version 3, for the JSON form.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from silkledger.evm.libraries import decode_keyfile_json
from silkledger.keys.account import Account
from silkledger.keys.files import KeyFileError
from silkledger.keys.suites import KeyShapeError

_MAX_FILE: Final = 16_384
_VERSION: Final = 3
_OTHERS: Final = 0o037
"""Mode bits that neither file may have: anything for others, write or execute for the group."""


def load_account(path: Path, password_file: Path | None = None) -> Account:
    """The account of a key file; a JSON object is a keystore, anything else must be PEM.

    The password is the file's content without one trailing line break.

    Raises:
        KeyFileError: KEY_FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_PASSWORD (needed, wrong, or given for a
            file without one), KEY_FILE_MALFORMED. No text of it holds a key or a password.
        KeyShapeError: a PEM with a key of another suite.
    """
    password = None if password_file is None else _password(password_file)
    data = _read(path)
    if not data.lstrip().startswith(b"{"):
        return Account.load(path, password)
    if password is None:
        raise KeyFileError("KEY_FILE_PASSWORD", path, "a keystore needs its password")
    return _from_keystore(path, data, password)


def _from_keystore(path: Path, data: bytes, password: bytes) -> Account:
    try:
        fields = json.loads(data)
    except ValueError:
        raise KeyFileError("KEY_FILE_MALFORMED", path, "not JSON") from None
    if fields.get("version") != _VERSION:
        raise KeyFileError("KEY_FILE_MALFORMED", path, f"not a keystore of version {_VERSION}")
    try:
        account = Account.from_secret(decode_keyfile_json(fields, password))
    except KeyShapeError as error:
        raise KeyFileError("KEY_FILE_MALFORMED", path, error.reason) from None
    except ValueError:  # the MAC over the ciphertext does not fit
        raise KeyFileError("KEY_FILE_PASSWORD", path, "wrong password, or the file was changed") from None
    except (KeyError, TypeError, NotImplementedError):
        raise KeyFileError("KEY_FILE_MALFORMED", path, "a field is missing or not supported") from None
    _check_address(path, fields, account)
    return account


def _check_address(path: Path, fields: Mapping[str, object], account: Account) -> None:
    """The optional address is not covered by the MAC: a file that names another one was tampered with."""
    named = fields.get("address")
    if named is not None and str(named).lower().removeprefix("0x") != str(account.address)[2:]:
        raise KeyFileError("KEY_FILE_MALFORMED", path, "its key has another address than the one it names")


def _password(path: Path) -> bytes:
    data = _read(path)
    return data.removesuffix(b"\n").removesuffix(b"\r")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            data = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise KeyFileError("KEY_FILE_MISSING", path, "no such file") from None
    except OSError as error:
        raise KeyFileError("KEY_FILE_MISSING", path, f"cannot be read ({error.strerror})") from None
    if mode & _OTHERS:
        raise KeyFileError("KEY_FILE_PERMISSIONS", path, f"mode {mode:04o} lets others in; use 0600")
    if len(data) > _MAX_FILE:
        raise KeyFileError("KEY_FILE_MALFORMED", path, "too large to be a key file")
    return data
