"""The data directory: one owner at a time, files whole or not at all, ports that stay."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from silkledger.stack.certificates import CertificateFiles, DevelopmentCa
from silkledger.stack.directory import DataDirectory, DirectoryInUse, NetworkFile, NotAStack
from silkledger.stack.ports import Ports

_NETWORK = NetworkFile(
    chain_id=7317,
    genesis_hash="0x" + "11" * 32,
    directory="0x" + "22" * 20,
    contracts={"LogAnchor": "0x" + "33" * 20},
    engine="anvil",
    origin="silkledger.example/embedded",
    log_verifier_key="key",
    node_url="http://127.0.0.1:1",
    endpoints={"ledger": "127.0.0.1:2"},
)


def test_network_file_comes_back_as_written(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.write_network(_NETWORK)
    assert data.read_network() == _NETWORK
    assert [path.name for path in tmp_path.iterdir()] == ["network.json"]


def test_without_network_file_it_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(NotAStack, match="silkledger up --data"):
        DataDirectory(tmp_path).read_network()


def test_incomplete_network_file_is_refused(tmp_path: Path) -> None:
    raw = json.loads(_NETWORK.to_json())
    del raw["genesis_hash"]
    (tmp_path / "network.json").write_text(json.dumps(raw))
    with pytest.raises(NotAStack, match="genesis_hash"):
        DataDirectory(tmp_path).read_network()


def test_second_owner_is_refused_and_told_who(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom silkledger.stack.directory import DataDirectory\n"
        "with DataDirectory(pathlib.Path(sys.argv[1])).run_lock():\n"
        "    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "locked\n"
    try:
        with pytest.raises(DirectoryInUse, match=str(owner.pid)), DataDirectory(tmp_path).run_lock():
            pass
    finally:
        owner.kill()
        owner.communicate()
    with DataDirectory(tmp_path).run_lock():  # a killed owner leaves no stale lock
        pass


def test_ports_stay_unless_taken(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    port = Ports(data).of("ledger")
    assert Ports(data).of("ledger") == port
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        assert Ports(data).of("ledger") != port


def test_certificate_authority_is_kept_and_its_key_private(tmp_path: Path) -> None:
    first = DevelopmentCa(tmp_path / "ca")
    certificate = first.files.certificate.read_bytes()
    assert DevelopmentCa(tmp_path / "ca").files.certificate.read_bytes() == certificate
    assert first.files.key.stat().st_mode & 0o077 == 0
    files = CertificateFiles(tmp_path / "a.crt", tmp_path / "a.key")
    first.issue_service("ledger", files)
    assert files.key.stat().st_mode & 0o077 == 0
