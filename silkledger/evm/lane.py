"""Writing to the chain: one signer's ordered queue of transactions (design section 10).

    QUEUED → SIGNED(nonce, raw bytes, hash) → BROADCAST → INCLUDED(block) → FINAL | REFUSED

The nonce is taken in the commit that stores the signed bytes, and the bytes are stored before they are sent.
So every round can start from the rows alone: after a crash, a lost reply or a reorg, recovery is the next
round. What is in a block is learned from the follower's verified rows, never from the node's word.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm import lane_store
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile, SendOutcome
from silkledger.evm.lane_rules import changes_by_chain, due, newest_of_each_nonce
from silkledger.evm.lane_store import AttemptRow, Change, LaneRow, LaneStore
from silkledger.evm.lane_types import (
    PENDING,
    Builders,
    CallSpec,
    Intent,
    LaneLimits,
    NothingToDo,
    NotYet,
    State,
)
from silkledger.evm.port import Node, NodeError, NodeLied, TransactionRefused
from silkledger.evm.signer import Signer, SignerUnavailable, SigningFailed
from silkledger.evm.transactions import (
    SignedTransaction,
    Transaction,
    decode_signed,
    sign_transaction,
)
from silkledger.runtime.db import Database
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.runtime.lease import LeaseLost
from silkledger.runtime.waiting import first_of
from silkledger.values import Address


class Lane:
    """The lane of one (chain, signer). `enqueue` in any transaction; one `run` per process.

    Guarantees: an enqueued intent is put on chain at most once by this lane, and exactly once if node and
    signer keep answering, its builder has something to do and the transaction does not fail. Not a guarantee
    of order between intents of different kinds, since a builder may say `NotYet`.
    """

    def __init__(
        self,
        database: Database,
        node: Node,
        profile: EngineProfile,
        network: Network,
        signer: Signer,
        builders: Builders,
        *,
        limits: LaneLimits | None = None,
        clock: Callable[[], float] = time.time,
        owner: str | None = None,
        noted: Callable[[], None] = lambda: None,
    ) -> None:
        """`noted` is called when the chain said something new of this lane's transactions, and that is
        stored.
        """
        self._database = database
        self._node = node
        self._profile = profile
        self._network = network
        self._signer = signer
        self._builders = dict(builders)
        self._limits = limits or LaneLimits()
        self._clock = clock
        owner = owner or uuid.uuid4().hex
        self._store = LaneStore(
            database, network.chain_id, signer.address, owner, self._limits.lease_s, clock
        )
        self._known = False
        self._standby = False
        self._wakeup = asyncio.Event()
        self._problem: str | None = None
        self._noted = noted

    @property
    def signer(self) -> Address:
        return self._signer.address

    @property
    def problem(self) -> str | None:
        """What keeps the lane from working, as of its last round; None: nothing."""
        return self._problem

    @property
    def standby(self) -> bool:
        """Whether another process had the lane in the last round. That is no problem: what this one enqueues
        is sent by that one, and this one takes over when that one is silent.
        """
        return self._standby

    async def health(self) -> str | None:
        """None when well, else a sentence."""
        return self._problem

    async def enqueue(self, conn: AsyncConnection, intent: Intent) -> int:
        """Leave an intent in the caller's transaction. The same kind and key again is the same intent.

        Call `wake` after the commit to have it sent at once; otherwise the next poll finds it.

        Raises:
            LaneFull: too many wait. IntentConflict: this kind and key exists with another payload.
            KeyError: no builder for this kind.
        """
        if intent.kind not in self._builders:
            raise KeyError(f"no builder for intents of kind {intent.kind!r}")
        return await lane_store.enqueue(
            conn, self._network.chain_id, self.signer, intent, self._limits.queue, self._store.now_ms()
        )

    def wake(self) -> None:
        """Start the next round now. Never needed for correctness."""
        self._wakeup.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until stopped; then the lane is given up. Failures of node, signer or database are told in
        `problem` and tried again.
        """
        while not stop.is_set():
            self._wakeup.clear()
            try:
                await self.step()
            except (NodeError, SignerUnavailable, SigningFailed, DBAPIError, LeaseLost) as error:
                self._problem = f"{type(error).__name__}: {error}"
            await first_of((stop, self._wakeup), self._limits.poll_s)
        try:
            await self._store.release()
        except DBAPIError as error:  # then the lease ends by itself
            self._problem = f"{type(error).__name__}: {error}"

    async def step(self) -> None:
        """One round: lease, look at the chain, sign what waits, send what is due.

        Raises:
            NodeUnavailable, NodeLied, SignerUnavailable, LeaseLost: what was done so far is stored.
            SigningFailed: the signer signs as somebody else; nothing of that was stored.
        """
        row = await self._lease()
        self._standby = row is None
        if row is None:
            self._problem = None
            return
        self._problem = None if row.frozen is None else f"frozen: {row.frozen}"
        attempts, final = await self._store.open_attempts()
        await self._note_chain(row, changes_by_chain(attempts, final))
        if row.frozen is None:
            await self._sign_queued(row, attempts)
            await self._bump(row, attempts)
        await self._send(row)
        await self._look_for_strangers(row)

    async def _note_chain(self, row: LaneRow, changes: Sequence[Change]) -> None:
        """Write what the chain says of our attempts."""
        if any(change.state is State.INCLUDED for change in changes):
            reach(Failpoint.INCLUDE_NOTED)
        final = any(change.state is State.FINAL for change in changes)
        if final:
            reach(Failpoint.FINALISE_NOTED)
        await self._store.change(row.epoch, changes)
        if final:
            reach(Failpoint.FINALISE_COMMITTED)
        if changes:
            self._noted()

    async def _lease(self) -> LaneRow | None:
        if not self._known:
            if not await self._store.exists():
                await self._store.create(await self._node.nonce(self.signer))
            self._known = True
        return await self._store.lease()

    async def _sign_queued(self, row: LaneRow, attempts: list[AttemptRow]) -> None:
        """Give waiting intents their nonces and bytes, as many as the window has room for."""
        room = self._limits.window - sum(1 for item in attempts if item.state in PENDING)
        if room <= 0:
            return
        specs, refused = await self._build(await self._store.queued(room))
        unknown = await self._node.nonce(self.signer) - row.next_nonce if specs else 0
        if unknown > 0:  # signing over them would freeze the lane for good
            self._problem = (
                f"{unknown} transaction(s) of this signer on chain are unknown to this database: "
                "an older backup, or the key is used elsewhere"
            )
            return
        signed = [
            (intent_id, await self._sign(spec, row.next_nonce + offset))
            for offset, (intent_id, spec) in enumerate(specs)
        ]
        await self._store.refuse(row.epoch, refused)
        if signed:
            reach(Failpoint.SIGN_TRANSACTION)
            await self._store.store_signed(row.epoch, row.next_nonce, signed)
            reach(Failpoint.PERSIST_COMMITTED)

    async def _build(
        self, intents: Sequence[Any]
    ) -> tuple[list[tuple[int, CallSpec]], list[tuple[int, str]]]:
        """Calls of the intents that can be sent now, and the reasons of those that never will be."""
        specs: list[tuple[int, CallSpec]] = []
        refused: list[tuple[int, str]] = []
        if not intents:
            return specs, refused
        async with self._database.read() as conn:
            for intent in intents:
                try:
                    spec = await self._builders[intent.kind](conn, bytes(intent.payload))
                except NotYet:
                    continue
                except NothingToDo as nothing:
                    refused.append((intent.id, nothing.reason))
                    continue
                specs.append((intent.id, spec))
        return specs, refused

    async def _sign(self, spec: CallSpec, nonce: int) -> SignedTransaction:
        return await sign_transaction(
            self._signer,
            Transaction(
                chain_id=self._network.chain_id,
                nonce=nonce,
                gas_price=self._profile.min_gas_price,
                gas=spec.gas,
                to=spec.to,
                data=spec.data,
            ),
        )

    async def _bump(self, row: LaneRow, attempts: list[AttemptRow]) -> None:
        """The same transaction at a higher price, where the engine has fees and this one lies too long."""
        percent = self._profile.fee_bump_percent
        if percent is None:
            return
        patience_ms = 3 * self._profile.resend_after_s * 1000
        for attempt in newest_of_each_nonce(attempts):
            waited = self._store.now_ms() - attempt.created_ms
            if attempt.state not in PENDING or attempt.sends == 0 or waited < patience_ms:
                continue
            if await self._store.bumps(attempt.intent_id) >= self._limits.max_bumps:
                self._problem = f"transaction {attempt.tx_hash} is not taken at {attempt.gas_price} wei"
                continue
            price = attempt.gas_price + max(1, -(-attempt.gas_price * percent // 100))
            transaction = replace(decode_signed(attempt.raw).transaction, gas_price=price)
            signed = await sign_transaction(self._signer, transaction)
            await self._store.store_replacement(row.epoch, attempt.intent_id, signed)

    async def _send(self, row: LaneRow) -> None:
        """Hand over what no node is known to have, and what was handed over too long ago, in nonce order."""
        attempts, _ = await self._store.open_attempts()
        newest = {attempt.id for attempt in newest_of_each_nonce(attempts)}
        included = {attempt.nonce for attempt in attempts if attempt.chain_block is not None}
        now_ms, resend_after_s = self._store.now_ms(), self._profile.resend_after_s
        changes: list[Change] = []
        try:
            for attempt in attempts:
                if attempt.nonce not in included and due(attempt, now_ms, resend_after_s):
                    change = await self._send_one(attempt)
                    changes.append(replace(change, alone=attempt.id not in newest))
                    if change.error == SendOutcome.FULL.value:
                        break
        finally:
            await self._store.change(row.epoch, changes)
        if changes:
            reach(Failpoint.BROADCAST_NOTED)

    async def _send_one(self, attempt: AttemptRow) -> Change:
        """One hand-over. Only a lost reply raises; then the bytes are sent again, whatever became of them."""
        reach(Failpoint.BROADCAST_SENDING)
        try:
            await self._node.send_raw(attempt.raw)
        except TransactionRefused as refusal:
            return self._refused(attempt, refusal)
        except NodeLied as lie:
            self._problem = str(lie)
            return Change(attempt, State.STUCK, str(lie), sent=True)
        reach(Failpoint.BROADCAST_TAKEN)
        return Change(attempt, State.BROADCAST, sent=True)

    def _refused(self, attempt: AttemptRow, refusal: TransactionRefused) -> Change:
        outcome = refusal.outcome
        if outcome is SendOutcome.KNOWN:
            return Change(attempt, State.BROADCAST, sent=True)
        if outcome is SendOutcome.NONCE_USED:  # most likely by this very transaction; the chain will say
            return Change(attempt, State.BROADCAST, outcome.value, sent=True)
        if outcome is SendOutcome.FULL:
            return Change(attempt, State.STUCK, outcome.value, sent=True)
        self._problem = f"the node refuses {attempt.tx_hash}: {refusal.message}"
        return Change(attempt, State.STUCK, refusal.message, sent=True)

    async def _look_for_strangers(self, row: LaneRow) -> None:
        """A nonce that is consumed in a final block, but by none of our hashes, freezes the lane.

        Asked only about attempts that the node refused for their nonce, and answered only as of a final block
        that the follower has applied: before that, our own transaction may just not have been read yet.
        """
        attempts, final = await self._store.open_attempts()
        suspects = [a for a in attempts if a.chain_block is None and a.error == SendOutcome.NONCE_USED.value]
        if not suspects or final <= 0:
            return
        consumed = await self._node.nonce(self.signer, final)
        settled = {a.nonce for a in attempts if a.chain_block is not None}
        for attempt in suspects:
            if attempt.nonce < consumed and attempt.nonce not in settled:
                reason = f"nonce {attempt.nonce} was consumed by a transaction that this lane did not sign"
                await self._store.freeze(row.epoch, attempt, reason)
                self._problem = f"frozen: {reason}"


__all__ = ["Lane", "SigningFailed"]
