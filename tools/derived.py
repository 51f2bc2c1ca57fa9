"""Regenerates every committed file that has a generator, or with --check says which differ.

Each generator is run in place; --check compares the tree before and after by content and puts the
committed bytes back, so that a check leaves nothing changed.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

GENERATORS: tuple[tuple[str, list[str], tuple[str, ...]], ...] = (
    (
        "gRPC stubs",
        ["tools/proto.sh"],
        ("proto/buf/**/*", "buf/**/*.py*", "silkledger/*/v1/*"),
    ),
    ("contract artifacts", ["tools/contracts.sh"], ("contracts/artifacts/*.json",)),
    (
        "test vectors of keys, statements and the log",
        [sys.executable, "tools/vectors_core.py"],
        ("tests/vectors/keys/*.json", "tests/vectors/statement/*.json", "tests/vectors/log/*.json"),
    ),
    (
        "evidence bundles with their verdicts",
        [sys.executable, "-m", "tests.vectors.evidence.write_verdicts"],
        ("tests/vectors/evidence/verdicts.json", "tests/vectors/evidence/bundles/*.cbor"),
    ),
    (
        "completeness proofs with their answers",
        [sys.executable, "-m", "tests.vectors.evidence.write_completeness"],
        ("tests/vectors/evidence/completeness.json", "tests/vectors/evidence/completeness/*.cbor"),
    ),
    ("sample documents", [sys.executable, "-m", "tools.samples"], ("samples/*.*",)),
    ("command line reference", [sys.executable, "tools/cli_docs.py"], ("docs/cli.md",)),
    ("error reasons", [sys.executable, "-m", "tools.error_reasons"], ("docs/formats/errors.md",)),
)
"""What it makes, how it is run from the root, and which files are its output."""


def _snapshot(patterns: tuple[str, ...]) -> dict[pathlib.Path, bytes]:
    found = (path for pattern in patterns for path in ROOT.glob(pattern))
    return {path: path.read_bytes() for path in found if path.is_file() and "__pycache__" not in path.parts}


def _restore(before: dict[pathlib.Path, bytes], after: dict[pathlib.Path, bytes]) -> None:
    for path in after.keys() - before.keys():
        path.unlink()
    for path, content in before.items():
        if after.get(path) != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if anything differs")
    check = parser.parse_args().check
    differing: list[str] = []
    for name, command, patterns in GENERATORS:
        before = _snapshot(patterns)
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after = _snapshot(patterns)
        changed = sorted(
            path.relative_to(ROOT).as_posix()
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path)
        )
        print(f"{name}: {'up to date' if not changed else f'{len(changed)} file(s) differ'}")
        differing += changed
        if check:
            _restore(before, after)
    for path in differing:
        print(f"  {path}", file=sys.stderr)
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
