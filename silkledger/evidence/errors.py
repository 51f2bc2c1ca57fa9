"""What a proof can be refused for. Every refusal carries one stable reason code.

The codes are part of the format (docs/formats/verdict.md): programs branch on them, so a code is never
renamed or given another meaning.
"""

from __future__ import annotations

from silkledger.evidence.reasons import Reason


class EvidenceInvalid(ValueError):
    """A piece of evidence does not prove what it should.

    `reason` is the stable code; `detail` is a sentence for people and may change.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
