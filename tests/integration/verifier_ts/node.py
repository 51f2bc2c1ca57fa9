"""Running the verifier of clients/verifier-ts, and what of two verdicts must be equal."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from silkledger.evidence.verdict import Verdict

ROOT = Path(__file__).resolve().parents[3]
MAIN = ROOT / "clients/verifier-ts/src/main.ts"
DEADLINE_S = 120


@cache
def node() -> str:
    """Path of the toolchain's Node.js."""
    tool = subprocess.run(
        ["sh", str(ROOT / "tools/toolchain.sh"), "node"], capture_output=True, text=True, check=True
    )
    return tool.stdout.strip()


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One run of the command line, from the repository root."""
    return run_script(MAIN, *arguments)


def run_script(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One run of `script`, from the repository root."""
    command = [node(), str(script), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@dataclass(frozen=True, slots=True)
class Question:
    """As of one line of `--batch`."""

    bundle: bytes
    roots: str
    digest: str
    country: str | None = None
    as_of: int | None = None

    def line(self) -> str:
        fields = {
            "bundle": base64.b64encode(self.bundle).decode(),
            "roots": self.roots,
            "digest": self.digest,
            "country": self.country,
            "asOf": None if self.as_of is None else str(self.as_of),
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None}) + "\n"


def ask(questions: Iterable[Question], folder: Path) -> list[dict[str, Any]]:
    """The verdicts of one Node.js process, in order."""
    file = folder / "questions.jsonl"
    with file.open("w") as lines:
        lines.writelines(question.line() for question in questions)
    done = run("--batch", file)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def stable(verdict: dict[str, Any]) -> dict[str, Any]:
    """What of a verdict of clients/verifier-ts must not depend on the verifier: not the sentences."""
    return {
        "outcome": verdict["outcome"],
        "assurance": verdict["assurance"],
        "asOf": verdict["asOf"] if verdict["asOf"]["hash"] else None,
        "checks": [(check["name"], check["result"], check["reason"]) for check in verdict["checks"]],
    }


def stable_of_python(verdict: Verdict) -> dict[str, Any]:
    """The same of the Python verifier's."""
    as_of = verdict.as_of
    return {
        "outcome": verdict.outcome.name,
        "assurance": verdict.assurance.name,
        "asOf": as_of and {"number": as_of.number, "hash": str(as_of.hash), "time": as_of.time},
        "checks": [(check.name, check.result.name, str(check.reason)) for check in verdict.checks],
    }
