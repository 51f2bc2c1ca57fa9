"""Synchronous JSON-RPC to the embedded node, for the thread that drives it and for tests' fault injection.

Plain http.client: the driver's thread must not depend on anybody's event loop.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any, Final

TIMEOUT_S: Final = 60.0
KEEP_ALIVE_S: Final = 5.0
"""A connection that was idle for longer is not used again: the node may be closing it."""
MAX_ANSWER: Final = 1 << 30


class RpcRefused(RuntimeError):
    """The node answered with an error."""


class AnvilRpc:
    """The node at a port of loopback. Any thread may call; each keeps a connection of its own: a block is
    several calls, and a connection for each would leave thousands behind that the kernel keeps for a minute.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._mine = threading.local()
        self._all: set[http.client.HTTPConnection] = set()

    def __call__(self, method: str, *params: object) -> Any:
        """The result. Nothing is sent twice.

        Raises:
            RpcRefused: an error was answered. OSError, http.client.HTTPException: nothing was.
        """
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        connection = self._connection()
        try:
            connection.request("POST", "/", body, {"content-type": "application/json"})
            answer = json.loads(connection.getresponse().read(MAX_ANSWER))
        except BaseException:
            self._drop(connection)
            raise
        self._mine.used = time.monotonic()
        if "error" in answer:
            raise RpcRefused(f"{method}: {answer['error']}")
        return answer["result"]

    def close(self) -> None:
        """Close every thread's connection. A later call opens another."""
        for connection in list(self._all):
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        """This thread's, or a new one where that was idle for too long."""
        kept: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if kept is not None:
            if time.monotonic() - self._mine.used <= KEEP_ALIVE_S:
                return kept
            self._drop(kept)
        fresh = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        self._mine.connection = fresh
        self._all.add(fresh)
        return fresh

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._all.discard(connection)
        self._mine.connection = None
