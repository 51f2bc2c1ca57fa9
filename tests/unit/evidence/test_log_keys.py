"""Which of a log's keys count for an anchor, in every check that a key of the log is behind."""

from __future__ import annotations

import pytest

from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import CheckResult
from silkledger.evidence.verify import verify_bundle
from tests.vectors.evidence.verdict_cases import log_keys

CHECKPOINT, RECEIPT, PROMISE = (
    {"checkpoint": Reason.CHECKPOINT_KEY},
    {"receipt": Reason.RECEIPT_KEY},
    {"promise": Reason.PROMISE_KEY},
)
EXPECTED: dict[str, dict[str, Reason]] = {
    "added-before": {},
    "added-in-the-block": {},
    "added-later": CHECKPOINT,
    "never-added": CHECKPOINT,
    "old-beside-new": {},
    "old-ended-before": CHECKPOINT,
    "old-ended-in-the-block": {},
    "old-ended-later": {},
    "new-after-the-end": {},
    "new-ended-as-well": CHECKPOINT,
    "added-and-ended-in-one-block": {},
    "receipt-by-the-old": {},
    "receipt-by-the-ended": RECEIPT,
    "promise-by-the-old": {},
    "promise-by-the-ended": PROMISE,
    "promise-by-the-new": {},
    "both-lines": {"log_key": Reason.CHECKPOINT_MALFORMED},
    "pinned-old": {},
    "pinned-new": {},
    "pinned-other": {"log_key": Reason.LOG_KEY_NOT_PINNED},
    "added-twice": {"log_key": Reason.HISTORY_RECORD},
    "added-again": {"log_key": Reason.HISTORY_RECORD},
    "ended-unknown": {"log_key": Reason.HISTORY_RECORD},
    "ended-twice": {"log_key": Reason.HISTORY_RECORD},
    "before-registration": {"log_key": Reason.HISTORY_RECORD},
    "other-kind": {"log_key": Reason.HISTORY_RECORD},
    "longer": {"log_key": Reason.HISTORY_RECORD},
    "old-unreadable": {},
    "new-unreadable": {},
    "end-left-out": {"state": Reason.HISTORY_HEAD},
}
"""By case: the checks that fail. None: the evidence is good."""

CASES = {case.name.removeprefix("log-key-"): case for case in log_keys.cases()}


def test_every_case_is_there() -> None:
    assert CASES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_key_counts_from_its_addition_to_its_end(name: str) -> None:
    case = CASES[name]
    verdict = verify_bundle(case.digest, case.bundle, case.roots)
    failed = {check.name: check.reason for check in verdict.checks if check.result is CheckResult.FAIL}
    assert failed == EXPECTED[name]
    assert verdict.outcome.good is not bool(failed)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("old-ended-before", "the log ended it in block 19, before block 20"),
        ("added-later", "the log added it in block 21, after block 20"),
        ("receipt-by-the-ended", "the log ended it in block 12, before block 20"),
    ],
)
def test_the_verdict_says_since_when_a_key_does_not_count(name: str, why: str) -> None:
    verdict = verify_bundle(CASES[name].digest, CASES[name].bundle, CASES[name].roots)
    assert why in str([check.detail for check in verdict.checks])


def test_a_key_that_the_log_never_had_is_named_as_such() -> None:
    verdict = verify_bundle(
        CASES["never-added"].digest, CASES["never-added"].bundle, CASES["never-added"].roots
    )
    details = str([check.detail for check in verdict.checks])
    assert "the log ended it" not in details and "the log added it" not in details
