"""Every reason that mirroring and restoring can give is told in docs/formats/mirror.md."""

from __future__ import annotations

import re
from pathlib import Path

from silkledger.mirror.errors import REASONS

ROOT = Path(__file__).resolve().parents[3]
RAISED = re.compile(r'(?:MirrorError|RestoreRefused)\(\s*"([A-Z_]+)"')


def test_reasons_are_declared_and_documented() -> None:
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/formats/mirror.md").read_text(), re.MULTILINE))
    mirror = {
        reason
        for path in (ROOT / "silkledger/mirror").glob("*.py")
        for reason in RAISED.findall(path.read_text())
    }
    restore = set(RAISED.findall((ROOT / "services/ledger/restore/restore.py").read_text()))
    assert mirror == set(REASONS)
    assert restore
    assert told == mirror | restore
