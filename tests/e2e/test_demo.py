"""The whole story, once, as a newcomer runs it; then the command line on what it left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(300)


def _silkledger(*arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "silkledger.cli", *arguments], capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    kept = tmp_path_factory.mktemp("demo") / "kept"
    return _silkledger("demo", "--json", "--keep", str(kept)), kept


def _document(story: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    run, _ = story
    assert run.stdout, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def test_every_claim_holds_and_the_exit_code_says_so(
    story: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    run, _ = story
    document = _document(story)
    broken = [claim for claim in document["claims"] if not claim["held"]]
    assert broken == []
    assert document["allHeld"] is True
    assert run.returncode == 0, run.stderr
    assert len(document["claims"]) >= 20


def test_every_chapter_is_in_the_final_table(
    story: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    chapters = {claim["chapter"][0] for claim in _document(story)["claims"]}
    assert chapters == {"2", "3", "4", "5", "6", "7"}


def test_tampering_is_named(story: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    details = [c["detail"] for c in _document(story)["claims"] if c["chapter"].startswith("7")]
    assert details[0] == "document: DOCUMENT_DIGEST"
    assert details[1]
    assert details[2] == "entry_pack[call=1, first_item=0].entries"


@pytest.mark.parametrize(
    ("name", "options", "code", "outcome"),
    [
        ("invoice.xml", (), 3, "PASS_DEVELOPMENT_ONLY"),
        ("invoice.xml", ("--allow-unsealed",), 0, "PASS_DEVELOPMENT_ONLY"),
        ("certificate-of-origin.pdf", ("--allow-unsealed",), 1, "FAIL"),
    ],
)
def test_offline_verification_of_what_was_kept(
    story: tuple[subprocess.CompletedProcess[str], Path],
    name: str,
    options: tuple[str, ...],
    code: int,
    outcome: str,
) -> None:
    _, kept = story
    samples = Path(__file__).resolve().parents[2] / "samples"
    roots = ("--trust-roots", str(kept / "evidence" / "trust-roots.json"), "--relying", "TH")
    bundle = str(kept / "evidence" / f"{name}.evidence")
    run = _silkledger("evidence", "verify", str(samples / name), bundle, *roots, *options, "--json")
    assert run.returncode == code, run.stderr
    assert json.loads(run.stdout)["outcome"] == outcome


def test_no_key_and_no_seed_in_any_log(
    story: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    _, kept = story
    for log in [*kept.glob("services/*/log.jsonl"), kept / "up.log"]:
        assert "PRIVATE KEY" not in log.read_text("utf-8", "replace")
