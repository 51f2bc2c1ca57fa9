"""Channels with client certificates, and a readable form of the errors that come back."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.support.pki import Identity


def channel(address: str, identity: Identity) -> grpc.aio.Channel:
    """A channel with mTLS as this identity."""
    credentials = grpc.ssl_channel_credentials(identity.ca, identity.key, identity.certificate)
    return grpc.aio.secure_channel(address, credentials)


def channel_without_certificate(address: str, ca: bytes) -> grpc.aio.Channel:
    """TLS, but no client certificate."""
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca))


@dataclass(frozen=True)
class Refusal:
    """What a refused call told: code, ErrorInfo, violations as (field, reason), the retry delay."""

    code: grpc.StatusCode
    reason: str
    domain: str
    metadata: dict[str, str]
    violations: tuple[tuple[str, str], ...]
    retry_after_s: float | None


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Read the `google.rpc.Status` of a failed call; a call without one has empty reason."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), None
    for detail in status.details if status is not None else ():
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad.DESCRIPTOR):
            detail.Unpack(bad)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            message = error_details_pb2.RetryInfo()
            detail.Unpack(message)
            retry = message.retry_delay.ToMilliseconds() / 1000
    return Refusal(
        error.code(),
        info.reason,
        info.domain,
        dict(info.metadata),
        tuple((violation.field, violation.reason) for violation in bad.field_violations),
        retry,
    )
