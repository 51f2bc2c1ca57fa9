"""Writes whole evidence bundles with their verdicts into verdicts.json and bundles/*.cbor.

Run from the repository root: `python -m tests.vectors.evidence.write_verdicts`. Run it again and nothing
changes; `--check` compares and exits 1 on a difference. The verdicts are the Python verifier's: what makes
them right are its own tests. As vectors they do not change unseen, and another verifier must agree with them
(docs/verifier-ts.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from silkledger.evidence.verdict import CheckResult, Verdict
from silkledger.evidence.verify import verify_bundle
from tests.vectors.evidence.verdict_cases import (
    Case,
    form,
    issuer,
    log,
    log_keys,
    manifest,
    sealed,
    shapes,
    witnessed,
)

OUT: Final = Path(__file__).resolve().parent


def cases() -> Iterator[Case]:
    """Every question, in the order of the file."""
    return chain(
        form.cases(),
        log.cases(),
        log_keys.cases(),
        issuer.cases(),
        sealed.cases(),
        shapes.cases(),
        manifest.cases(),
        witnessed.cases(),
    )


def answers() -> list[tuple[Case, Verdict]]:
    """Every question with the Python verifier's verdict."""
    return [
        (
            case,
            verify_bundle(
                case.digest, case.bundle, case.roots, relying_country=case.country, as_of=case.as_of
            ),
        )
        for case in cases()
    ]


def told(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict is stable; checks that are not listed passed."""
    as_of = verdict.as_of
    return {
        "outcome": verdict.outcome.name,
        "assurance": verdict.assurance.name,
        "asOf": None
        if as_of is None
        else {"number": as_of.number, "hash": str(as_of.hash), "time": as_of.time},
        "notPassed": {
            check.name: [check.result.name, check.reason]
            for check in verdict.checks
            if check.result is not CheckResult.PASS
        },
    }


def files(answered: Iterable[tuple[Case, Verdict]]) -> dict[str, bytes]:
    """Every file by its path below the folder. Equal bundles and equal trust roots are written once."""
    bundles: dict[bytes, str] = {}
    roots: dict[str, str] = {}
    listed: list[dict[str, Any]] = []
    for case, verdict in answered:
        text = case.roots.to_json()
        entry: dict[str, Any] = {
            "name": case.name,
            "bundle": bundles.setdefault(case.bundle, f"bundles/{case.name}.cbor"),
            "digest": str(case.digest),
            "roots": roots.setdefault(text, case.name),
        }
        if case.country is not None:
            entry["country"] = str(case.country)
        if case.as_of is not None:
            entry["asOf"] = case.as_of
        listed.append(entry | {"verdict": told(verdict)})
    named = {name: json.loads(text) for text, name in roots.items()}
    index = json.dumps({"roots": named, "cases": listed}, indent=1, ensure_ascii=False) + "\n"
    return {"verdicts.json": index.encode()} | {path: data for data, path in bundles.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    wanted = files(answers())
    present = {"verdicts.json", *(f"bundles/{path.name}" for path in (OUT / "bundles").glob("*.cbor"))}
    differing = [
        name
        for name, data in wanted.items()
        if not (OUT / name).is_file() or (OUT / name).read_bytes() != data
    ]
    differing += sorted(present - wanted.keys() - {"verdicts.json"})
    for name in differing:
        if check:
            sys.stderr.write(f"{OUT / name} differs from what this writes\n")
        elif name in wanted:
            (OUT / name).parent.mkdir(parents=True, exist_ok=True)
            (OUT / name).write_bytes(wanted[name])
        else:
            (OUT / name).unlink()
    return int(check and bool(differing))


if __name__ == "__main__":
    sys.exit(main())
