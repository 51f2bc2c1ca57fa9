"""Assertions that a refusal has exactly one reason code: of a function, or of a check in a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import CheckResult, Outcome, Verdict


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    with pytest.raises(EvidenceInvalid) as caught:
        yield
    assert caught.value.reason is reason, str(caught.value)


def assert_fails(verdict: Verdict, check: str, reason: Reason) -> None:
    assert verdict.outcome is Outcome.FAIL
    assert verdict.check(check).result is CheckResult.FAIL
    assert verdict.check(check).reason == reason
    assert verdict.check(check).detail


def assert_undecided(verdict: Verdict, check: str, reason: Reason) -> None:
    assert verdict.outcome is Outcome.INCOMPLETE
    assert verdict.check(check).result is CheckResult.NOT_CHECKED
    assert verdict.check(check).reason == reason
