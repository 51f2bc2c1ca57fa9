"""The gRPC server that every service runs in: mTLS, one interceptor, health, reflection, metrics, drain.

Guarantee: no RPC is served without a client certificate of the network's CA; the certificates on disk may be
rotated while running. On SIGTERM or SIGINT: health goes NOT_SERVING, nothing new is accepted, calls in
flight get `DRAIN_S` seconds, workers are stopped, then the caller closes the database.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from silkledger.runtime import failpoints
from silkledger.runtime.calls import CallInterceptor
from silkledger.runtime.health import Health, HealthCheck
from silkledger.runtime.intake import Intake
from silkledger.runtime.settings import ServerSettings, host_and_port
from silkledger.runtime.telemetry import Metrics, MetricsEndpoint, logger

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Largest request and response, stated in the API's documentation."""

COLLECT_AFTER: Final = 50_000
"""So many more objects that can be part of a cycle, and Python looks for cycles among the new ones (its own
default: 700). What is in no cycle is freed at once, as ever.
"""

DRAIN_S: Final = 10.0
"""Time that calls in flight get after SIGTERM."""


MAX_CONNECTION_STREAMS: Final = 16_384
"""Calls at a time on one connection. A client's calls beyond it wait there without a word, so a service's own
limits, which answer with a reason, must be lower.
"""

KEEPALIVE_ALLOWED_S: Final = 10
"""Clients may send keepalive pings this often, not more often."""


class Worker(Protocol):
    """Something that runs beside the handlers until told to stop. If it raises, the process ends with an
    error.
    """

    @property
    def name(self) -> str: ...

    async def run(self, stop: asyncio.Event) -> None: ...


@dataclass(frozen=True, slots=True)
class NamedWorker:
    """A worker made of a name and a coroutine function, e.g. `NamedWorker("lane", lane.run)`."""

    name: str
    run: Callable[[asyncio.Event], Any]


@dataclass(frozen=True, slots=True)
class Service:
    """One gRPC service: its full proto name and the function that adds its servicer to a server."""

    full_name: str
    add: Callable[[grpc.aio.Server], None]
    stop: Callable[[], None] | None = None
    """Called when draining begins: ends the streams that would not end by themselves."""
    large_requests: tuple[str, ...] = ()
    """Unary methods whose requests may be far over 64 KiB: read only when there is room for them."""


class WorkerDied(RuntimeError):
    """A worker ended although nobody stopped it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"worker {name} died")
        self.name = name


class _Certificates:
    """Reads the PEM files again whenever one of them changed, so that rotation needs no restart."""

    def __init__(self, settings: ServerSettings) -> None:
        self._paths = (settings.tls_key, settings.tls_cert, settings.tls_ca)
        self._seen: tuple[tuple[int, int], ...] = ()

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple((status.st_mtime_ns, status.st_ino) for status in (path.stat() for path in self._paths))

    def load(self) -> grpc.ServerCertificateConfiguration:
        self._seen = self._stamp()
        key, chain, ca = (path.read_bytes() for path in self._paths)
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=ca)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """None keeps what is in use: also while a file is missing in the middle of a rotation."""
        try:
            return self.load() if self._stamp() != self._seen else None
        except OSError:
            return None


class Server:
    """A started server. Make it with `start`, end it with `stop`."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.port = 0
        self.health: Health
        self._grpc: grpc.aio.Server
        self._endpoint: MetricsEndpoint | None = None
        self._stop = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._services: Sequence[Service] = ()

    @classmethod
    async def start(
        cls,
        settings: ServerSettings,
        services: Sequence[Service],
        workers: Sequence[Worker] = (),
        checks: Mapping[str, HealthCheck] | None = None,
        metrics: Metrics | None = None,
    ) -> Server:
        """Bind, serve, start the workers, write the ready file. Raises: OSError or RuntimeError if it
        cannot bind.
        """
        server = cls(settings, metrics or Metrics())
        names = [service.full_name for service in services]
        server.health = Health(checks or {}, names, server.metrics)
        large = [f"/{service.full_name}/{name}" for service in services for name in service.large_requests]
        intake = Intake(settings.intake_bytes, settings.intake_waiting_bytes)
        server._grpc = grpc.aio.server(
            interceptors=[CallInterceptor(server.metrics, intake, large)],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
                ("grpc.max_concurrent_streams", MAX_CONNECTION_STREAMS),
                # Calls that come in one burst, e.g. all streams after a restart: gRPC refuses at random above
                # a thousand that the loop has not taken up yet.
                ("grpc.server.max_pending_requests", MAX_CONNECTION_STREAMS),
                ("grpc.server.max_pending_requests_hard_limit", MAX_CONNECTION_STREAMS),
                # A peer that has gone without a word is found out, and its streams end.
                ("grpc.keepalive_time_ms", settings.keepalive_s * 1000),
                ("grpc.keepalive_timeout_ms", settings.keepalive_s * 1000),
                ("grpc.http2.ping_timeout_ms", settings.keepalive_s * 1000),  # else a minute all the same
                # Clients may ask as often: by default a second ping within five minutes ends a connection.
                ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_ALLOWED_S * 1000),
            ],
        )
        server._services = services
        for service in services:
            service.add(server._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(server.health.servicer, server._grpc)
        reflection.enable_server_reflection(
            (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server._grpc
        )
        certificates = _Certificates(settings)
        credentials = grpc.dynamic_ssl_server_credentials(
            certificates.load(),
            certificates.changed,  # type: ignore[arg-type] # None, "keep it", is missing in the stubs
            require_client_authentication=True,
        )
        server.port = server._grpc.add_secure_port(settings.listen, credentials)
        host, port = host_and_port(settings.metrics_listen)
        server._endpoint = MetricsEndpoint(server.metrics, host, port)
        await server.health.begin()
        await server._grpc.start()
        for worker in (*workers, NamedWorker("health", server.health.run)):
            server._tasks[worker.name] = asyncio.create_task(worker.run(server._stop), name=worker.name)
        server._tell_ready()
        return server

    @property
    def metrics_port(self) -> int:
        return self._endpoint.port if self._endpoint else 0

    def _tell_ready(self) -> None:
        host, _ = host_and_port(self.settings.listen)
        logger().info("listening", address=f"{host}:{self.port}", metrics_port=self.metrics_port)
        if self.settings.ready_file is not None:
            text = json.dumps(
                {"address": f"{host}:{self.port}", "metrics_port": self.metrics_port, "pid": os.getpid()}
            )
            scratch = self.settings.ready_file.with_suffix(".tmp")
            scratch.write_text(text)
            scratch.replace(self.settings.ready_file)

    async def wait(self, until: asyncio.Event) -> None:
        """Until the event is set or a worker dies.

        Raises:
            WorkerDied: with the worker's own exception as its cause.
        """
        waiting = asyncio.create_task(until.wait())
        done, _ = await asyncio.wait({waiting, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        if waiting in done:
            return
        waiting.cancel()
        for name, task in self._tasks.items():
            if task in done:
                raise WorkerDied(name) from (None if task.cancelled() else task.exception())

    async def stop(self, grace_s: float = DRAIN_S) -> None:
        """Drain and stop. Workers are told to stop and waited for; one that hangs is cancelled."""
        await self.health.shut()
        for service in self._services:
            if service.stop is not None:
                service.stop()
        await self._grpc.stop(grace_s)
        self._stop.set()
        if self._tasks:
            _, hanging = await asyncio.wait(self._tasks.values(), timeout=grace_s)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._endpoint is not None:
            await asyncio.to_thread(self._endpoint.close)


async def serve(
    settings: ServerSettings,
    services: Sequence[Service],
    workers: Sequence[Worker] = (),
    checks: Mapping[str, HealthCheck] | None = None,
    metrics: Metrics | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. The caller closes its database afterwards.

    Raises:
        WorkerDied: a worker ended by itself; the server was drained all the same.
        SettingsError: an order to die that is refused (silkledger.runtime.failpoints).
    """
    failpoints.arm(settings.failpoint, settings.mode)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await Server.start(settings, services, workers, checks, metrics)
    calm_collector()
    try:
        await server.wait(stop)
    finally:
        await server.stop()
        logger().info("stopped")


def calm_collector() -> None:
    """What is there at start stays for good, and needs no looking at; and look less often at the rest.

    By default one call of a thousand items sets off several collections, and the later ones go through all
    that lives: a seventh of the process's time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def run(main: Callable[[], Any]) -> int:
    """Run a service's async main on uvloop. Returns the process's exit code; expected start failures are
    one line.
    """
    try:
        uvloop.run(main())
    except WorkerDied as error:
        logger().error("worker_died", worker=error.name, exc_info=error)
        return 1
    return 0
