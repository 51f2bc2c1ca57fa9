"""Loopback ports that stay the same from one start to the next, as long as nobody else took them."""

from __future__ import annotations

import socket

from silkledger.stack.directory import DataDirectory


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that was free a moment ago. Another process may still take it: whoever binds must cope."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Ports:
    """Ports by name, kept in the data directory."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._ports = data.read_ports()

    def of(self, name: str) -> int:
        """The port kept under this name; another one if it is taken now."""
        port = self._ports.get(name)
        if port is None or not is_free(port):
            port = free_port()
            self._ports[name] = port
            self._data.write_ports(self._ports)
        return port

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.of(name)}"
