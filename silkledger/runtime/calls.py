"""The one interceptor around every RPC: identify, validate, run, translate errors, measure.

Steps, in this order:

1. the caller, from the peer certificate;
2. the request, against its protovalidate rules, once there is room for it (`silkledger.runtime.intake`);
3. the handler, within the caller's deadline: grpc.aio cancels it when that has passed, and a cancelled write
   leaves nothing;
4. an expected error becomes a `google.rpc.Status`, an unexpected one INTERNAL with a correlation id;
5. metrics.

Health and reflection need a client certificate, but no organisation.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Final, NoReturn, cast

import grpc
import protovalidate
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from silkledger.runtime.auth import caller, caller_of_certificate, set_caller
from silkledger.runtime.errors import (
    ERROR_DOMAIN,
    FieldViolation,
    InternalFault,
    InvalidRequest,
    ServiceError,
    Unauthenticated,
)
from silkledger.runtime.intake import Intake
from silkledger.runtime.telemetry import Metrics, logger

RECEIVE_S: Final = 60.0
"""How long a client may take to send a large request: it keeps others from sending theirs meanwhile."""

Context = grpc.aio.ServicerContext[Any, Any]

_OPEN_TO_ANY_CERTIFICATE: Final = ("/grpc.health.v1.", "/grpc.reflection.")
"""Service prefixes that need no organisation in the certificate."""


def status_of(error: ServiceError) -> status_pb2.Status:
    """The `google.rpc.Status` of an expected error, with all of its details."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=violation.field, description=violation.description, reason=violation.reason
                    )
                    for violation in error.violations
                ]
            )
        )
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(max(1, round(error.retry_after_s * 1000)))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    return status_pb2.Status(code=error.code.value, message=error.message, details=packed)


def violations_of(request: Message) -> list[FieldViolation]:
    """What protovalidate finds wrong, with the field's path as a client would write it."""
    found = []
    for violation in protovalidate.collect_violations(request):
        proto = violation.proto
        path = ""
        for element in proto.field.elements if proto.field is not None else ():
            path += ("." if path else "") + element.field_name
            if element.subscript is not None:
                path += f"[{element.subscript.value}]"
        found.append(FieldViolation(path, proto.rule_id.upper().replace(".", "_"), proto.message))
    return found


def validate(request: Message) -> None:
    """Raises: InvalidRequest, listing every violation."""
    violations = violations_of(request)
    if violations:
        raise InvalidRequest(violations)


def _as_it_is(raw: Any) -> Any:
    return raw


def _parsed(raw: bytes, parse: Callable[[bytes], Message]) -> Message:
    """Raises: InvalidRequest."""
    try:
        return parse(raw)
    except DecodeError:
        raise InvalidRequest([FieldViolation("", "NOT_PROTOBUF", "the bytes are no such message")]) from None


def authenticate(context: Context) -> None:
    """Set the caller from the verified peer certificate. Raises: Unauthenticated."""
    certificates = list(context.auth_context().get("x509_pem_cert", []))
    if not certificates:
        raise Unauthenticated("a client certificate of an enrolled organisation is required")
    set_caller(caller_of_certificate(bytes(certificates[0])))


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # not subscriptable when run
    """Wraps every handler of the server. See the module's steps."""

    def __init__(self, metrics: Metrics, intake: Intake, large: Collection[str] = ()) -> None:
        """`large`: full names (`/package.Service/Method`) of unary methods whose requests are large. They are
        read only when there is room, not before the handler is asked.
        """
        self._metrics = metrics
        self._intake = intake
        self._large = frozenset(large)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith(_OPEN_TO_ANY_CERTIFICATE):
            return handler
        if handler.unary_unary is not None:
            unary = self._unary(method, handler.unary_unary, handler.request_deserializer or _as_it_is)
            if method in self._large:  # the same on the wire; here it leaves the reading to us
                return grpc.stream_unary_rpc_method_handler(
                    unary, request_deserializer=None, response_serializer=handler.response_serializer
                )
            return grpc.unary_unary_rpc_method_handler(
                unary, request_deserializer=None, response_serializer=handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, _streaming(handler.unary_stream), unary_request=True),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(method, _streaming(handler.stream_stream), unary_request=False),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        raise TypeError(f"{method}: client streaming is not used")

    def _unary(
        self, method: str, inner: Callable[..., Awaitable[Message]], parse: Callable[[bytes], Message]
    ) -> Callable[..., Awaitable[Message]]:
        async def handle(incoming: object, context: Context) -> Message:
            started = time.perf_counter()
            try:
                authenticate(context)  # (1)
                raw = incoming if isinstance(incoming, bytes) else await self._receive(context)
                async with self._intake.room(len(raw)):
                    request = _parsed(raw, parse)
                    validate(request)  # (2)
                    response = await inner(request, context)  # (3)
            except Exception as error:  # noqa: BLE001 - the boundary: faults are logged in full
                refusal = _refusal(method, error)
            else:
                self._measure(method, "OK", "", started)  # (5)
                return response
            refusing = self._refuse(method, context, refusal, started)  # (4)
            incoming = raw = request = context = refusal = None  # type: ignore[assignment] # see _refuse
            await refusing
            raise AssertionError("a refused call went on")

        return handle

    async def _receive(self, context: Context) -> bytes:
        """The one request. Raises: IntakeFull, before any of it is read; InvalidRequest.

        By `read` and not from the iterator: an iterator that is not read to its end keeps what it gave until
        the collector looks.
        """
        with self._intake.receiving(str(caller().did)):
            try:
                async with asyncio.timeout(RECEIVE_S):
                    raw: Any = await context.read()
            except TimeoutError:
                slow = FieldViolation("", "TOO_SLOW", f"the request was not sent in {RECEIVE_S:g} s")
                raise InvalidRequest([slow]) from None
        if raw is grpc.aio.EOF:  # type: ignore[attr-defined] # missing in the stubs
            raise InvalidRequest([FieldViolation("", "NO_REQUEST", "the call ended without a request")])
        return bytes(raw)

    def _stream(
        self, method: str, inner: Callable[..., AsyncIterator[Message]], *, unary_request: bool
    ) -> Callable[..., AsyncIterator[Message]]:
        async def handle(request: Any, context: Context) -> AsyncIterator[Message]:
            started = time.perf_counter()
            try:
                authenticate(context)  # (1)
                if unary_request:
                    validate(request)  # (2)
                else:
                    request = _validated(request)
                async for response in inner(request, context):  # (3)
                    yield response
            except Exception as error:  # noqa: BLE001 - the boundary: faults are logged in full
                refusal = _refusal(method, error)
            else:
                self._measure(method, "OK", "", started)  # (5)
                return
            refusing = self._refuse(method, context, refusal, started)  # (4)
            request = context = refusal = None  # type: ignore[assignment] # see _refuse
            await refusing

        return handle

    def _refuse(
        self, method: str, context: Context, error: ServiceError, started: float
    ) -> Awaitable[NoReturn]:
        """What ends the call with the error.

        It raises, and gRPC keeps that exception with the call. A frame in its traceback that knows the call
        or the request would keep both, until the collector looks: whoever awaits this forgets them before.
        """
        self._measure(method, error.code.name, error.reason, started)
        abort: Callable[[object], Awaitable[NoReturn]] = context.abort_with_status  # type: ignore[attr-defined]
        return abort(rpc_status.to_status(status_of(error)))

    def _measure(self, method: str, code: str, reason: str, started: float) -> None:
        self._metrics.calls.labels(method, code, reason).inc()
        self._metrics.latency.labels(method).observe(time.perf_counter() - started)


def _streaming(handler: object) -> Callable[..., AsyncIterator[Message]]:
    """The type stubs know only the synchronous server's iterators; grpc.aio gives asynchronous ones."""
    return cast(Callable[..., AsyncIterator[Message]], handler)


def _refusal(method: str, error: Exception) -> ServiceError:
    """What the caller is told: an expected error as it is, any other as a fault of ours."""
    if isinstance(error, ServiceError):
        return error
    correlation_id = uuid.uuid4().hex
    logger().error("handler_failed", method=method, correlation_id=correlation_id, exc_info=error)
    return InternalFault(correlation_id)


async def _validated(requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    async for request in requests:
        validate(request)
        yield request
