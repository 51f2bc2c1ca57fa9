"""Many lanes of one process: one per signer, made when there is something to do (one-time signers)."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm import lane_store
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.lane import Lane
from silkledger.evm.lane_types import Builders, Intent, LaneLimits
from silkledger.evm.port import Node, NodeError
from silkledger.evm.signer import Signer, SignerUnavailable, SigningFailed
from silkledger.evm.tables import LANE
from silkledger.runtime.db import Database
from silkledger.runtime.lease import LeaseLost, release
from silkledger.runtime.waiting import first_of
from silkledger.values import Address

SignerFor = Callable[[Address], Awaitable[Signer]]
"""The signer of an address. Raises: SignerUnavailable when there is none (now)."""

_AT_ONCE: Final = 8
"""Lanes that take their round at the same time."""


class LanePool:
    """A lane for every signer that has something to do. Guarantees are those of `Lane`, per signer."""

    def __init__(
        self,
        database: Database,
        node: Node,
        profile: EngineProfile,
        network: Network,
        signer_for: SignerFor,
        builders: Builders,
        *,
        limits: LaneLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._node = node
        self._profile = profile
        self._network = network
        self._signer_for = signer_for
        self._builders = dict(builders)
        self._limits = limits or LaneLimits()
        self._clock = clock
        # One name for all lanes of the pool: a lane made again for its next act renews its own lease,
        # instead of waiting for that of its predecessor to end.
        self._owner = uuid.uuid4().hex
        self._lanes: dict[Address, Lane] = {}
        self._wakeup = asyncio.Event()
        self._problems: dict[str, str] = {}

    async def health(self) -> str | None:
        """None when well, else the first problem and how many lanes have one."""
        if not self._problems:
            return None
        who, problem = next(iter(self._problems.items()))
        return f"{len(self._problems)} lane(s) in trouble, {who}: {problem}"

    async def enqueue(self, conn: AsyncConnection, signer: Address, intent: Intent) -> int:
        """As `Lane.enqueue`, for the lane of `signer`."""
        if intent.kind not in self._builders:
            raise KeyError(f"no builder for intents of kind {intent.kind!r}")
        return await lane_store.enqueue(
            conn, self._network.chain_id, signer, intent, self._limits.queue, int(self._clock() * 1000)
        )

    def wake(self) -> None:
        """Start the next round now. Never needed for correctness."""
        self._wakeup.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds of all busy lanes until stopped; then all of them are given up."""
        while not stop.is_set():
            self._wakeup.clear()
            try:
                await self.step()
            except DBAPIError as error:
                self._problems = {"database": f"{type(error).__name__}: {error}"}
            await first_of((stop, self._wakeup), self._limits.poll_s)
        try:
            async with self._database.write() as conn:
                await release(conn, LANE, self._owner)
        except DBAPIError as error:  # then the leases end by themselves
            self._problems = {"database": f"{type(error).__name__}: {error}"}

    async def step(self) -> None:
        """One round of every lane that has something to do; a lane in trouble does not stop the others."""
        async with self._database.read() as conn:
            busy = await lane_store.busy_signers(conn, self._network.chain_id)
        self._lanes = {signer: lane for signer, lane in self._lanes.items() if signer in busy}
        problems: dict[str, str] = {}
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(signer: Address) -> None:
            async with gate:
                try:
                    lane = await self._lane(signer)
                    await lane.step()
                except (NodeError, SignerUnavailable, SigningFailed, LeaseLost) as error:
                    problems[str(signer)] = f"{type(error).__name__}: {error}"
                    return
                if lane.problem is not None:
                    problems[str(signer)] = lane.problem

        await asyncio.gather(*(one(signer) for signer in busy))
        self._problems = problems

    async def _lane(self, signer: Address) -> Lane:
        if signer not in self._lanes:
            self._lanes[signer] = Lane(
                self._database,
                self._node,
                self._profile,
                self._network,
                await self._signer_for(signer),
                self._builders,
                limits=self._limits,
                clock=self._clock,
                owner=self._owner,
            )
        return self._lanes[signer]
