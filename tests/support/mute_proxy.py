"""A TCP proxy on loopback that can fall silent: connections stay open, and nothing goes through any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class MuteProxy:
    """Forwards to `target`, byte by byte, while `speaking` is set. Knows nothing of what it forwards."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.speaking = asyncio.Event()
        self.speaking.set()
        self.address = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MuteProxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            for writer in self._writers:
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        theirs, ours = await asyncio.open_connection(host, int(port))
        self._writers += [writer, ours]
        for source, sink in ((reader, ours), (theirs, writer)):
            task = asyncio.create_task(self._forward(source, sink))
            self._tasks.add(task)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65_536):
            await self.speaking.wait()
            sink.write(chunk)
            await sink.drain()
        sink.close()
