"""Why blocks do not pass as sealed. Each carries its stable reason code (docs/formats/verdict.md)."""

from __future__ import annotations

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.evm.follower import FollowerHalted
from silkledger.evm.port import NodeLied, NodeUnavailable


class SealsRefused(NodeLied):
    """A block is not sealed as it must be, or a proof of its validators does not hold. `reason` is the code.

    Passes from process to process.
    """

    def __init__(self, number: int, told_by: str, reason: Reason, detail: str) -> None:
        super().__init__(number, told_by, reason, detail)
        self.number = number
        self.told_by = told_by
        """Which of several nodes gave it; empty where there is one only."""
        self.reason = reason
        self.detail = detail

    @classmethod
    def of(cls, number: int, told_by: str, refusal: EvidenceInvalid) -> SealsRefused:
        return cls(number, told_by, refusal.reason, refusal.detail)

    def __str__(self) -> str:
        source = f" of node {self.told_by}" if self.told_by else ""
        return f"block {self.number}{source}: {self.reason}: {self.detail}"


class ValidatorsNotProven(NodeUnavailable):
    """No node gives the proof of who the validators after a block are, e.g. because it pruned that state."""

    reason = Reason.VALIDATORS_NOT_PROVEN

    def __init__(self, number: int, why: str) -> None:
        super().__init__(number, why)
        self.number = number
        self.why = why

    def __str__(self) -> str:
        return f"block {self.number}: {self.reason}: {self.why}"


class ArchiveUnsealed(FollowerHalted):
    """A block in the archive is not sealed under the rules given: other rules, or an altered database."""
