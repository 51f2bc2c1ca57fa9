"""The lane's rows. Every write after the lease was taken checks its epoch in the same transaction
(silkledger.runtime.lease).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import CursorResult, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.lane_types import (
    OPEN,
    Intent,
    IntentConflict,
    IntentStatus,
    LaneFull,
    State,
)
from silkledger.evm.tables import ATTEMPT, CHAIN_BLOCK, CHAIN_CURSOR, CHAIN_TX, INTENT, LANE
from silkledger.evm.transactions import SignedTransaction
from silkledger.runtime.db import SQLITE, Database
from silkledger.runtime.failpoints import Failpoint, reach
from silkledger.runtime.lease import Lease, LeaseLost, release
from silkledger.values import Address, TxHash


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An open attempt, beside what the chain tables say about its hash."""

    id: int
    intent_id: int
    nonce: int
    gas_price: int
    raw: bytes
    tx_hash: TxHash
    state: State
    sends: int
    sent_ms: int | None
    created_ms: int
    error: str | None
    chain_block: int | None
    """Block that holds it, by the follower; None: none does."""
    chain_hash: bytes | None
    known_hash: bytes | None
    """Block that held it when last looked at."""
    succeeded: bool | None


@dataclass(frozen=True, slots=True)
class LaneRow:
    next_nonce: int
    epoch: int
    frozen: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A new state of one attempt, and of its intent unless `alone`."""

    attempt: AttemptRow
    state: State
    error: str | None = None
    alone: bool = False
    """The attempt was replaced: the intent's state is its replacement's."""
    sent: bool = False


async def enqueue(
    conn: AsyncConnection, chain_id: int, signer: Address, intent: Intent, limit: int, now_ms: int
) -> int:
    """Store an intent in the caller's transaction; the same intent again gives the same id.

    Raises:
        LaneFull: too many wait. IntentConflict: same kind and key, other payload.
    """
    once = and_(INTENT.c.kind == intent.kind, INTENT.c.unique_key == intent.key)
    found = (await conn.execute(select(INTENT.c.id, INTENT.c.payload).where(once))).first()
    if found is None:
        await _refuse_if_full(conn, chain_id, signer, limit)
        dialect = sqlite if conn.dialect.name == SQLITE else postgresql
        values = {
            "chain_id": chain_id,
            "signer": bytes(signer),
            "kind": intent.kind,
            "unique_key": intent.key,
            "payload": intent.payload,
            "state": State.QUEUED.value,
            "created_ms": now_ms,
        }
        await conn.execute(dialect.insert(INTENT).values(**values).on_conflict_do_nothing())
        reach(Failpoint.PERSIST_INTENT)
        found = (await conn.execute(select(INTENT.c.id, INTENT.c.payload).where(once))).one()
    if bytes(found.payload) != intent.payload:
        raise IntentConflict(intent)
    return int(found.id)


async def _refuse_if_full(conn: AsyncConnection, chain_id: int, signer: Address, limit: int) -> None:
    waiting = select(INTENT.c.id).where(
        INTENT.c.chain_id == chain_id, INTENT.c.signer == bytes(signer), INTENT.c.state == State.QUEUED.value
    )
    queued = await conn.scalar(select(func.count()).select_from(waiting.limit(limit).subquery()))
    if queued is not None and queued >= limit:
        raise LaneFull(queued)


async def intent_status(conn: AsyncConnection, kind: str, key: str) -> IntentStatus | None:
    """Where an intent stands; None: there is no such intent."""
    row = (
        await conn.execute(
            select(INTENT.c.id, INTENT.c.state, INTENT.c.reason).where(
                INTENT.c.kind == kind, INTENT.c.unique_key == key
            )
        )
    ).first()
    if row is None:
        return None
    attempt = (
        await conn.execute(
            select(ATTEMPT.c.tx_hash, ATTEMPT.c.block_number)
            .where(ATTEMPT.c.intent_id == row.id)
            .order_by(ATTEMPT.c.block_number.is_(None), ATTEMPT.c.id.desc())
            .limit(1)
        )
    ).first()
    return IntentStatus(
        id=row.id,
        state=State(row.state),
        reason=row.reason,
        tx_hash=None if attempt is None else TxHash(attempt.tx_hash),
        block_number=None if attempt is None else attempt.block_number,
    )


async def busy_signers(conn: AsyncConnection, chain_id: int) -> list[Address]:
    """Signers that have something to do: an intent that has not ended."""
    unfinished = [State.QUEUED.value, *(state.value for state in OPEN)]
    rows = await conn.execute(
        select(INTENT.c.signer)
        .where(INTENT.c.chain_id == chain_id, INTENT.c.state.in_(unfinished))
        .group_by(INTENT.c.signer)
        .order_by(func.min(INTENT.c.id))
    )
    return [Address(signer) for (signer,) in rows]


class LaneStore:
    """One lane's rows, seen by one owner."""

    def __init__(
        self,
        database: Database,
        chain_id: int,
        signer: Address,
        owner: str,
        lease_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._chain_id = chain_id
        self._signer = signer
        self._owner = owner
        self._clock = clock
        self._lease = Lease(LANE, {"chain_id": chain_id, "signer": bytes(signer)}, owner, lease_s)

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    async def exists(self) -> bool:
        async with self._database.read() as conn:
            return await self._lease.exists(conn)

    async def create(self, next_nonce: int) -> None:
        """The lane's row, owned by nobody yet. A lane that exists is left alone."""
        async with self._database.write() as conn:
            await self._lease.create(conn, next_nonce=next_nonce)

    async def lease(self) -> LaneRow | None:
        """Take or renew the lease; None while another owner holds it."""
        async with self._database.write() as conn:
            row = await self._lease.hold(conn)
        return None if row is None else LaneRow(row.next_nonce, row.epoch, row.frozen)

    async def release(self) -> None:
        """Give up every lane of this owner; the next owner may begin at once."""
        async with self._database.write() as conn:
            await release(conn, LANE, self._owner)

    @asynccontextmanager
    async def fenced(self, epoch: int, **values: object) -> AsyncIterator[AsyncConnection]:
        """A write transaction of this epoch's owner. Raises: LeaseLost, with nothing written."""
        async with self._database.write() as conn:
            await self._lease.fence(conn, epoch, **values)
            yield conn

    async def open_attempts(self) -> tuple[list[AttemptRow], int]:
        """Attempts whose end is not known, by nonce, with the chain's word on each; and the final block."""
        attempts = (
            select(
                ATTEMPT,
                CHAIN_TX.c.block_number.label("chain_block"),
                CHAIN_BLOCK.c.hash.label("chain_hash"),
                CHAIN_TX.c.succeeded,
            )
            .select_from(
                ATTEMPT.outerjoin(CHAIN_TX, CHAIN_TX.c.tx_hash == ATTEMPT.c.tx_hash).outerjoin(
                    CHAIN_BLOCK, CHAIN_BLOCK.c.number == CHAIN_TX.c.block_number
                )
            )
            .where(
                ATTEMPT.c.chain_id == self._chain_id,
                ATTEMPT.c.signer == bytes(self._signer),
                ATTEMPT.c.state.in_([state.value for state in OPEN]),
            )
            .order_by(ATTEMPT.c.nonce, ATTEMPT.c.id)
        )
        async with self._database.read() as conn:
            rows = (await conn.execute(attempts)).all()
            final = await conn.scalar(
                select(CHAIN_CURSOR.c.final_number).where(CHAIN_CURSOR.c.chain_id == self._chain_id)
            )
        return [_attempt(row) for row in rows], final or 0

    async def queued(self, limit: int) -> list[Any]:
        """The oldest unsigned intents."""
        async with self._database.read() as conn:
            rows = await conn.execute(
                select(INTENT.c.id, INTENT.c.kind, INTENT.c.payload)
                .where(
                    INTENT.c.chain_id == self._chain_id,
                    INTENT.c.signer == bytes(self._signer),
                    INTENT.c.state == State.QUEUED.value,
                )
                .order_by(INTENT.c.id)
                .limit(limit)
            )
            return list(rows)

    async def change(self, epoch: int, changes: Sequence[Change]) -> None:
        """New states of attempts and of their intents, in one commit. Raises: LeaseLost."""
        if not changes:
            return
        async with self.fenced(epoch) as conn:
            await self._apply(conn, changes)
            if any(change.state is State.FINAL for change in changes):
                reach(Failpoint.FINALISE_WRITTEN)

    async def _apply(self, conn: AsyncConnection, changes: Sequence[Change]) -> None:
        now = self.now_ms()
        await conn.execute(_SET_ATTEMPT, [_attempt_values(item, now) for item in changes])
        intents = [
            {"row": item.attempt.intent_id, "new_state": item.state.value, "new_reason": item.error}
            for item in changes
            if not item.alone
        ]
        if intents:
            await conn.execute(_SET_INTENT, intents)

    async def refuse(self, epoch: int, refusals: Sequence[tuple[int, str]]) -> None:
        """Intents that end without ever having had a nonce."""
        if not refusals:
            return
        async with self.fenced(epoch) as conn:
            for intent_id, reason in refusals:
                await conn.execute(
                    update(INTENT)
                    .where(INTENT.c.id == intent_id, INTENT.c.state == State.QUEUED.value)
                    .values(state=State.REFUSED.value, reason=reason)
                )

    async def store_signed(
        self, epoch: int, next_nonce: int, signed: Sequence[tuple[int, SignedTransaction]]
    ) -> None:
        """Nonces and bytes in one commit: the nonces are taken exactly when the bytes are durable.

        Raises:
            LeaseLost: the epoch is over, or an intent is not queued any more.
        """
        async with self.fenced(epoch, next_nonce=next_nonce + len(signed)) as conn:
            taken: CursorResult[Any] = await conn.execute(
                update(INTENT)
                .where(INTENT.c.id.in_([item[0] for item in signed]), INTENT.c.state == State.QUEUED.value)
                .values(state=State.SIGNED.value, reason=None)
            )
            if taken.rowcount != len(signed):
                raise LeaseLost
            await conn.execute(insert(ATTEMPT), [self._attempt_row(*item) for item in signed])
            reach(Failpoint.PERSIST_SIGNED)

    async def store_replacement(self, epoch: int, intent_id: int, signed: SignedTransaction) -> None:
        """The same nonce at a higher price, beside the earlier attempt."""
        async with self.fenced(epoch) as conn:
            await conn.execute(insert(ATTEMPT), [self._attempt_row(intent_id, signed)])

    async def freeze(self, epoch: int, row: AttemptRow, reason: str) -> None:
        """The nonce of `row` was consumed by a hash that we do not know: stop signing, and say so."""
        async with self.fenced(epoch, frozen=reason) as conn:
            await self._apply(conn, [Change(row, State.FROZEN, reason)])

    async def bumps(self, intent_id: int) -> int:
        async with self._database.read() as conn:
            count = await conn.scalar(
                select(func.count()).select_from(ATTEMPT).where(ATTEMPT.c.intent_id == intent_id)
            )
        return (count or 0) - 1

    def _attempt_row(self, intent_id: int, signed: SignedTransaction) -> dict[str, object]:
        transaction = signed.transaction
        return {
            "intent_id": intent_id,
            "chain_id": self._chain_id,
            "signer": bytes(self._signer),
            "nonce": transaction.nonce,
            "gas_price": transaction.gas_price.to_bytes(32, "big"),
            "raw": signed.raw,
            "tx_hash": bytes(signed.hash),
            "state": State.SIGNED.value,
            "sends": 0,
            "created_ms": self.now_ms(),
        }


_SET_ATTEMPT: Final = (
    update(ATTEMPT)
    .where(ATTEMPT.c.id == bindparam("row"))
    .values(
        state=bindparam("new_state"),
        error=bindparam("new_error"),
        block_number=bindparam("new_number"),
        block_hash=bindparam("new_hash"),
        sends=bindparam("new_sends"),
        sent_ms=bindparam("new_sent_ms"),
    )
)

_SET_INTENT: Final = (
    update(INTENT)
    .where(INTENT.c.id == bindparam("row"))
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"))
)


def _attempt_values(item: Change, now: int) -> dict[str, object]:
    row = item.attempt
    in_block = row.chain_block is not None and item.state in (State.INCLUDED, State.FINAL, State.REFUSED)
    return {
        "row": row.id,
        "new_state": item.state.value,
        "new_error": item.error,
        "new_number": row.chain_block if in_block else None,
        "new_hash": row.chain_hash if in_block else None,
        "new_sends": row.sends + 1 if item.sent else row.sends,
        "new_sent_ms": now if item.sent else row.sent_ms,
    }


def _attempt(row: Any) -> AttemptRow:
    return AttemptRow(
        id=row.id,
        intent_id=row.intent_id,
        nonce=row.nonce,
        gas_price=int.from_bytes(row.gas_price, "big"),
        raw=bytes(row.raw),
        tx_hash=TxHash(row.tx_hash),
        state=State(row.state),
        sends=row.sends,
        sent_ms=row.sent_ms,
        created_ms=row.created_ms,
        error=row.error,
        chain_block=row.chain_block,
        chain_hash=row.chain_hash,
        known_hash=row.block_hash,
        succeeded=row.succeeded,
    )
