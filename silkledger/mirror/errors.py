"""Why a mirror is not what it should be, or why the log must not be followed."""

from __future__ import annotations

from typing import Final

from silkledger.log.checkpoint import NoteError

REASONS: Final = (
    "LOG_FORKED",
    "LOG_ROLLED_BACK",
    "ENTRIES_MISSING",
    "ENTRIES_WRONG",
    "MIRROR_INCOMPLETE",
    "MIRROR_DAMAGED",
    "MIRROR_EMPTY",
    "MIRROR_IN_USE",
)
"""docs/formats/mirror.md says what each means."""


class MirrorError(ValueError):
    """`reason` is one of REASONS, or the reason of a refused note."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    @classmethod
    def of_note(cls, error: NoteError, what: str) -> MirrorError:
        return cls(error.reason, f"{what}: {error.detail}")
