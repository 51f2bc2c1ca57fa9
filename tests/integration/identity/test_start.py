"""What must not run does not start: one line says why, and tells no secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.identity.__main__ import main
from silkledger.evm.startup import CANNOT_START, start
from silkledger.keys.account import Account
from tests.support.pki import TestCa

ROOT = Path(__file__).resolve().parents[3]


def settings(directory: Path) -> dict[str, str]:
    ca = TestCa()
    certificate, key, root = ca.server().write(directory)
    (directory / "ca.key").write_bytes(ca.key_pem)
    Account.generate().save(directory / "lane.pem")
    return {
        "DATABASE_URL": f"sqlite:///{directory}/identity.sqlite",
        "NODE_URL": "http://user:hunter2@127.0.0.1:1",
        "ENGINE": "anvil",
        "CHAIN_ID": "7317",
        "GENESIS_HASH": "0x" + "11" * 32,
        "DIRECTORY": "0x" + "22" * 20,
        "TLS_CERT": str(certificate),
        "TLS_KEY": str(key),
        "TLS_CA": str(root),
        "LANE_KEY_FILE": str(directory / "lane.pem"),
        "CA_CERT": str(root),
        "CA_KEY": str(directory / "ca.key"),
    }


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"CA_KEY": ""}, "SILKLEDGER_CA_KEY"),
        ({"CA_KEY": "/nowhere"}, "SILKLEDGER_CA_CERT"),
        ({"LANE_KEY_FILE": "/nowhere"}, "SILKLEDGER_LANE_KEY_FILE"),
        ({"CHAIN_ID": "seven"}, "SILKLEDGER_CHAIN_ID"),
        ({"ENGINE": "other"}, "SILKLEDGER_ENGINE"),
        ({"MODE": "production"}, "SILKLEDGER_MODE"),
        ({"DATABASE_URL": "mysql://user:hunter2@host/db"}, "mysql"),
    ],
)
def test_bad_settings_end_the_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    change: dict[str, str],
    named: str,
) -> None:
    for name, value in (settings(tmp_path) | change).items():
        monkeypatch.setenv(f"SILKLEDGER_{name}", value)
    assert start("identity", main) == CANNOT_START
    _told_in_a_line(named, "".join(capfd.readouterr()))


def test_the_process_says_so_too(tmp_path: Path) -> None:
    values = settings(tmp_path) | {"DATABASE_URL": "mysql://user:hunter2@host/db"}
    done = subprocess.run(
        [sys.executable, "-m", "services.identity"],
        cwd=ROOT,
        env={f"SILKLEDGER_{name}": value for name, value in values.items()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == CANNOT_START
    _told_in_a_line("mysql", done.stderr)


def _told_in_a_line(named: str, text: str) -> None:
    assert named in text
    assert len([line for line in text.splitlines() if "cannot_start" in line]) == 1
    assert "hunter2" not in text
    assert "Traceback" not in text
