"""Why evidence could not be gathered."""

from __future__ import annotations


class CaptureFailed(Exception):
    """The evidence could not be gathered. `reasons` are the codes of the checks that did not pass."""

    def __init__(self, detail: str, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.reasons = reasons
