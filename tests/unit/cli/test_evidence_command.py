"""`silkledger evidence verify --as-of`: one bundle answers for every block whose header it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from tests.unit.evidence.world import DOCUMENT

RUNNER = CliRunner()
VECTORS = Path(__file__).resolve().parents[2] / "vectors/evidence"


@pytest.fixture
def revoked_later(tmp_path: Path) -> tuple[list[str], int]:
    """A call without a block, and the block before which the document was not revoked."""
    recorded = json.loads((VECTORS / "verdicts.json").read_text())
    case: dict[str, Any] = next(c for c in recorded["cases"] if c["name"] == "document-revoked-later")
    roots, document = tmp_path / "roots", tmp_path / "document"
    roots.write_text(json.dumps(recorded["roots"][case["roots"]]))
    document.write_bytes(DOCUMENT)
    files = [str(document), str(VECTORS / case["bundle"]), "--trust-roots", str(roots), "--json"]
    return ["evidence", "verify", *files], case["asOf"]


def test_a_document_revoked_later_passes_as_of_a_block_before(revoked_later: tuple[list[str], int]) -> None:
    call, block = revoked_later
    then = RUNNER.invoke(app, [*call, "--as-of", str(block)])
    assert json.loads(then.stdout)["asOf"]["number"] == block
    assert then.exit_code == ExitCode.DEVELOPMENT_ONLY
    now = RUNNER.invoke(app, call)
    assert now.exit_code == ExitCode.FAILED
    assert "DOCUMENT_REVOKED" in now.stdout


def test_a_block_that_is_not_in_the_bundle_is_not_judged(revoked_later: tuple[list[str], int]) -> None:
    call, _ = revoked_later
    later = RUNNER.invoke(app, [*call, "--as-of", "999"])
    assert later.exit_code == ExitCode.INCOMPLETE
    assert "AS_OF_NOT_IN_BUNDLE" in later.stdout
