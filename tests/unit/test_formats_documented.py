"""Every reason code that the formats' code can give is told in docs/formats/."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    "envelope.py",
    "statement.py",
    "manifest.py",
    "manifest_leaves.py",
    "cose.py",
    "status_list.py",
    "keys",
    "log",
]
DOCUMENTS = ["suites", "statement", "manifest", "promise", "receipt", "checkpoint", "status-list"]
RAISED = re.compile(r'(?:Error|Invalid)\(\s*"([A-Z][A-Z0-9_]+)"')
PASSED = re.compile(r'"((?:[A-Z]+_)+(?:MALFORMED|LENGTH|MISMATCH))"')


def sources() -> str:
    paths = [ROOT / "silkledger" / name for name in SOURCES]
    files = [file for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else [path])]
    return "".join(file.read_text() for file in files)


def test_no_reason_is_undocumented() -> None:
    text = "".join((ROOT / "docs" / "formats" / f"{name}.md").read_text() for name in DOCUMENTS)
    code = sources()
    reasons = set(RAISED.findall(code)) | set(PASSED.findall(code))
    assert len(reasons) > 50
    internal = {reason for reason in reasons if reason.startswith("CBOR_")}
    assert sorted(reason for reason in reasons - internal if f"`{reason}`" not in text) == []
