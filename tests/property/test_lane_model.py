"""A state machine that drives the lane against a model: what it says of its intents is what the chain holds.

The lane and the follower run on a real SQLite file; the node behind the port is in memory, with a mempool,
nonces, fees and reorganisations. Any round of theirs may end in a crash at any of its points of contact with
the world (before or after a commit, a signature, a hand-over), and a new owner starts from the file alone.

The model is what was enqueued, and which transactions somebody else sent with the lane's key.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import CONTRACTS, Network
from silkledger.evm.follower import Follower
from silkledger.evm.lane import Lane
from silkledger.evm.lane_types import CallSpec, Intent, LaneLimits, State
from silkledger.evm.port import NodeError, TransactionRefused
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import ATTEMPT, CHAIN_TX, INTENT, LANE, METADATA
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address, TxHash
from tests.unit.evm.fake_node import GENESIS, FakeNode
from tests.unit.evm.rig import PROFILE, TARGET, Clock

DEPTH: Final = 3
"""Blocks that a reorg may touch; the chain is final below."""

FEES: Final = dataclasses.replace(PROFILE, finality_depth=DEPTH, min_gas_price=1001, fee_bump_percent=10)
ADDRESSES: Final = {name: Address(bytes([0xC0 + i]) * 20) for i, name in enumerate(CONTRACTS)}
NETWORK: Final = Network(7317, GENESIS, Address(b"\xd1" * 20), ADDRESSES)
STRANGER: Final = b"sent by somebody else"

fuses = st.none() | st.integers(0, 12)
"""Points of contact until the crash; None: no crash."""


class Crash(BaseException):
    """The process ends here. Nothing may catch it."""


class Fuse:
    """Ends the process at the n-th point of contact with the world."""

    def __init__(self) -> None:
        self.left: int | None = None

    def point(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash


class CrashingDatabase:
    """A database whose owner may die before or after any commit."""

    def __init__(self, inner: Database, fuse: Fuse) -> None:
        self._inner, self._fuse, self.dialect = inner, fuse, inner.dialect

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._inner.read()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with self._inner.write() as conn:
            yield conn
            self._fuse.point()
        self._fuse.point()


class CrashingSigner(LocalSigner):
    def __init__(self, account: Account, fuse: Fuse) -> None:
        super().__init__(account)
        self._fuse = fuse

    async def sign(self, preimage: bytes) -> bytes:
        self._fuse.point()
        return await super().sign(preimage)


@dataclasses.dataclass
class CrashingNode(FakeNode):
    fuse: Fuse = dataclasses.field(default_factory=Fuse)

    async def send_raw(self, raw: bytes) -> TxHash:
        self.fuse.point()
        tx_hash = await super().send_raw(raw)
        self.fuse.point()
        return tx_hash


async def build(conn: AsyncConnection, payload: bytes) -> CallSpec:
    return CallSpec(TARGET, payload, 60_000)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the lane's tables say."""

    attempts: set[tuple[int, int]]
    """Intent and nonce."""
    states: dict[bytes, State]
    next_nonce: int
    frozen: bool


class LaneAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory(prefix="silkledger-lane-")
        self._runner = asyncio.Runner()
        self.fuse, self.clock, self.account = Fuse(), Clock(), Account.generate()
        self.node = CrashingNode(bump_percent=10, fuse=self.fuse)
        self.model: set[bytes] = set()
        self.ended: set[bytes] = set()
        self.opened = self._do(self._open())
        self._start()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    async def _open(self) -> Database:
        database = await Database.open(f"sqlite:///{Path(self._directory.name)}/lane.sqlite")
        async with database.write() as conn:
            await conn.run_sync(METADATA.create_all)
        return database

    def _start(self) -> None:
        """A new owner: it knows nothing but the file."""
        database: Any = CrashingDatabase(self.opened, self.fuse)
        self.follower = Follower(database, self.node, FEES, NETWORK, clock=self.clock)
        self.lane = Lane(
            database,
            self.node,
            FEES,
            NETWORK,
            CrashingSigner(self.account, self.fuse),
            {"note": build},
            limits=LaneLimits(queue=100, window=3),
            clock=self.clock,
        )
        self._do(self._follow())
        self._do(self.lane._lease())

    async def _follow(self) -> None:
        try:
            await self.follower.start()
            while await self.follower.step():
                continue
        except NodeError:
            return

    def _until_crash(self, work: Coroutine[Any, Any, None], fuse: int | None) -> bool:
        """False: it crashed, and a new owner has started."""
        self.fuse.left = fuse
        try:
            self._do(work)
        except Crash:
            self._start()
            return False
        except NodeError:
            return True  # told in `problem`; the next round goes on
        finally:
            self.fuse.left = None
        return True

    # --- what callers and time do

    @rule(number=st.integers(0, 7))
    def enqueue(self, number: int) -> None:
        """The same number again is the same intent."""
        payload = b"intent %d" % number

        async def work() -> None:
            async with self.opened.write() as conn:
                await self.lane.enqueue(conn, Intent("note", str(number), payload))

        self._do(work())
        self.model.add(payload)

    @rule(seconds=st.sampled_from([1, 4, 15]))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    # --- what the process does

    @rule(fuse=fuses)
    def lane_round(self, fuse: int | None) -> None:
        """After a whole round an intent is INCLUDED only if the follower has it in a block now."""
        if self._until_crash(self.lane.step(), fuse):
            included = self._do(self._included())
            states = self._do(self._look()).states
            assert {payload for payload, state in states.items() if state is State.INCLUDED} <= included

    @rule(fuse=fuses)
    def follow(self, fuse: int | None) -> None:
        self._until_crash(self._follow(), fuse)

    @rule()
    def restart(self) -> None:
        self._start()

    # --- what the node and the network do

    @rule(blocks=st.integers(1, 3))
    def mine(self, blocks: int) -> None:
        self.node.mine(blocks)

    @rule(depth=st.integers(1, DEPTH), shorter=st.booleans(), keep_pool=st.booleans())
    def reorg(self, depth: int, *, shorter: bool, keep_pool: bool) -> None:
        """Never of what our side takes for final, nor deeper than the network promises."""
        depth = min(depth, len(self.node.blocks) - self.follower.final.number)
        if depth <= 0:
            return
        pool = dict(self.node.pool)
        self.node.reorg(depth, length=depth - 1 if shorter else depth + 1)
        if keep_pool:
            self.node.pool = pool

    @rule()
    def forget(self) -> None:
        self.node.pool.clear()

    @rule(fault=st.sampled_from(["lose_replies", "drop_sent"]), count=st.integers(0, 2))
    def spoil(self, fault: str, count: int) -> None:
        setattr(self.node, fault, count)

    @rule(flag=st.sampled_from(["down", "other_hash"]))
    def toggle(self, flag: str) -> None:
        setattr(self.node, flag, not getattr(self.node, flag))

    @precondition(lambda self: self.model and not self._strangers())
    @rule()
    def stranger(self) -> None:
        """Somebody with the lane's key takes the next nonce, outbidding ours."""
        nonce = self.node._nonce(self.account.address, ())
        price = 2 * max([1001, *(signed.transaction.gas_price for signed in self.node.pool.values())])
        transaction = Transaction(7317, nonce, price, 60_000, TARGET, STRANGER)
        signed = self._do(sign_transaction(LocalSigner(self.account), transaction))
        try:
            self._do(FakeNode.send_raw(self.node, signed.raw))
        except (TransactionRefused, NodeError):
            return

    # --- what must hold after every one of these

    @invariant()
    def what_the_lane_says_is_what_the_chain_holds(self) -> None:
        """(1) Nothing is on chain twice or unasked. (2) One nonce for each intent, and no gaps. (3) What
        ended well is final on chain and stays so. (4) Frozen only by a stranger's final transaction.
        """
        seen = self._do(self._look())
        counts, final = self._on_chain(), self.follower.final.number
        assert set(counts) <= self.model  # (1)
        assert set(counts.values()) <= {1}

        nonces = [nonce for _, nonce in seen.attempts]  # (2)
        assert len({intent for intent, _ in seen.attempts}) == len(nonces) == len(set(nonces))
        assert sorted(nonces) == list(range(seen.next_nonce))

        ended = {payload for payload, state in seen.states.items() if state is State.FINAL}  # (3)
        assert self.ended <= ended
        assert ended <= set(self._on_chain(final))
        assert State.REFUSED not in seen.states.values()
        self.ended = ended

        frozen = Counter(seen.states.values())[State.FROZEN]  # (4)
        assert seen.frozen == (frozen > 0)
        assert frozen <= len(self._strangers(final))

    def teardown(self) -> None:
        """The node is well again: everything comes to its end."""
        try:
            self.node.down, self.node.other_hash = False, False
            self.node.lose_replies = self.node.drop_sent = 0
            for _ in range(14):
                self.clock.now += 40
                self._do(self.lane.step())
                self.node.mine(2)
                self._do(self._follow())
                self._do(self.lane.step())
                if self._ended(self._do(self._look())):
                    break
            self._all_came_to_an_end(self._do(self._look()))
        finally:
            self._do(self.opened.close())
            self._runner.close()
            self._directory.cleanup()

    def _ended(self, seen: Seen) -> bool:
        states = set(seen.states.values())
        stopped = seen.frozen or self._strangers()
        return states <= ({State.FINAL, State.FROZEN, State.QUEUED} if stopped else {State.FINAL})

    def _all_came_to_an_end(self, seen: Seen) -> None:
        strangers, on_chain = self._strangers(), self._on_chain()
        assert set(seen.states) == self.model
        for payload, state in seen.states.items():
            assert (state is State.FINAL) == (on_chain[payload] == 1)
            assert state is State.FINAL or (strangers and state in (State.FROZEN, State.QUEUED))
        if not strangers:
            assert on_chain == Counter(self.model)

    # --- looking

    async def _look(self) -> Seen:
        async with self.opened.read() as conn:
            attempts = (await conn.execute(select(ATTEMPT.c.intent_id, ATTEMPT.c.nonce))).all()
            states = (await conn.execute(select(INTENT.c.payload, INTENT.c.state))).all()
            lane = (await conn.execute(select(LANE.c.next_nonce, LANE.c.frozen))).one()
        return Seen(
            {(row.intent_id, row.nonce) for row in attempts},
            {row.payload: State(row.state) for row in states},
            lane.next_nonce,
            lane.frozen is not None,
        )

    async def _included(self) -> set[bytes]:
        found = select(INTENT.c.payload).where(
            INTENT.c.id == ATTEMPT.c.intent_id, ATTEMPT.c.tx_hash == CHAIN_TX.c.tx_hash
        )
        async with self.opened.read() as conn:
            return set((await conn.execute(found)).scalars())

    def _payloads(self, up_to: int | None = None) -> list[bytes]:
        blocks = self.node.blocks[:up_to]
        return [self.node.payloads[tx_hash] for block in blocks for tx_hash in block.tx_hashes]

    def _on_chain(self, up_to: int | None = None) -> Counter[bytes]:
        return Counter(payload for payload in self._payloads(up_to) if payload != STRANGER)

    def _strangers(self, up_to: int | None = None) -> list[bytes]:
        return [payload for payload in self._payloads(up_to) if payload == STRANGER]


TestLaneAgainstModel = LaneAgainstModel.TestCase
TestLaneAgainstModel.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
