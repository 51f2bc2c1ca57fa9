"""Who acts in the story, and what they share: the running stack, the samples, what was registered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from silkledger.cli.context import Session
from silkledger.cli.demo.narrator import Narrator
from silkledger.cli.enrolling import Newcomer
from silkledger.cli.output import Output

SAMPLES = Path(__file__).resolve().parents[3] / "samples"

AUTHORITIES = (
    Newcomer("authority-cn", "Sample Trade Authority of Country CN", "CN", ("authority",)),
    Newcomer("authority-th", "Sample Trade Authority of Country TH", "TH", ("authority",)),
    Newcomer("authority-sg", "Sample Trade Authority of Country SG", "SG", ("authority",)),
)
AGENCIES = (
    Newcomer("customs-cn", "Sample Customs Agency", "CN", ("agency",)),
    Newcomer("maritime-th", "Sample Maritime Agency", "TH", ("agency",)),
)
AUDITOR = Newcomer("auditor-sg", "Sample Audit Office", "SG", ("auditor",))
INSTITUTION = Newcomer(
    "clearing-cn",
    "Sample Settlement Institution",
    "CN",
    ("settlement-institution",),
    lei="SMPLCLEAR00000000018",
    bic="SMPSCNB0XXX",
)
BANKS = (
    Newcomer(
        "bank-a",
        "Sample Bank A",
        "CN",
        ("bank",),
        lei="SMPLBANKA00000000080",
        bic="SMPACNB0XXX",
        accounts=("SAMPLECNY0001",),
        settled_by="clearing-cn",
    ),
    Newcomer(
        "bank-b",
        "Sample Bank B",
        "TH",
        ("bank",),
        lei="SMPLBANKB00000000075",
        bic="SMPBTHB0XXX",
        accounts=("SAMPLECNY0002",),
        settled_by="clearing-cn",
    ),
)

ISSUES = {"customs-cn": ("705", "380", "861"), "maritime-th": ("465", "AC")}
"""Document types that each agency is accredited for."""

PARTNERS = (("CN", "TH"), ("TH", "CN"))
"""(relying, issuing) countries that recognise each other. SG recognises nobody."""


@dataclass(frozen=True, slots=True)
class Document:
    """One sample with its place in the story."""

    file: Path
    document_type: str
    content_type: str
    subject: str
    issuer: str
    relying: str


def documents() -> dict[str, Document]:
    """Samples by file name, with issuer and relying country."""
    entries: list[dict[str, Any]] = json.loads((SAMPLES / "manifest.json").read_text("utf-8"))["documents"]
    found = {}
    for entry in entries:
        issuer = next(alias for alias, types in ISSUES.items() if entry["documentType"] in types)
        found[entry["file"]] = Document(
            SAMPLES / entry["file"],
            entry["documentType"],
            entry["contentType"],
            entry["subject"],
            issuer,
            "TH" if issuer.endswith("-cn") else "CN",
        )
    return found


@dataclass(slots=True)
class Stage:
    """What the chapters share."""

    data: Path
    narrator: Narrator
    statements: dict[str, bytes] = field(default_factory=dict)
    """Statement id by file name."""
    as_of: int = 0
    """Block as of which the evidence speaks."""

    def session(self, alias: str) -> Session:
        """A quiet session: chapters tell their own story."""
        return Session(self.data, alias, Output(True))

    @property
    def evidence(self) -> Path:
        return self.data / "evidence"

    def evidence_of(self, name: str) -> Path:
        return self.evidence / f"{name}.evidence"

    @property
    def trust_roots(self) -> Path:
        return self.evidence / "trust-roots.json"
