"""A lane, a follower and a fake node on one database, with a clock that the test moves."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import BlockEvents, Network
from silkledger.evm.engines import ANVIL, EngineProfile
from silkledger.evm.follower import Follower
from silkledger.evm.lane import Lane
from silkledger.evm.lane_store import intent_status
from silkledger.evm.lane_types import (
    CallSpec,
    Intent,
    IntentStatus,
    LaneLimits,
    NothingToDo,
    NotYet,
    State,
)
from silkledger.evm.signer import LocalSigner, Signer
from silkledger.evm.tables import ATTEMPT, LANE
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address, TxHash
from tests.unit.evm.fake_node import FakeNode


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


async def settle(follower: Follower) -> None:
    while await follower.step():
        continue


TARGET = Address(b"\x77" * 20)
PROFILE = dataclasses.replace(ANVIL, finality_depth=6, block_time_s=0.01)
WITH_FEES = dataclasses.replace(PROFILE, min_gas_price=1000, fee_bump_percent=10)


class Rig:
    """A lane, a follower and a node on one database, with a clock that the test moves."""

    def __init__(
        self, database: Database, fake: FakeNode, network: Network, profile: EngineProfile = PROFILE
    ) -> None:
        self.database, self.node, self.network, self.profile = database, fake, network, profile
        self.account = Account.generate()
        self.clock = Clock()
        self.limits = LaneLimits(queue=10, window=4)
        self.follower = Follower(database, fake, profile, network)
        self.done: set[bytes] = set()
        self.waiting: set[bytes] = set()
        self.lane = self.new_lane()

    def new_lane(self, signer: Signer | None = None) -> Lane:
        """Another owner of the same lane, as after a restart."""
        return Lane(
            self.database,
            self.node,
            self.profile,
            self.network,
            signer or LocalSigner(self.account),
            {"note": self.build},
            limits=self.limits,
            clock=self.clock,
        )

    async def build(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        if payload in self.done:
            raise NothingToDo("done already")
        if payload in self.waiting:
            raise NotYet
        return CallSpec(TARGET, payload, 60_000)

    async def enqueue(self, *keys: str) -> None:
        async with self.database.write() as conn:
            for key in keys:
                await self.lane.enqueue(conn, Intent("note", key, key.encode()))

    async def status(self, key: str) -> IntentStatus:
        async with self.database.read() as conn:
            found = await intent_status(conn, "note", key)
        assert found is not None
        return found

    async def state(self, key: str) -> State:
        return (await self.status(key)).state

    async def attempts(self) -> list[tuple[int, str]]:
        async with self.database.read() as conn:
            rows = await conn.execute(select(ATTEMPT.c.nonce, ATTEMPT.c.state).order_by(ATTEMPT.c.id))
            return [(row.nonce, row.state) for row in rows]

    async def blocks(self, count: int) -> None:
        """Mine and follow."""
        self.node.mine(count)
        await self.follow()

    async def follow(self) -> None:
        if not self.follower.head.time:
            await self.follower.start()
        await settle(self.follower)

    async def lapse(self) -> None:
        """The owner of the lane has been silent for longer than its lease."""
        async with self.database.write() as conn:
            await conn.execute(update(LANE).values(lease_until_ms=1))

    async def later(self, seconds: float = 4.0) -> None:
        self.clock.now += seconds
        await self.lane.step()

    def counted(self, *keys: str) -> bool:
        """Each of the keys' payloads is on chain exactly once, and nothing else is."""
        payloads = Counter(self.node.payloads[tx_hash] for tx_hash in self.node.included())
        return payloads == Counter(key.encode() for key in keys)


DEEP = dataclasses.replace(ANVIL, finality_depth=6, block_time_s=0.01)
"""Reorgs of up to five blocks stay above finality."""

SEEN = Table(
    "seen",
    MetaData(),
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)


class Recorder:
    """A projector that notes every block it is given."""

    tables = (SEEN,)

    async def apply(self, conn: AsyncConnection, blocks: Sequence[BlockEvents]) -> None:
        noted = [{"block_number": block.number, "hash": bytes(block.hash)} for block, _ in blocks]
        await conn.execute(insert(SEEN), noted)


async def send(fake: FakeNode, account: Account, nonce: int) -> TxHash:
    to = Address(b"\x77" * 20)
    signed = await sign_transaction(LocalSigner(account), Transaction(7317, nonce, 0, 50_000, to, b"hello"))
    return await fake.send_raw(signed.raw)


async def rows(database: Database) -> list[tuple[int, bytes]]:
    async with database.read() as conn:
        return [(row.block_number, bytes(row.hash)) for row in await conn.execute(select(SEEN))]


def on_chain(fake: FakeNode) -> list[tuple[int, bytes]]:
    return [(block.header.number, bytes(block.header.hash)) for block in fake.blocks]
