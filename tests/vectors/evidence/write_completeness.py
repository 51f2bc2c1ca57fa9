"""Writes completeness proofs with their answers into completeness.json and completeness/*.cbor.

Run from the repository root: `python -m tests.vectors.evidence.write_completeness`. Run it again and nothing
changes. The answers are the Python verifier's; another verifier must agree with them (docs/verifier-ts.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from silkledger.cli.completeness import document
from silkledger.evidence.completeness_verdict import CompletenessVerdict, verify_completeness
from tests.vectors.evidence import completeness_cases, contract_mode_cases
from tests.vectors.evidence.completeness_cases import Case
from tests.vectors.evidence.write_verdicts import told

OUT: Final = Path(__file__).resolve().parent
INDEX: Final = "completeness.json"


def cases() -> Iterator[Case]:
    """Every question, in the order of the file."""
    return chain(completeness_cases.cases(), contract_mode_cases.cases())


def answers() -> list[tuple[Case, CompletenessVerdict]]:
    """Every question with the Python verifier's answer."""
    return [(case, verify_completeness(case.proof, case.roots, case.question)) for case in cases()]


def files() -> dict[str, bytes]:
    """Every file by its path below the folder. Equal trust roots are written once."""
    roots: dict[str, str] = {}
    proofs: dict[bytes, str] = {}
    listed: list[dict[str, Any]] = []
    for case, answer in answers():
        question = case.question
        listed.append(
            {
                "name": case.name,
                "proof": proofs.setdefault(case.proof, f"completeness/{case.name}.cbor"),
                "roots": roots.setdefault(case.roots.to_json(), case.name),
                "contract": str(question.contract),
                "topic": f"0x{question.topic.hex()}",
                "first": question.first,
                "last": question.last,
                "verdict": told(answer.verdict),
                "events": document(answer)["events"],
            }
        )
    named = {name: json.loads(text) for text, name in roots.items()}
    index = json.dumps({"roots": named, "cases": listed}, indent=1, ensure_ascii=False) + "\n"
    return {INDEX: index.encode()} | {path: data for data, path in proofs.items()}


def main() -> None:
    wanted = files()
    for path in (OUT / "completeness").glob("*.cbor"):
        if f"completeness/{path.name}" not in wanted:
            path.unlink()
    for name, data in wanted.items():
        (OUT / name).parent.mkdir(parents=True, exist_ok=True)
        (OUT / name).write_bytes(data)


if __name__ == "__main__":
    main()
