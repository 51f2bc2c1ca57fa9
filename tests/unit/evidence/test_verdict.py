from __future__ import annotations

import re
from pathlib import Path

import pytest

from silkledger.chain.v1 import chain_pb2
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import Assurance, Check, CheckResult, Outcome, outcome_of
from tests.unit.evidence.world import World

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs/formats/verdict.md").read_text()


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (CheckResult, chain_pb2.CheckResult, "CHECK_RESULT_"),
        (Assurance, chain_pb2.Assurance, "ASSURANCE_"),
        (Outcome, chain_pb2.Outcome, "OUTCOME_"),
    ],
)
def test_the_enums_mirror_the_wire(ours: type, theirs: object, prefix: str) -> None:
    wire = {name.removeprefix(prefix): number for name, number in theirs.items()}  # type: ignore[attr-defined]
    mine = {member.name: member.value for member in ours}  # type: ignore[attr-defined]
    assert {"UNSPECIFIED": 0} | mine == wire


def test_outcomes() -> None:
    good = Check("a", CheckResult.PASS)
    bad = Check("b", CheckResult.FAIL, "X")
    open_ = Check("c", CheckResult.NOT_CHECKED, "Y")
    assert outcome_of((good,), Assurance.SEALED_BY_QUORUM) is Outcome.PASS
    assert outcome_of((good,), Assurance.ENGINE_WITHOUT_SEALS) is Outcome.PASS_DEVELOPMENT_ONLY
    assert outcome_of((good,), Assurance.LOG_ONLY) is Outcome.INCOMPLETE
    assert outcome_of((good,), Assurance.UNSPECIFIED) is Outcome.INCOMPLETE
    assert outcome_of((), Assurance.SEALED_BY_QUORUM) is Outcome.INCOMPLETE
    assert outcome_of((good, open_), Assurance.SEALED_BY_QUORUM) is Outcome.INCOMPLETE
    not_asked = Check("d", CheckResult.NOT_CHECKED, Reason.WITNESSES_NOT_PINNED.value)
    assert outcome_of((good, not_asked), Assurance.SEALED_BY_QUORUM) is Outcome.PASS
    assert outcome_of((good, not_asked, open_), Assurance.SEALED_BY_QUORUM) is Outcome.INCOMPLETE
    assert outcome_of((not_asked,), Assurance.SEALED_BY_QUORUM) is Outcome.INCOMPLETE
    assert outcome_of((good, open_, bad), Assurance.SEALED_BY_QUORUM) is Outcome.FAIL
    assert [outcome for outcome in Outcome if outcome.good] == [Outcome.PASS, Outcome.PASS_DEVELOPMENT_ONLY]


def test_the_document_lists_every_check_and_reason() -> None:
    assert re.findall(r"^\| `([A-Z_0-9]+)` \|", DOCUMENT, re.M) == [reason.value for reason in Reason]
    checks = [check.name for check in World().verify().checks]
    assert re.findall(r"^\| `([a-z_]+)` \|", DOCUMENT, re.M) == checks


def test_every_reason_can_be_given() -> None:
    source = "".join(
        path.read_text()
        for folder in ("evidence", "registry")
        for path in (ROOT / "silkledger" / folder).glob("*.py")
        if path.name != "reasons.py"
    )
    for reason in Reason:
        # registry.trust puts PARENT_ and ACCREDITATION_ in front of the state of one link.
        names = (f"Reason.{reason.name}", f'"{reason.name}"')
        assert any(name in source for name in names) or "ACCREDITATION_" in reason.name, reason
