"""Running named checks one after the other, so that one failure does not hide the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import NOT_ASKED, Check, CheckResult
from silkledger.registry.histories import HistoryMissing, RecordInvalid

T = TypeVar("T")

_UNDECIDED: Final = frozenset(
    {
        Reason.BLOCK_NOT_PINNED,
        Reason.LINEAGE_NO_START,
        Reason.AS_OF_NOT_IN_BUNDLE,
        Reason.RELYING_COUNTRY_MISSING,
        Reason.STATUS_LIST_KEY_NOT_SHOWN,
        Reason.STATUS_LIST_RECORD_NOT_SHOWN,
        *NOT_ASKED,
    }
)
"""Reasons that mean "could not be decided with what is at hand", not "is wrong"."""


class PrerequisiteMissing(Exception):
    """A check stands on another one that did not pass."""


def need(value: T | None) -> T:
    """`value`, which an earlier check established. Raises: PrerequisiteMissing."""
    if value is None:
        raise PrerequisiteMissing
    return value


class Checklist:
    """The checks made so far, in order."""

    def __init__(self) -> None:
        self._checks: list[Check] = []

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(self._checks)

    def run(self, name: str, step: Callable[[], T], tell: Callable[[T], str] | None = None) -> T | None:
        """Make one check. Its value, or None if it did not pass. `tell` makes the detail of a PASS."""
        try:
            value = step()
        except PrerequisiteMissing:
            detail = "a check that this one stands on did not pass"
            self._add(name, CheckResult.NOT_CHECKED, Reason.PREREQUISITE, detail)
        except HistoryMissing as error:
            self._add(name, CheckResult.NOT_CHECKED, Reason.HISTORY_NOT_IN_BUNDLE, str(error))
        except RecordInvalid as error:
            self._add(name, CheckResult.FAIL, Reason.HISTORY_RECORD, str(error))
        except EvidenceInvalid as error:
            result = CheckResult.NOT_CHECKED if error.reason in _UNDECIDED else CheckResult.FAIL
            self._add(name, result, error.reason, error.detail)
        else:
            detail = "" if tell is None else tell(value)
            self._checks.append(Check(name, CheckResult.PASS, detail=detail))
            return value
        return None

    def _add(self, name: str, result: CheckResult, reason: Reason, detail: str) -> None:
        self._checks.append(Check(name, result, reason.value, detail))
