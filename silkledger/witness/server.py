"""The witness over HTTP: POST /add-checkpoint. Threads share one `Witness`; its state takes turns."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from silkledger.witness.request import MAX_BODY
from silkledger.witness.witness import Answer, Witness

PATH: Final = "/add-checkpoint"
TIMEOUT_S: Final = 10.0
"""How long a client may take to send its request."""


class WitnessServer(ThreadingHTTPServer):
    """Listens at once; `serve_forever` answers."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        super().__init__(address, _Handler)
        self.witness = witness


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "silkledger-witness"
    sys_version = ""
    timeout = TIMEOUT_S

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            self._answer(Answer(404, "only /add-checkpoint is here\n"), close=True)
        elif not length.isascii() or not length.isdigit():
            self._answer(Answer(411, "a Content-Length is required\n"), close=True)
        elif int(length) > MAX_BODY:
            self._answer(Answer(413, f"longer than {MAX_BODY} bytes\n"), close=True)
        else:
            self._answer(self.server.witness.add_checkpoint(self.rfile.read(int(length))))

    def _answer(self, answer: Answer, *, close: bool = False) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the state is the record."""
