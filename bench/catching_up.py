"""How fast a follower catches up: every block verified and applied, beside the node that serves them.

The baseline is what bounds any follower of this node: the same calls in the same batches, prepared before and
sent one after the other, whose answers are read and thrown away unread.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession

from bench import databases
from bench.measure import Measurement, beside_in_rounds
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import ANVIL
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.projections.anchors import AnchorsProjector
from silkledger.projections.calls import CallsProjector
from silkledger.projections.histories import HistoriesProjector
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import migrate_open

BLOCKS: Final = 1500
A_BLOCK: Final = 3
"""Transactions of one block. Each changes an identity, with two events."""
ROUNDS: Final = 3
_NEVER_S: Final = 86_400.0
"""Block time of a chain that is driven from here."""
_PROFILE: Final = replace(ANVIL, block_time_s=0.05)
_MIGRATIONS: Final = "services/ledger/migrations"


@dataclass(frozen=True)
class Past:
    """A chain that stands still, with a history to catch up with."""

    url: str
    network: Network
    head: int


@contextmanager
def _mining(chain: EmbeddedChain) -> Iterator[None]:
    """A block every few milliseconds, while contracts are deployed."""
    stop = threading.Event()

    def mine() -> None:
        while not stop.wait(0.02):
            chain.rpc("evm_mine")

    thread = threading.Thread(target=mine)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _changes(network: Network, accounts: list[Account], nonce: int) -> list[str]:
    """One transaction of each account, signed. An identity has few attributes at once, so they recur."""
    registry = network.address("IdentityRegistry")
    raws = []
    for account in accounts:
        value = f"https://registry.example/{nonce % 8}".encode()
        name = b"did/svc/registry".ljust(32, b"\0")
        data = encode_call("IdentityRegistry", "setAttribute", (str(account.address), name, value, 86_400))
        transaction = Transaction(network.chain_id, nonce, 0, 500_000, registry, data)
        raws.append("0x" + (await sign_transaction(LocalSigner(account), transaction)).raw.hex())
    return raws


async def _ask(session: ClientSession, url: str, calls: list[tuple[str, list[object]]]) -> Any:
    async with session.post(url, data=_batch(calls), headers={"Content-Type": "application/json"}) as reply:
        return await reply.json()


def _batch(calls: list[tuple[str, list[object]]]) -> bytes:
    requests = [
        {"jsonrpc": "2.0", "id": index, "method": method, "params": params}
        for index, (method, params) in enumerate(calls)
    ]
    return json.dumps(requests).encode()


async def _write_history(chain: EmbeddedChain) -> Past:
    node = JsonRpcNode(chain.url, _PROFILE)
    with _mining(chain):
        network = await deploy(node, Account.generate(), Account.generate().address, _PROFILE)
    accounts = [Account.generate() for _ in range(A_BLOCK)]
    async with ClientSession() as session:
        for nonce in range(BLOCKS):
            raws = await _changes(network, accounts, nonce)
            calls: list[tuple[str, list[object]]] = [("eth_sendRawTransaction", [raw]) for raw in raws]
            replies = await _ask(session, chain.url, [*calls, ("evm_mine", [])])
            if any("error" in reply for reply in replies):
                raise AssertionError(replies)
    past = Past(chain.url, network, await node.block_number())
    newest = (await node.full_blocks(past.head, past.head))[0]
    if [receipt.status for receipt in newest.receipts] != [True] * A_BLOCK:
        raise AssertionError("the transactions of the history fail")
    await node.close()
    return past


@contextmanager
def _chain(directory: Path) -> Iterator[Past]:
    chain = EmbeddedChain(directory, block_time_s=_NEVER_S)
    chain.start()
    try:
        yield asyncio.run(_write_history(chain))
    finally:
        chain.stop()


async def _serve_only(past: Past) -> float:
    """Blocks per second that the node serves."""
    bodies = []
    for first in range(1, past.head + 1, _PROFILE.log_range):
        calls: list[tuple[str, list[object]]] = []
        for number in range(first, min(first + _PROFILE.log_range, past.head + 1)):
            calls.append(("eth_getBlockByNumber", [hex(number), True]))
            calls.append(("eth_getBlockReceipts", [hex(number)]))
        bodies.append(_batch(calls))
    async with ClientSession(headers={"Content-Type": "application/json"}) as session:
        start = time.perf_counter()
        for body in bodies:
            async with session.post(past.url, data=body) as reply:
                await reply.read()
        return past.head / (time.perf_counter() - start)


@asynccontextmanager
async def _empty(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url)
    try:
        await migrate_open(database, _MIGRATIONS)
        yield database
    finally:
        await database.close()


async def _catch_up(past: Past, url: str) -> float:
    """Blocks per second, from an empty database to the head."""
    node = JsonRpcNode(past.url, _PROFILE)
    projectors = (HistoriesProjector(), AnchorsProjector(), CallsProjector())
    async with _empty(url) as database:
        follower = Follower(database, node, _PROFILE, past.network, projectors)
        await follower.start()
        stop = asyncio.Event()
        start = time.perf_counter()
        running = asyncio.create_task(follower.run(stop))
        await follower.wait_for(past.head)
        spent = time.perf_counter() - start
        stop.set()
        await running
    await node.close()
    return past.head / spent


def _rate(measuring: Awaitable[float]) -> float:
    async def measured() -> float:
        return await measuring

    return asyncio.run(measured())


def follower_catch_up(dialect: str) -> list[Measurement]:
    """`follower_catch_up.<dialect>`: with the ledger's own tables and projections, durability on."""
    pairs = []
    with (
        tempfile.TemporaryDirectory(prefix="silkledger-bench-") as folder,
        _chain(Path(folder) / "chain") as past,
    ):
        for number in range(ROUNDS):
            directory = Path(folder) / str(number)
            directory.mkdir()
            with databases.database(dialect, directory) as url:
                pairs.append((_rate(_catch_up(past, url)), _rate(_serve_only(past))))
    return [
        beside_in_rounds(
            f"follower_catch_up.{dialect}",
            "blocks/s",
            "the bare node serving the same calls in batches",
            pairs,
            at_least=0.5,
        )
    ]
