"""What `audit replay` refuses before it reads a block: bad nodes, bad trust roots, roots without rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from silkledger.evidence.bundle import Contract
from silkledger.evidence.header import EngineKind
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.stack.directory import DataDirectory, NetworkFile
from silkledger.values import Address, BlockHash

GENESIS, DIRECTORY = BlockHash(b"\1" * 32), Address(b"\2" * 20)
CONTRACTS = {c.directory_name: Address(bytes([i + 1]) * 20) for i, c in enumerate(Contract)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of a QBFT network whose node does not answer."""
    file = NetworkFile(
        chain_id=7317,
        genesis_hash=str(GENESIS),
        directory=str(DIRECTORY),
        contracts={name: str(address) for name, address in CONTRACTS.items()},
        engine="besu-qbft",
        origin="silkledger.example/a",
        log_verifier_key="silkledger.example/a+00000000+AQ==",
        node_url="http://127.0.0.1:1",
        endpoints={},
    )
    DataDirectory(tmp_path).network_file.write_text(file.to_json())
    return tmp_path


def replay(data: Path, *arguments: str) -> tuple[int, str]:
    """Exit status, and the error's message."""
    result = CliRunner().invoke(app, ["audit", "replay", *arguments, "--data", str(data), "--json"])
    document: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, document["error"]["message"]


def roots(folder: Path, chain_id: int) -> str:
    rules = ValidatorRules(30_000)
    value = TrustRoots(chain_id, GENESIS, EngineKind.QBFT, rules, DIRECTORY, CONTRACTS, {})
    (folder / "roots.json").write_text(value.to_json())
    return str(folder / "roots.json")


def test_nodes_are_urls_with_different_names(data: Path) -> None:
    for nodes in (["a=ftp://one"], ["a=http://one", "a=http://two"]):
        code, message = replay(data, *(part for node in nodes for part in ("--node", node)))
        assert (code, message[:7]) == (ExitCode.USAGE, "--node:")
        assert "SILKLEDGER" not in message


def test_trust_roots_must_be_readable_and_of_this_network(data: Path) -> None:
    (data / "bad.json").write_text("{}")
    for path in (str(data / "none.json"), str(data / "bad.json"), roots(data, 1)):
        code, message = replay(data, "--under", path)
        assert (code, message[:8]) == (ExitCode.USAGE, "--under:")
    assert "another network" in message


def test_no_trust_roots_are_written_without_the_rules_of_the_seals(data: Path) -> None:
    out = data / "out.json"
    code, message = replay(data, "--trust-roots", str(out))
    assert code == ExitCode.USAGE
    assert "--under" in message
    assert not out.exists()


def test_what_is_good_goes_as_far_as_the_node(data: Path) -> None:
    """The negative twin of the above: the same command, told rightly, fails at the node that is not there."""
    arguments = ("--under", roots(data, 7317), "--trust-roots", str(data / "out.json"))
    code, message = replay(
        data, *arguments, "--node", "a=http://127.0.0.1:1", "--node", "b=http://127.0.0.1:2"
    )
    assert code == ExitCode.UNAVAILABLE
    assert "node a: NODE_SILENT" in message and "node b: NODE_SILENT" in message
