"""`silkledger status-list verify`, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from tests.unit.evidence.test_list_equivocation import MULTIKEY
from tests.unit.evidence.test_list_verdict import LISTS, PLAIN, Ledger, signed

RUNNER = CliRunner()
WHEN = ("--at", "2026-03-05T00:00:00Z")


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = RUNNER.invoke(app, ["status-list", *map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A list, what shows whose it is and that it is recorded, and the trust roots."""
    ledger = Ledger.of(sealed=True)
    contents = {
        "list": LISTS[1].raw,
        "evidence": ledger.identity.evidence().encode(),
        "events": ledger.registry.proof().encode(),
        "roots": ledger.roots().to_json().encode(),
        "unsealed": PLAIN.roots().to_json().encode(),
        "other": signed(1, 7).raw,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents}


def test_a_list_is_verified_and_its_entries_told(files: dict[str, Path]) -> None:
    roots = ("--trust-roots", files["roots"], *WHEN)
    shown = ("--evidence", files["evidence"], "--events", files["events"])
    code, answer = run("verify", files["list"], *roots, *shown, "--index", 7, "--index", 8)
    assert (code, answer["outcome"], answer["assurance"]) == (0, "PASS", "SEALED_BY_QUORUM"), answer
    assert answer["entries"] == {"7": True, "8": False}
    assert answer["statusList"]["sequence"] == 1
    assert answer["blocks"] == [101, 107]
    text = RUNNER.invoke(
        app, ["status-list", "verify", *map(str, (files["list"], *roots, *shown)), "--index", "7"]
    )
    assert text.exit_code == 0
    assert "revoked" in text.stdout

    pinned = ("--issuer-key", MULTIKEY, "--events", files["events"])
    code, answer = run("verify", files["list"], *roots, *pinned)
    assert (code, answer["outcome"]) == (0, "PASS")

    code, answer = run("verify", files["other"], *roots, *shown)
    assert code == ExitCode.FAILED
    assert {c["reason"] for c in answer["checks"]} == {"", "STATUS_LIST_RECORDED_OTHERWISE"}

    code, answer = run("verify", files["list"], *roots, "--evidence", files["evidence"])
    assert (code, answer["outcome"]) == (ExitCode.INCOMPLETE, "INCOMPLETE")

    late = ("--trust-roots", files["roots"], "--at", "2026-05-01T00:00:00Z")
    code, answer = run("verify", files["list"], *late, *shown)
    assert code == ExitCode.FAILED
    assert "STATUS_LIST_EXPIRED" in {c["reason"] for c in answer["checks"]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("--index", "131072"), "entries"),
        (("--issuer-key", "zzz"), "MULTICODEC_UNKNOWN"),
        (("--at", "today"), "no time"),
        (("--events", "/nowhere"), "nowhere"),
        (("--trust-roots", "/nowhere"), "nowhere"),
    ],
)
def test_a_bad_command_line_is_told(files: dict[str, Path], change: tuple[str, str], word: str) -> None:
    code, answer = run("verify", files["list"], "--trust-roots", files["roots"], *WHEN, *change)
    assert code == ExitCode.USAGE
    assert word in json.dumps(answer)
