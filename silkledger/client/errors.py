"""A refused or failed call, typed: from gRPC's status and its google.rpc details."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
from google.rpc import error_details_pb2, status_pb2

DETAILS_KEY: Final = "grpc-status-details-bin"
"""Trailing metadata key of the serialized google.rpc.Status."""

RETRYABLE: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
)
"""Codes that say "the same request may be sent again": no decision was told, and its request id keeps it from
being done twice. CANCELLED is what a server that stops says of calls in flight; a call that is cancelled on
this side ends with `asyncio.CancelledError` instead.
"""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of the request that was refused, by its path."""

    field: str
    description: str


class RpcFailed(Exception):
    """A call did not succeed. `reason` is the stable code of docs/errors.md, empty when the service sent
    none (it was not reached, or is not ours)."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        violations: tuple[FieldViolation, ...] = (),
        metadata: dict[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}" + (f" [{reason}]" if reason else ""))
        self.code = code
        self.message = message
        self.reason = reason
        self.violations = violations
        self.metadata = metadata or {}
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        return self.code in RETRYABLE

    def to_json(self) -> dict[str, object]:
        return {
            "code": self.code.name,
            "reason": self.reason,
            "message": self.message,
            "violations": [{"field": v.field, "description": v.description} for v in self.violations],
            "metadata": self.metadata,
        }


def from_rpc_error(error: grpc.aio.AioRpcError) -> RpcFailed:
    """Unpacks ErrorInfo, BadRequest and RetryInfo; unknown details are left out."""
    reason = ""
    violations: list[FieldViolation] = []
    retry: float | None = None
    metadata: dict[str, str] = {}
    for detail in _details(error):
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        again = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations += [FieldViolation(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(again):
            retry = again.retry_delay.seconds + again.retry_delay.nanos / 1e9
    return RpcFailed(
        error.code(),
        error.details() or "no message",
        reason=reason,
        violations=tuple(violations),
        metadata=metadata,
        retry_after_s=retry,
    )


def _details(error: grpc.aio.AioRpcError) -> list[Any]:
    pairs = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in pairs:
        if key == DETAILS_KEY and isinstance(value, bytes):
            return list(status_pb2.Status.FromString(value).details)
    return []
