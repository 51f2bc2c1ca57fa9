"""The tool that `make test` runs parts with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _beside(*commands: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools/beside.py"), *commands]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_commands_run_at_once_and_tell_what_they_said(tmp_path: Path) -> None:
    wait = "sh -c 'touch {mine}; until test -e {theirs}; do sleep 0.02; done; echo {name}'"
    a, b = tmp_path / "a", tmp_path / "b"
    done = _beside(wait.format(mine=a, theirs=b, name="one"), wait.format(mine=b, theirs=a, name="other"))
    assert done.returncode == 0
    assert {"one", "other"} <= set(done.stdout.splitlines())


def test_one_that_fails_is_not_passed_over() -> None:
    for commands in (("false", "true"), ("true", "sh -c 'echo why; exit 3'"), ("sh -c 'kill -9 $$'", "true")):
        done = _beside(*commands)
        assert done.returncode != 0
        assert "exit status" in done.stdout
    assert _beside("true", "true").returncode == 0
