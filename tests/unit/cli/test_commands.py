"""Exit codes and JSON of the command line, without a stack."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import MEANINGS, ExitCode
from silkledger.cli.verdicts import CODES, CheckView, VerdictView
from silkledger.stack.directory import DataDirectory

_RUNNER = CliRunner()


def _run(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = _RUNNER.invoke(app, [*arguments, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def test_without_a_stack_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    code, document = _run("org", "show", "--data", str(tmp_path))
    assert code == ExitCode.USAGE
    assert "silkledger up" in document["error"]["message"]


def test_an_act_needs_an_actor(tmp_path: Path) -> None:
    file = tmp_path / "document"
    file.write_bytes(b"text")
    code, document = _run("document", "register", str(file), "--type", "705", "--data", str(tmp_path))
    assert code == ExitCode.USAGE
    assert "--as" in document["error"]["message"]


def test_an_unknown_alias_is_named(tmp_path: Path) -> None:
    code, document = _run("settlement", "show", "--as", "nobody", "--data", str(tmp_path))
    assert code == ExitCode.USAGE
    assert "nobody" in document["error"]["message"]


def test_an_unknown_stage_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "document"
    file.write_bytes(b"text")
    code, document = _run(
        "document", "register", str(file), "--type", "705", "--wait", "sealed", "--data", str(tmp_path)
    )
    assert code == ExitCode.USAGE
    assert "sealed" in document["error"]["message"]


def test_help_of_every_command_and_no_arguments() -> None:
    assert _RUNNER.invoke(app, ["--help"]).exit_code == 0
    assert _RUNNER.invoke(app, ["no-such-command"]).exit_code == ExitCode.USAGE


def test_one_directory_runs_one_stack(tmp_path: Path) -> None:
    with DataDirectory(tmp_path).run_lock():
        command = [sys.executable, "-m", "silkledger.cli", "up", "--data", str(tmp_path)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == ExitCode.USAGE
    assert "already runs" in run.stderr
    assert not (tmp_path / "chain").exists()


def test_a_stack_interrupted_while_starting_stops_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "silkledger.cli", "up", "--data", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "deploying" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == ExitCode.OK
    assert "stopped" in rest
    assert not (tmp_path / "network.json").exists()
    assert (tmp_path / "chain").exists()


def test_the_story_needs_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "something").write_bytes(b"")
    code, document = _run("demo", "--keep", str(tmp_path))
    assert code == ExitCode.USAGE
    assert "not empty" in document["error"]["message"]


def _trust_roots(folder: Path) -> Path:
    path = folder / "roots.json"
    address = {name: "0x" + f"{n:02x}" * 20 for n, name in enumerate(_CONTRACTS, start=1)}
    roots = {
        "format": "silkledger-trust-roots/1",
        "chainId": 7317,
        "genesisHash": "0x" + "11" * 32,
        "engine": {"kind": "no-seals"},
        "directory": "0x" + "22" * 20,
        "contracts": address,
        "pinnedBlocks": {},
    }
    path.write_text(json.dumps(roots))
    return path


_CONTRACTS = ("LogAnchor", "IdentityRegistry", "TrustRegistry", "DocumentStatus")


def test_garbage_evidence_fails(tmp_path: Path) -> None:
    (tmp_path / "document").write_bytes(b"text")
    (tmp_path / "bundle").write_bytes(b"\xa0")
    code, document = _run(
        "evidence",
        "verify",
        str(tmp_path / "document"),
        str(tmp_path / "bundle"),
        "--trust-roots",
        str(_trust_roots(tmp_path)),
    )
    assert code == ExitCode.FAILED
    assert document["outcome"] == "FAIL"
    assert document["exitCode"] == 1


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_unreadable_trust_roots_are_a_usage_error(tmp_path: Path, content: str) -> None:
    for name in ("document", "bundle"):
        (tmp_path / name).write_bytes(b"x")
    roots = tmp_path / "roots"
    roots.write_text(content)
    code, _ = _run(
        "evidence",
        "verify",
        str(tmp_path / "document"),
        str(tmp_path / "bundle"),
        "--trust-roots",
        str(roots),
    )
    assert code == ExitCode.USAGE


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    code, _ = _run(
        "evidence",
        "verify",
        str(tmp_path / "none"),
        str(tmp_path / "no"),
        "--trust-roots",
        str(_trust_roots(tmp_path)),
    )
    assert code == ExitCode.USAGE


def test_offline_verification_needs_only_the_base_dependencies(tmp_path: Path) -> None:
    """Loads the command in a fresh interpreter, and looks at what came along."""
    (tmp_path / "document").write_bytes(b"text")
    (tmp_path / "bundle").write_bytes(b"\xa0")
    arguments = ["evidence", "verify", "document", "bundle", "--trust-roots", str(_trust_roots(tmp_path))]
    code = (
        "import sys\nfrom silkledger.cli.__main__ import app\n"
        f"sys.argv = ['silkledger', *{arguments!r}]\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert end.code == 1, end.code\n"
        "heavy = {'grpc', 'sqlalchemy', 'web3', 'aiohttp', 'google', 'lxml', 'eth_account'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("outcome", "plain", "unsealed"),
    [
        ("PASS", 0, 0),
        ("PASS_DEVELOPMENT_ONLY", 3, 0),
        ("FAIL", 1, 1),
        ("NOT_REGISTERED", 6, 6),
        ("INCOMPLETE", 7, 7),
    ],
)
def test_only_development_passes_are_softened(outcome: str, plain: int, unsealed: int) -> None:
    checks = (CheckView("document", "PASS", "", ""),)
    verdict = VerdictView(outcome, "NONE", 1, "0x", 0, checks, (), ())
    assert verdict.exit_code(allow_unsealed=False) == plain
    assert verdict.exit_code(allow_unsealed=True) == unsealed


def test_every_exit_code_and_outcome_is_documented() -> None:
    from silkledger.evidence.verdict import Outcome

    assert {code for code, _ in MEANINGS} == set(ExitCode)
    assert set(CODES) == {outcome.name for outcome in Outcome}
