"""Requests to a node share connections; one that the node has closed is replaced unnoticed; one that is
cancelled disturbs no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from silkledger.evm.engines import ANVIL
from silkledger.evm.node import JsonRpcNode, NodeUnavailable


@dataclass
class Counting:
    """A node that knows its chain id, and from which connections it was asked."""

    url: str = ""
    closes: bool = False
    drops: int = 0
    """Requests still to be cut off without an answer."""
    asked: list[str] = field(default_factory=list)
    """Methods, in the order of the requests."""
    connections: set[Any] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername"))
        calls = await request.json()
        self.asked += [call["method"] for call in calls]
        if self.drops:
            self.drops -= 1
            request.transport.abort()
        replies = [{"jsonrpc": "2.0", "id": call["id"], "result": "0x1c95"} for call in calls]
        response = web.json_response(replies)
        if self.closes:
            response.force_close()
        return response


@pytest.fixture
async def counting() -> AsyncIterator[Counting]:
    counting, application = Counting(), web.Application()
    application.router.add_post("/", counting.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    counting.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield counting
    await runner.cleanup()


@pytest.mark.parametrize(("closes", "connections"), [(False, 1), (True, 5)])
async def test_requests_share_a_connection_that_the_node_keeps(
    counting: Counting, closes: bool, connections: int
) -> None:
    counting.closes = closes
    node = JsonRpcNode(counting.url, ANVIL)
    for _ in range(5):
        assert await node.chain_id() == 0x1C95
    assert len(counting.connections) == connections
    await node.close()


@pytest.mark.parametrize("moment", range(8))
async def test_a_request_that_is_cancelled_at_any_moment_disturbs_no_other(
    counting: Counting, moment: int
) -> None:
    """As a follower does that drops what it read ahead: on several nodes, in the middle of other requests."""
    nodes = [JsonRpcNode(counting.url, ANVIL) for _ in range(2)]
    for _ in range(20):
        asked = [asyncio.create_task(node.chain_id()) for node in nodes for _ in range(4)]
        for _ in range(moment):
            await asyncio.sleep(0)
        dropped, kept = asked[::2], asked[1::2]
        for task in dropped:
            task.cancel()
        assert await asyncio.wait_for(asyncio.gather(*kept), 10) == [0x1C95] * len(kept)
        ended = await asyncio.gather(*dropped, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) or end == 0x1C95 for end in ended)
    for node in nodes:
        await node.close()


async def test_a_question_that_is_cut_off_is_asked_once_more(counting: Counting) -> None:
    node = JsonRpcNode(counting.url, ANVIL)
    assert await node.chain_id() == 0x1C95
    counting.drops = 1
    assert await node.chain_id() == 0x1C95
    assert counting.asked == ["eth_chainId"] * 3
    counting.drops = 2
    with pytest.raises(NodeUnavailable, match="ServerDisconnectedError"):
        await node.chain_id()
    assert counting.asked == ["eth_chainId"] * 5
    await node.close()


async def test_a_transaction_that_is_cut_off_is_not_sent_again(counting: Counting) -> None:
    node = JsonRpcNode(counting.url, ANVIL)
    assert await node.chain_id() == 0x1C95
    counting.drops = 1
    with pytest.raises(NodeUnavailable):
        await node.send_raw(b"\x02")
    assert counting.asked == ["eth_chainId", "eth_sendRawTransaction"]
    await node.close()


async def test_a_node_that_was_closed_can_be_asked_again(counting: Counting) -> None:
    node = JsonRpcNode(counting.url, ANVIL)
    assert await node.chain_id() == 0x1C95
    await node.close()
    assert await node.chain_id() == await node.chain_id() == 0x1C95
    assert len(counting.connections) == 2
    await node.close()
