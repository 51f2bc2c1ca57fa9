"""A proxy on loopback between our code and a real node, that misbehaves on request.

Every fault is a number of requests still to be spoilt, or a state that lasts until it is lifted; `spoilt`
counts what was in fact spoilt, so that a test can tell that its fault happened.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from aiohttp import ClientSession, web

from silkledger.evidence.keccak import keccak256


class Fault(StrEnum):
    """What happens to the next so many batches that hold a call of the fault's method."""

    DROP_REQUEST = "drop the connection before the node saw the request"
    DROP_REPLY = "drop the connection after the node did what it was asked"
    TIME_OUT = "the node does it, and its answer comes too late"
    TOO_MANY = "answer 429"
    OTHER_HASH = "the node does it, and the answer names another hash"
    FORGET = "answer as if the node had taken it, and forget it"


SEND = "eth_sendRawTransaction"
PROVE = "eth_getProof"


class NodeProxy:
    """An HTTP server at `url` that hands JSON-RPC batches to `upstream`."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._faults: dict[tuple[Fault, str], int] = {}
        self._runner: web.AppRunner | None = None
        self._session: ClientSession | None = None
        self._closing = asyncio.Event()
        self.lag = 0
        """Blocks by which the node is behind the network: it knows nothing of newer ones."""
        self.keeps: int | None = None
        """For how many blocks behind the head it proves state; None: for all. It prunes."""
        self.pruned = 0
        """State proofs that were refused for that."""
        self.distort: Callable[[str, Any], Any] = lambda method, result: result
        """What is told instead of a result, by the method that was called."""
        self.own: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda call: None
        """The reply to a call, without its id, that the node is not asked for; None: ask it."""
        self.spoilt: Counter[Fault] = Counter()
        self.url = ""

    def spoil(self, fault: Fault, count: int, method: str = SEND) -> None:
        """The next `count` batches with a call of `method` meet `fault`."""
        self._faults[fault, method] = count

    async def start(self) -> None:
        self._session = ClientSession()
        application = web.Application(client_max_size=32 * 2**20)
        application.router.add_post("/", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/"

    async def stop(self) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def _next(self, methods: set[str]) -> Fault | None:
        for (fault, method), left in self._faults.items():
            if left and method in methods:
                self._faults[fault, method] = left - 1
                self.spoilt[fault] += 1
                return fault
        return None

    async def _answer(self, request: web.Request) -> web.Response:
        calls: list[dict[str, Any]] = await request.json()
        fault = self._next({call["method"] for call in calls})
        if fault is Fault.TOO_MANY:
            return web.json_response({"error": "slow down"}, status=429, headers={"Retry-After": "1"})
        if fault is Fault.DROP_REQUEST:
            return _hang_up(request)
        if fault is Fault.FORGET:
            return web.json_response([_as_if_taken(call) for call in calls])
        replies = await self._ask(calls)
        if fault is Fault.DROP_REPLY:
            return _hang_up(request)
        if fault is Fault.TIME_OUT:
            await self._closing.wait()
        if fault is Fault.OTHER_HASH:
            replies = [reply | {"result": "0x" + "ab" * 32} for reply in replies]
        return web.json_response(list(map(self._told, calls, replies)))

    def _told(self, call: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        if "result" not in reply:
            return reply
        return reply | {"result": self.distort(call["method"], reply["result"])}

    async def _ask(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        own = [self.own(call) for call in calls]
        asked = [call for call, reply in zip(calls, own, strict=True) if reply is None]
        replies = iter(await self._upstream_replies(asked) if asked else [])
        return [
            next(replies) if reply is None else {"jsonrpc": "2.0", "id": call["id"]} | reply
            for call, reply in zip(calls, own, strict=True)
        ]

    async def _upstream_replies(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        keeps = self.keeps if any(call["method"] == PROVE for call in calls) else None
        if not self.lag and keeps is None:
            return await self._forward(calls)
        number = int((await self._forward([_call("eth_blockNumber")]))[0]["result"], 16)
        if keeps is not None:
            oldest = number - keeps
            replies = await self._forward(calls)
            return [self._proven(call, reply, oldest) for call, reply in zip(calls, replies, strict=True)]
        seen = max(number - self.lag, 0)
        replies = await self._forward([_as_of(call, seen) for call in calls])
        return [_unknown(call, reply, seen) for call, reply in zip(calls, replies, strict=True)]

    def _proven(self, call: dict[str, Any], reply: dict[str, Any], oldest: int) -> dict[str, Any]:
        if call["method"] != PROVE or int(call["params"][2], 16) >= oldest:
            return reply
        self.pruned += 1
        error = {"code": -32000, "message": "the state of that block was pruned"}
        return {"jsonrpc": "2.0", "id": call["id"], "error": error}

    async def _forward(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert self._session is not None
        async with self._session.post(self._upstream, json=calls) as response:
            replies: list[dict[str, Any]] = await response.json()
            return replies


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _call(method: str, *params: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 0, "method": method, "params": list(params)}


def _as_if_taken(call: dict[str, Any]) -> dict[str, Any]:
    raw = bytes.fromhex(call["params"][0][2:])
    return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + keccak256(raw).hex()}


def _as_of(call: dict[str, Any], seen: int) -> dict[str, Any]:
    params = [hex(seen) if param == "latest" else param for param in call["params"]]
    return call | {"params": params}


def _unknown(call: dict[str, Any], reply: dict[str, Any], seen: int) -> dict[str, Any]:
    """The reply of a node that has no block above `seen`."""
    if call["method"] == "eth_blockNumber":
        return reply | {"result": hex(seen)}
    asks_for_block = call["method"] in ("eth_getBlockByNumber", "eth_getBlockReceipts")
    if asks_for_block and int(call["params"][0], 16) > seen:
        return reply | {"result": None}
    return reply
