"""What a verification says: named checks, an outcome, an assurance, as of one block.

The enums mirror silkledger.chain.v1 (a test holds that), without importing generated code. Names and reason
codes are stable: docs/formats/verdict.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from silkledger.evidence.reasons import Reason
from silkledger.values import BlockRef

NOT_ASKED: Final = frozenset({Reason.WITNESSES_NOT_PINNED, Reason.PROMISE_NOT_IN_BUNDLE})
"""Reasons of checks that were not made because nobody asked for them: they leave no verdict incomplete."""


class CheckResult(IntEnum):
    """How one check ended."""

    PASS = 1
    FAIL = 2
    NOT_CHECKED = 3


class Assurance(IntEnum):
    """What vouches for the blocks."""

    UNSPECIFIED = 0
    """Nothing: no block could be established."""
    SEALED_BY_QUORUM = 1
    """Commit seals of a quorum of validators whose lineage starts at a pinned block."""
    ENGINE_WITHOUT_SEALS = 2
    """Only that the verifier pinned them: development only, never a production PASS."""
    LOG_ONLY = 3
    """Only the log's own signatures."""


class Outcome(IntEnum):
    """The answer."""

    PASS = 1
    PASS_DEVELOPMENT_ONLY = 2
    FAIL = 3
    NOT_REGISTERED = 4
    """Nothing about this document is in the ledger. A bundle never gives this answer."""
    INCOMPLETE = 5
    """Nothing failed, but something needed could not be checked. What nobody asked for is not needed."""

    @property
    def good(self) -> bool:
        """Whether every required check passed. On a development engine as well: mind the outcome itself."""
        return self in (Outcome.PASS, Outcome.PASS_DEVELOPMENT_ONLY)


@dataclass(frozen=True, slots=True)
class Check:
    """One named check."""

    name: str
    result: CheckResult
    reason: str = ""
    """Stable code; empty exactly when PASS."""
    detail: str = ""
    """A sentence for people; on a PASS only where there is more to tell."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer as of one block, with everything that was and was not checked."""

    outcome: Outcome
    assurance: Assurance
    as_of: BlockRef | None
    """The block at whose end the answer holds; None if no header could be read."""
    checks: tuple[Check, ...]
    assumptions: tuple[str, ...]
    """What was trusted without proof, in sentences."""
    notices: tuple[str, ...]
    """What a reader must also know, e.g. that the document was revoked later."""

    def check(self, name: str) -> Check:
        """The check of that name. Raises: KeyError."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reason codes of all checks that did not pass, in order."""
        return tuple(check.reason for check in self.checks if check.result is not CheckResult.PASS)


def outcome_of(checks: tuple[Check, ...], assurance: Assurance) -> Outcome:
    """FAIL if any check failed; INCOMPLETE if any was not made that is needed; else what the assurance
    allows.
    """
    results = {check.result for check in checks if check.reason not in NOT_ASKED}
    if CheckResult.FAIL in results:
        return Outcome.FAIL
    if CheckResult.NOT_CHECKED in results or not results:
        return Outcome.INCOMPLETE
    if assurance is Assurance.SEALED_BY_QUORUM:
        return Outcome.PASS
    if assurance is Assurance.ENGINE_WITHOUT_SEALS:
        return Outcome.PASS_DEVELOPMENT_ONLY
    return Outcome.INCOMPLETE
