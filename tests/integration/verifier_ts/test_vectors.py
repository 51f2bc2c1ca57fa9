"""The second verifier gives the committed verdict on every bundle of tests/vectors/evidence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import Verdict
from tests.integration.verifier_ts.node import ROOT, Question, ask, stable, stable_of_python
from tests.vectors.evidence import write_verdicts
from tests.vectors.evidence.completeness_cases import REASONS as COMPLETENESS_REASONS
from tests.vectors.evidence.verdict_cases import Case

VECTORS = ROOT / "tests/vectors/evidence"
STATUS_LIST_REASONS = {
    Reason(f"STATUS_LIST_{name}")
    for name in (
        "MALFORMED",
        "SIGNATURE",
        "NOT_YET_VALID",
        "EXPIRED",
        "KEY_NOT_SHOWN",
        "RECORD_NOT_SHOWN",
        "NOT_RECORDED",
        "RECORDED_OTHERWISE",
        "REPLACED",
        "RANGE",
    )
}


@pytest.fixture(scope="module")
def index() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / "verdicts.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def theirs(index: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    roots = {name: json.dumps(value) for name, value in index["roots"].items()}
    questions = [
        Question(
            bundle=(VECTORS / case["bundle"]).read_bytes(),
            roots=roots[case["roots"]],
            digest=case["digest"],
            country=case.get("country"),
            as_of=case.get("asOf"),
        )
        for case in index["cases"]
    ]
    return ask(questions, tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def answers() -> list[tuple[Case, Verdict]]:
    return write_verdicts.answers()


def test_the_second_verifier_gives_every_committed_verdict(
    index: dict[str, Any], theirs: list[dict[str, Any]]
) -> None:
    assert len(theirs) == len(index["cases"])
    differing = {}
    for case, verdict in zip(index["cases"], theirs, strict=True):
        found = stable(verdict)
        checks = found.pop("checks")
        found["notPassed"] = {name: [result, reason] for name, result, reason in checks if result != "PASS"}
        if found != case["verdict"]:
            differing[case["name"]] = (found, case["verdict"])
    assert differing == {}


def test_both_verifiers_make_the_same_checks_in_the_same_order(
    answers: list[tuple[Case, Verdict]], theirs: list[dict[str, Any]]
) -> None:
    differing = [
        case.name
        for (case, verdict), other in zip(answers, theirs, strict=True)
        if stable(other) != stable_of_python(verdict)
    ]
    assert differing == []


def test_both_verifiers_have_something_to_say_of_the_same_verdicts(
    answers: list[tuple[Case, Verdict]], theirs: list[dict[str, Any]]
) -> None:
    """The sentences are each verifier's own; whether there are any is not."""
    differing = [
        case.name
        for (case, verdict), other in zip(answers, theirs, strict=True)
        if len(verdict.notices) != len(other["notices"])
        or len(verdict.assumptions) != len(other["assumptions"])
    ]
    assert differing == []


def test_every_refusal_is_explained_in_a_sentence(theirs: list[dict[str, Any]]) -> None:
    checks = [check for verdict in theirs for check in verdict["checks"]]
    assert all(check["detail"] for check in checks if check["reason"])
    told = {check["name"] for check in checks if check["detail"] and not check["reason"]}
    assert told == {"document", "cosignatures", "promise"}, "what passed and has more to tell"
    assert all((check["result"] == "PASS") == (check["reason"] == "") for check in checks)


UNREACHED = {
    Reason.PROOF_MALFORMED,
    Reason.NO_CONTRADICTION,
    Reason.NO_DOUBLE_SIGNER,
    Reason.PROMISE_NOT_DUE,
    Reason.PROMISE_NOT_MADE,
    Reason.STATEMENT_LOGGED,
    Reason.ENTRIES_MISMATCH,
    Reason.HEAD_NOT_DATED,
    Reason.RPC_FIELD,
    Reason.HEADER_HASH,
    Reason.BUNDLE_TOO_LARGE,
    Reason.LINEAGE_START,
    Reason.RECEIPT_ROOT,
    Reason.ISSUER_NOT_AUTHORISED,
    Reason.EVENT_DECLARATION,
    Reason.QBFT_NOT_EMPTY,
    Reason.VALIDATOR_CONTRACT,
    Reason.VALIDATOR_SET,
    Reason.VALIDATORS_NOT_PROVEN,
    *COMPLETENESS_REASONS,
    *STATUS_LIST_REASONS,
}
"""No small bundle gives these: three are of proofs of equivocation, ten of status lists, five of proofs of a
broken promise, others of proofs of completeness (contract mode among them), two of nodes' answers, one needs
33 MB, and the rest is forestalled by another check, or stands for a reason without a code."""


def test_the_vectors_reach_every_reason_that_a_bundle_can_give(index: dict[str, Any]) -> None:
    given = {reason for case in index["cases"] for _, reason in case["verdict"]["notPassed"].values()}
    assert {reason.value for reason in Reason} - given == {reason.value for reason in UNREACHED}


def test_the_committed_vectors_are_what_their_generator_writes(answers: list[tuple[Case, Verdict]]) -> None:
    for name, data in write_verdicts.files(answers).items():
        assert (VECTORS / name).read_bytes() == data, name
