"""Expected failures and what they become on the wire.

A use case raises a `ServiceError`; the one interceptor (`silkledger.runtime.calls`) turns it into a
`google.rpc.Status` with `ErrorInfo` (domain `silkledger`, a reason from docs/formats/errors.md), `BadRequest`
field violations and `RetryInfo`. Anything else that escapes a handler is a fault of ours: the caller sees
INTERNAL with the reason `INTERNAL` and a correlation id, never the exception's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

ERROR_DOMAIN: Final = "silkledger"
"""`google.rpc.ErrorInfo.domain` of every error that a service of ours reports."""


class Code(Enum):
    """The gRPC status codes that we use; values are `google.rpc.Code` numbers."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong: its path in the request (`statements[3].issuer`), a stable reason, a
    sentence.
    """

    field: str
    reason: str
    description: str


class ServiceError(Exception):
    """An expected refusal. Nothing was written by the call that raised it.

    `reason` is stable and documented; `message` is for people and never holds a secret or personal data.
    `retry_after_s` set means: the same call may succeed later, unchanged.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        code: Code,
        violations: Sequence[FieldViolation] = (),
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.code = code
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.metadata = dict(metadata or {})


class InvalidRequest(ServiceError):
    """The request breaks the wire contract; every violation is listed."""

    REASON = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        fields = ", ".join(violation.field or "(request)" for violation in violations[:5])
        super().__init__(
            self.REASON,
            f"{len(violations)} field(s) break the contract: {fields}",
            code=Code.INVALID_ARGUMENT,
            violations=violations,
        )


class Unauthenticated(ServiceError):
    """The client certificate names no organisation."""

    REASON = "CLIENT_CERTIFICATE_REQUIRED"

    def __init__(self, why: str) -> None:
        super().__init__(self.REASON, why, code=Code.UNAUTHENTICATED)


class Forbidden(ServiceError):
    """The caller is known and lacks the right. `needed` says which right."""

    REASON = "PERMISSION_DENIED"

    def __init__(self, needed: str) -> None:
        super().__init__(self.REASON, f"not permitted: {needed}", code=Code.PERMISSION_DENIED)


class RequestIdConflict(ServiceError):
    """The same request id came before with other content. Both fingerprints are told."""

    REASON = "REQUEST_ID_CONFLICT"

    def __init__(self, request_id: str, first: bytes, now: bytes) -> None:
        super().__init__(
            self.REASON,
            f"request_id {request_id} was used before with other content",
            code=Code.ALREADY_EXISTS,
            violations=[FieldViolation("request_id", self.REASON, "used before with other content")],
            metadata={"first_fingerprint": first.hex(), "fingerprint": now.hex()},
        )


class RequestInFlight(ServiceError):
    """Another replica commits the same request id right now; the same call again returns its result."""

    REASON = "REQUEST_IN_FLIGHT"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            self.REASON,
            f"request_id {request_id} is being committed by another call",
            code=Code.ABORTED,
            retry_after_s=0.1,
        )


class IntakeFull(ServiceError):
    """More large requests are being received, or wait to be worked on, than may."""

    REASON = "INTAKE_FULL"

    def __init__(self, what: str) -> None:
        super().__init__(
            self.REASON,
            f"too many large requests at once: {what}",
            code=Code.RESOURCE_EXHAUSTED,
            retry_after_s=0.5,
        )


class InternalFault(ServiceError):
    """A fault of ours. The caller gets an id that finds the log line, and nothing else."""

    REASON = "INTERNAL"

    def __init__(self, correlation_id: str) -> None:
        super().__init__(
            self.REASON,
            f"internal fault, correlation id {correlation_id}",
            code=Code.INTERNAL,
            metadata={"correlation_id": correlation_id},
        )


RUNTIME_REASONS: Final = {
    InvalidRequest.REASON: Code.INVALID_ARGUMENT,
    Unauthenticated.REASON: Code.UNAUTHENTICATED,
    Forbidden.REASON: Code.PERMISSION_DENIED,
    RequestIdConflict.REASON: Code.ALREADY_EXISTS,
    RequestInFlight.REASON: Code.ABORTED,
    IntakeFull.REASON: Code.RESOURCE_EXHAUSTED,
    InternalFault.REASON: Code.INTERNAL,
}
"""The reasons that any service may answer with. Each service's `errors.py` has its own map beside this."""
