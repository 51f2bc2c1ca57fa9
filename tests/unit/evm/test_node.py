"""The JSON-RPC adapter: whatever a server answers, only what fits together comes through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from silkledger.evm.engines import ANVIL, SendOutcome
from silkledger.evm.node import CallReverted, JsonRpcNode, NodeLied, NodeUnavailable, TransactionRefused
from silkledger.evm.node_http import MOST_BYTES
from silkledger.values import Address
from tests.unit.evm.fake_node import GENESIS, make_block

BLOCK = make_block(GENESIS, 1, (), 0)


def rpc_block() -> dict[str, Any]:
    """`BLOCK` as `eth_getBlockByNumber` tells it."""
    header = BLOCK.header
    octets = {
        "hash": header.hash,
        "parentHash": header.parent_hash,
        "sha3Uncles": header.ommers_hash,
        "miner": header.coinbase,
        "stateRoot": header.state_root,
        "transactionsRoot": header.transactions_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "extraData": header.extra_data,
        "mixHash": header.mix_hash,
        "nonce": header.nonce,
    }
    numbers = {
        "difficulty": header.difficulty,
        "number": header.number,
        "gasLimit": header.gas_limit,
        "gasUsed": header.gas_used,
        "timestamp": header.timestamp,
    }
    told: dict[str, Any] = {name: "0x" + bytes(value).hex() for name, value in octets.items()}
    return told | {name: hex(value) for name, value in numbers.items()} | {"transactions": []}


class Script:
    """What the server answers to each method: a result, or an error object."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {"eth_getBlockByNumber": rpc_block(), "eth_getBlockReceipts": []}
        self.errors: dict[str, dict[str, Any]] = {}
        self.mangle: Callable[[Any], Any] = lambda replies: replies

    async def answer(self, request: web.Request) -> web.Response:
        replies = [
            {"jsonrpc": "2.0", "id": call["id"]}
            | (
                {"error": self.errors[call["method"]]}
                if call["method"] in self.errors
                else {"result": self.results.get(call["method"])}
            )
            for call in await request.json()
        ]
        return web.json_response(self.mangle(replies))


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def node(script: Script) -> AsyncIterator[JsonRpcNode]:
    application = web.Application()
    application.router.add_post("/", script.answer)
    server = TestServer(application)
    await server.start_server()
    client = JsonRpcNode(str(server.make_url("/")), ANVIL)
    yield client
    await client.close()
    await server.close()


async def test_a_true_block_comes_through(node: JsonRpcNode) -> None:
    assert await node.full_blocks(1, 1) == [BLOCK]
    assert (await node.block(1)).header == BLOCK.header


@pytest.mark.parametrize(
    "name", ["parentHash", "stateRoot", "receiptsRoot", "logsBloom", "timestamp", "hash"]
)
async def test_a_header_that_does_not_hash_to_its_hash_is_a_lie(
    script: Script, node: JsonRpcNode, name: str
) -> None:
    told = script.results["eth_getBlockByNumber"][name]
    script.results["eth_getBlockByNumber"][name] = told[:-1] + ("1" if told[-1] != "1" else "2")
    with pytest.raises(NodeLied):
        await node.block(1)


async def test_a_transaction_that_does_not_hash_to_its_hash_is_a_lie(
    script: Script, node: JsonRpcNode
) -> None:
    number = dict.fromkeys(("nonce", "gasPrice", "gas", "value", "v", "r", "s"), "0x1")
    told = number | {"to": None, "input": "0x", "hash": "0x" + "ab" * 32}
    script.results["eth_getBlockByNumber"]["transactions"] = [told]
    with pytest.raises(NodeLied, match="do not hash to its hash"):
        await node.full_blocks(1, 1)
    script.results["eth_getBlockByNumber"]["transactions"] = ["0x" + "ab" * 32]
    with pytest.raises(NodeLied, match="not an object"):
        await node.full_blocks(1, 1)


async def test_another_block_than_asked_for_is_a_lie(node: JsonRpcNode) -> None:
    with pytest.raises(NodeLied, match="asked for block 2"):
        await node.block(2)


@pytest.mark.parametrize("receipts", [[{}], "0x", [1, 2]])
async def test_receipts_that_do_not_fit_are_a_lie(
    script: Script, node: JsonRpcNode, receipts: object
) -> None:
    script.results["eth_getBlockReceipts"] = receipts
    with pytest.raises(NodeLied):
        await node.full_blocks(1, 1)


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getBlockReceipts"])
async def test_what_is_not_there_yet_is_retryable(script: Script, node: JsonRpcNode, method: str) -> None:
    script.results[method] = None
    with pytest.raises(NodeUnavailable):
        await node.full_blocks(1, 1)


async def test_a_missing_reply_is_a_lie(script: Script, node: JsonRpcNode) -> None:
    script.mangle = lambda replies: replies[:1]
    with pytest.raises(NodeLied):
        await node.full_blocks(1, 1)


async def test_replies_belong_to_requests_by_id_in_any_order(script: Script, node: JsonRpcNode) -> None:
    script.mangle = lambda replies: replies[::-1]
    assert await node.full_blocks(1, 1) == [BLOCK]


@pytest.mark.parametrize("other", [None, "0", 10**6, [0], 0.5])
async def test_a_reply_to_another_request_is_a_lie(script: Script, node: JsonRpcNode, other: object) -> None:
    script.mangle = lambda replies: [replies[0], replies[1] | {"id": other}]
    with pytest.raises(NodeLied):
        await node.full_blocks(1, 1)
    script.mangle = lambda replies: [replies[0], replies[0]]
    with pytest.raises(NodeLied, match="not one to each"):
        await node.full_blocks(1, 1)


@pytest.mark.parametrize("value", [None, "12", "0x", "0x01", 7, "0xzz"])
async def test_a_quantity_has_one_form(script: Script, node: JsonRpcNode, value: object) -> None:
    script.results["eth_blockNumber"] = value
    with pytest.raises(NodeLied):
        await node.block_number()


async def test_another_transactions_hash_is_a_lie(script: Script, node: JsonRpcNode) -> None:
    script.results["eth_sendRawTransaction"] = "0x" + "11" * 32
    with pytest.raises(NodeLied):
        await node.send_raw(b"\xc0")


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("already known", SendOutcome.KNOWN),
        ("Nonce too low", SendOutcome.NONCE_USED),
        ("replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("txpool is full", SendOutcome.FULL),
        ("intrinsic gas too low", SendOutcome.REFUSED),
    ],
)
async def test_refusals_mean_what_the_profile_says(
    script: Script, node: JsonRpcNode, message: str, outcome: SendOutcome
) -> None:
    script.errors["eth_sendRawTransaction"] = {"code": -32000, "message": message}
    with pytest.raises(TransactionRefused) as refusal:
        await node.send_raw(b"\xc0")
    assert refusal.value.outcome is outcome


async def test_a_reverted_call_carries_its_data(script: Script, node: JsonRpcNode) -> None:
    script.errors["eth_call"] = {"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}
    with pytest.raises(CallReverted) as reverted:
        await node.call(Address(bytes(20)), b"")
    assert reverted.value.data == b"\xde\xad\xbe\xef"


class Endless:
    """A node whose answer has no end, until it is hung up on."""

    def __init__(self) -> None:
        self.sent = 0
        self.hung_up = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 2**20)
                self.sent += 2**20
        finally:
            self.hung_up.set()


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    endless, application = Endless(), web.Application()
    application.router.add_post("/", endless.answer)
    async with TestServer(application) as server:
        node = JsonRpcNode(str(server.make_url("/")), ANVIL, timeout_s=120)
        with pytest.raises(NodeUnavailable, match="larger than 67108864 bytes"):
            await node.block_number()
        await asyncio.wait_for(endless.hung_up.wait(), 10)
        assert endless.sent < 2 * MOST_BYTES
        await node.close()


async def test_a_dead_node_is_unavailable(node: JsonRpcNode) -> None:
    nobody = JsonRpcNode("http://127.0.0.1:9", ANVIL)
    with pytest.raises(NodeUnavailable):
        await nobody.block_number()
    await nobody.close()
