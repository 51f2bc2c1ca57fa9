"""What a service has of a chain, running: database, lane and follower, with everything counted on chain."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.follower import Follower
from silkledger.evm.lane import Lane
from silkledger.evm.lane_store import intent_status
from silkledger.evm.lane_types import CallSpec, Intent, LaneLimits, State
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import CHAIN_BLOCK
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address
from tests.support.anvil import FAST, eventually

TARGET = Address(b"\x77" * 20)


async def note(conn: AsyncConnection, payload: bytes) -> CallSpec:
    return CallSpec(TARGET, payload, 60_000)


@dataclass
class Service:
    """What a service has of the chain: a database, a lane and a follower, running."""

    url: str
    database: Database
    chain: EmbeddedChain
    node: JsonRpcNode
    network: Network
    profile: EngineProfile = FAST
    since: int = 0
    """First block that is looked at when counting."""
    account: Account = field(default_factory=Account.generate)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Lane and follower as after a process start."""
        self.stop = asyncio.Event()
        self.follower = Follower(self.database, self.node, self.profile, self.network)
        signer = LocalSigner(self.account)
        self.lane = Lane(
            self.database,
            self.node,
            self.profile,
            self.network,
            signer,
            {"note": note},
            limits=LaneLimits(lease_s=2.0),
        )
        self.tasks = [
            asyncio.create_task(self.follower.run(self.stop)),
            asyncio.create_task(self.lane.run(self.stop)),
        ]

    async def halt(self) -> None:
        self.stop.set()
        await asyncio.gather(*self.tasks)

    async def crash(self) -> None:
        """Stop in the middle of whatever is going on, and lose every connection, as a kill would."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.database.close()
        self.database = await Database.open(self.url)

    async def enqueue(self, first: int, count: int) -> None:
        async with self.database.write() as conn:
            for i in range(first, first + count):
                await self.lane.enqueue(conn, Intent("note", str(i), f"note {i}".encode()))
        self.lane.wake()

    async def all_final(self, count: int) -> None:
        async def done() -> bool:
            async with self.database.read() as conn:
                found = [await intent_status(conn, "note", str(i)) for i in range(count)]
            return all(status is not None and status.state is State.FINAL for status in found)

        await eventually(done, f"all {count} intents are final", timeout_s=40)

    def on_chain(self) -> Counter[str]:
        """Payloads of all transactions of this signer, counted on the chain itself."""
        newest = int(self.chain.rpc("eth_blockNumber"), 16)
        blocks = [self.chain.rpc("eth_getBlockByNumber", hex(n), True) for n in range(self.since, newest + 1)]
        return Counter(
            bytes.fromhex(tx["input"][2:]).decode()
            for block in blocks
            for tx in block["transactions"]
            if tx["from"] == str(self.account.address)
        )

    def exactly_once(self, count: int) -> bool:
        """Each of the first `count` notes is on chain once, and nothing else of this signer's is."""
        return self.on_chain() == Counter(f"note {i}" for i in range(count))

    async def same_blocks(self) -> bool:
        """Whether what was stored is the chain, block for block."""
        async with self.database.read() as conn:
            newer = CHAIN_BLOCK.c.number >= self.since
            rows = (await conn.execute(select(CHAIN_BLOCK.c.number, CHAIN_BLOCK.c.hash).where(newer))).all()
        theirs = [self.chain.rpc("eth_getBlockByNumber", hex(row.number), False)["hash"] for row in rows]
        return ["0x" + bytes(row.hash).hex() for row in rows] == theirs
