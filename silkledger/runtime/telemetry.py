"""Structured logs on standard error (one JSON object a line) and Prometheus metrics on a port of their
own.
"""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def configure_logging(service: str, level: int = logging.INFO) -> None:
    """JSON lines on standard error, with the service's name in each. Call once, in `__main__`."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def logger() -> Any:
    """The structured logger. Never pass it keys, payloads or personal data."""
    return structlog.get_logger()


@dataclass(slots=True)
class Metrics:
    """The metrics of one server. Each server has its own registry, so several may live in one process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    calls: Counter = field(init=False)
    latency: Histogram = field(init=False)
    healthy: Gauge = field(init=False)
    node_head: Gauge = field(init=False)
    node_trouble: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self.calls = Counter(
            "silkledger_calls_total", "RPCs ended", ["method", "code", "reason"], registry=self.registry
        )
        self.latency = Histogram(
            "silkledger_call_seconds",
            "RPC duration",
            ["method"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.healthy = Gauge("silkledger_healthy", "1 = serving", ["check"], registry=self.registry)
        self.node_head = Gauge(
            "silkledger_node_head", "Newest block of each of several nodes", ["node"], registry=self.registry
        )
        self.node_trouble = Gauge(
            "silkledger_node_trouble",
            "1 = this node of several is in this trouble",
            ["node", "reason"],
            registry=self.registry,
        )


class _SilentHandler(WSGIRequestHandler):
    """A scrape is not worth a log line."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class MetricsEndpoint:
    """Serves /metrics over plain HTTP. Bind it to loopback: it is not authenticated."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self._server = make_server(
            host, port, make_wsgi_app(metrics.registry), ThreadingWSGIServer, handler_class=_SilentHandler
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
