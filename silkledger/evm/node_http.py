"""JSON-RPC batches to a node over HTTP: web3's framing on connections of our own.

web3's own HTTP session opens a connection for each request, and looks it up under a lock that all providers
of the process share: a request that is cancelled while it waits for that lock can leave it held for ever,
and with it every later request to every node (web3.py issue 3867). Here a cancelled request closes its
connection and leaves nothing else behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import (
    ClientConnectorError,
    ClientOSError,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
    TCPConnector,
)

from silkledger.evm.libraries import AsyncJSONBaseProvider, RPCEndpoint

_KEEP_ALIVE_S: Final = 15.0
"""How long a connection without requests is kept: less than servers commonly keep theirs."""
_JSON: Final = {"Content-Type": "application/json"}
MOST_BYTES: Final = 64 * 1024 * 1024
"""Largest answer that is read. Whoever asks for several blocks asks for fewer then. A single block with more
is not followed: it takes some 250 million gas of log data, at 8 gas a byte and two hexadecimal digits each.
"""
_ONCE: Final = "eth_sendRawTransaction"
"""The one method that is not a question: whoever calls it decides whether to send again."""


class UnmatchedReplies(ValueError):
    """The answer does not hold one reply to each request."""


class AnswerTooLarge(Exception):
    """An answer over `MOST_BYTES`: the rest of it was not read."""

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {MOST_BYTES} bytes")


class HttpProvider(AsyncJSONBaseProvider):
    """A node at an HTTP URL. `disconnect` it; asked again, it connects again. For one event loop."""

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__()
        self._url = url
        self._timeout = ClientTimeout(total=timeout_s)
        self._session: ClientSession | None = None

    async def batch(self, requests: Sequence[tuple[str, list[object]]]) -> object:
        """A list with one reply per request, in the order of the requests; or what the node answered
        instead of a list, e.g. one error for the whole batch.

        A kept connection may have been closed by the node a moment ago: questions that are cut off are asked
        once more (RFC 9110, 9.2.2), transactions are not.

        Raises:
            aiohttp.ClientError, TimeoutError, OSError, AnswerTooLarge: no answer.
            UnmatchedReplies, ValueError: an answer that is not JSON-RPC.
        """
        calls = [self.form_request(RPCEndpoint(method), params) for method, params in requests]
        body = self.encode_batch_request_dicts(calls)
        try:
            answer = await self._post(body)
        except ClientConnectorError:
            raise
        except (ServerDisconnectedError, ClientOSError):
            if any(call["method"] == _ONCE for call in calls):
                raise
            answer = await self._post(body)
        if not isinstance(answer, list):
            return answer
        replies = {reply.get("id"): reply for reply in answer if isinstance(reply, dict)}
        if len(answer) != len(calls) or any(call["id"] not in replies for call in calls):
            raise UnmatchedReplies(f"{len(calls)} requests, {len(answer)} replies, not one to each")
        return [replies[call["id"]] for call in calls]

    async def _post(self, body: bytes) -> object:
        async with self._connected().post(self._url, data=body, timeout=self._timeout) as response:
            octets = bytearray()
            async for chunk in response.content.iter_any():
                octets += chunk
                if len(octets) > MOST_BYTES:
                    raise AnswerTooLarge
            return self.decode_rpc_response(bytes(octets))

    async def disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _connected(self) -> ClientSession:
        if self._session is None:
            connector = TCPConnector(keepalive_timeout=_KEEP_ALIVE_S)
            self._session = ClientSession(connector=connector, headers=_JSON, raise_for_status=True)
        return self._session
