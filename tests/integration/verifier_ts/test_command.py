"""The command line of the second verifier: what it takes, answers, and refuses to start with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from silkledger import cbor
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.offline import verify_files
from silkledger.cli.verdicts import from_evidence
from silkledger.log.checkpoint import LogVerifierKey
from tests.integration.verifier_ts.node import MAIN, ROOT, run
from tests.unit.evidence.witnesses import NAMES, vkey, witness_key

VECTORS = ROOT / "tests/vectors/evidence"
ROOTS, DOCUMENT, BUNDLE = (VECTORS / name for name in ("trust-roots.json", "document.txt", "bundle.cbor"))


def test_a_recorded_bundle_of_a_real_node_gets_the_same_json_from_both() -> None:
    done = run("--trust-roots", ROOTS, "--document", DOCUMENT, BUNDLE, "--json")
    assert done.returncode == ExitCode.DEVELOPMENT_ONLY
    assert done.stderr == ""
    theirs = json.loads(done.stdout)
    ours = from_evidence(verify_files(DOCUMENT, BUNDLE, ROOTS)).to_json()
    assert theirs.keys() == ours.keys()
    for name in ("outcome", "assurance", "asOf", "checks"):
        assert theirs[name] == ours[name]


def test_the_country_and_the_block_of_the_call_count() -> None:
    home = run("--trust-roots", ROOTS, "--document", DOCUMENT, BUNDLE, "--country", "CN", "--json")
    assert home.returncode == ExitCode.DEVELOPMENT_ONLY
    laos = run("--trust-roots", ROOTS, "--document", DOCUMENT, BUNDLE, "--country", "LA", "--json")
    assert laos.returncode == ExitCode.INCOMPLETE
    later = run("--trust-roots", ROOTS, "--document", DOCUMENT, BUNDLE, "--as-of", "99")
    assert later.returncode == ExitCode.INCOMPLETE
    assert "AS_OF_NOT_IN_BUNDLE" in later.stdout


def test_another_document_is_told_in_words() -> None:
    done = run("--trust-roots", ROOTS, "--digest", "00" * 32, BUNDLE)
    assert done.returncode == ExitCode.FAILED
    assert done.stdout.startswith("FAIL\n")
    assert re.search(r"document +FAIL +DOCUMENT_DIGEST: .*says nothing about", done.stdout)


def test_a_header_of_lists_in_lists_is_refused_at_once(tmp_path: Path) -> None:
    """A reader that copies per level takes hours over these megabytes."""
    fields = cbor.decode(BUNDLE.read_bytes())
    prefixes, length = [], 4_000_000
    for _ in range(50_000):
        prefixes.append(b"\xfb" + length.to_bytes(4, "big"))
        length += 5
    nested = b"".join(reversed(prefixes)) + bytes(4_000_000)
    bundle = tmp_path / "nested.cbor"
    bundle.write_bytes(cbor.encode(fields | {5: [*fields[5][:-1], nested]}))
    done = run("--trust-roots", ROOTS, "--document", DOCUMENT, bundle)
    assert done.returncode == ExitCode.FAILED
    assert "RLP_NOT_CANONICAL" in done.stdout


def _with(**changes: object) -> str:
    return json.dumps(json.loads(ROOTS.read_text()) | changes)


UNREADABLE = {
    "not-json": "{",
    "another-format": _with(format="silkledger-trust-roots/2"),
    "unknown-name": _with(extra=1),
    "missing-name": json.dumps({k: v for k, v in json.loads(ROOTS.read_text()).items() if k != "chainId"}),
    "repeated-name": ROOTS.read_text().replace('"chainId"', '"relyingCountry": "CN", "chainId"'),
    "repeated-name-escaped": ROOTS.read_text().replace(
        '"chainId"', '"relying\\u0043ountry": "CN", "chainId"'
    ),
    "chain-id-with-fraction": ROOTS.read_text().replace("7317", "7317.0"),
    "chain-id-negative": _with(chainId=-1),
    "short-hash": _with(genesisHash="0x00"),
    "contract-missing": _with(contracts={}),
    "block-number": _with(pinnedBlocks={"013": "0x" + "00" * 32}),
    "country": _with(relyingCountry="th"),
    "engine": _with(engine={"kind": "poa"}),
    "engine-epoch-zero": _with(engine={"kind": "qbft", "epochLength": 0, "transitions": {}}),
    "witnesses-threshold": _with(witnesses={"verifierKeys": [str(vkey(NAMES[0]))], "threshold": 2}),
    "witnesses-none": _with(witnesses={"verifierKeys": [], "threshold": 0}),
    "witnesses-twice": _with(witnesses={"verifierKeys": [str(vkey(NAMES[0]))] * 2, "threshold": 1}),
    "witnesses-of-a-log": _with(
        witnesses={
            "verifierKeys": [str(LogVerifierKey.of(NAMES[0], witness_key(NAMES[0]).verifying_key))],
            "threshold": 1,
        }
    ),
    "witnesses-name": _with(witnesses={"verifierKeys": ["witness"], "threshold": 1}),
    "witnesses-other-name": _with(witnesses={"verifierKeys": [str(vkey(NAMES[0]))], "least": 1}),
    "engine-lacks-epoch": _with(engine={"kind": "qbft", "transitions": {}}),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_trust_roots_of_another_form_are_refused_before_anything_else(name: str, tmp_path: Path) -> None:
    roots = tmp_path / "roots.json"
    roots.write_text(UNREADABLE[name])
    done = run("--trust-roots", roots, "--document", DOCUMENT, BUNDLE)
    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, "a sentence, no traceback"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--trust-roots", ROOTS, BUNDLE),
        ("--trust-roots", ROOTS, "--digest", "00", BUNDLE),
        ("--trust-roots", ROOTS, "--digest", "00" * 32, "--document", DOCUMENT, BUNDLE),
        ("--trust-roots", ROOTS, "--document", DOCUMENT),
        ("--trust-roots", ROOTS, "--document", DOCUMENT, BUNDLE, "--country", "th"),
        ("--trust-roots", ROOTS, "--document", DOCUMENT, VECTORS / "no-such-file"),
        ("--no-such-option",),
    ],
)
def test_a_question_that_is_none_is_refused(arguments: tuple[str | Path, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert done.stderr


def test_its_sources_run_without_a_build_and_open_no_connection() -> None:
    """Only what Node.js erases; and of Node.js itself only files, hashes, lines and arguments."""
    allowed = {"node:crypto", "node:fs", "node:readline", "node:util"}
    for source in MAIN.parent.glob("*.ts"):
        text = source.read_text()
        imported = set(re.findall(r'from "([^"]+)"', text))
        assert {name for name in imported if name.startswith("node:")} <= allowed, source.name
        assert not re.search(r"^\s*(?:export )?(?:enum|namespace) |\bfetch\(|\bimport\(", text, re.M), (
            source.name
        )
