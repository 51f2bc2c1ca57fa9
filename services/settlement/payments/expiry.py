"""What nobody accepts expires: on chain by the debtor's bank, here by the chain's word.

Guarantee: a payment of ours that is open on chain after its expiry block gets an `expire`, whatever happened
to the counterparty; it becomes EXPIRED here when a final block says so, at both banks.

Non-guarantee: a payment that its counterparty never acknowledged was never opened, so there is nothing to
expire; its delivery goes on being tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement import storage
from services.settlement.domain import CAN_EXPIRE, ChainState, Party, Payment, PaymentState
from services.settlement.payments.office import EXPIRE, Office
from silkledger.projections import chain
from silkledger.projections.settlements import PAYMENT_FACT
from silkledger.runtime.db import advisory_lock
from silkledger.runtime.telemetry import logger

_POLL_S: Final = 0.5
_BATCH: Final = 100

_OPEN_HERE: Final = [int(state) for state in CAN_EXPIRE]


class ExpiryWorker:
    """Looks at every block for payments whose time is over."""

    name = "expiry"

    def __init__(self, office: Office, contract: str) -> None:
        """`contract`: who says that a payment expired, as a CAIP-10 account id."""
        self._office = office
        self._contract = contract

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until stopped."""
        while not stop.is_set():
            try:
                await self.step()
            except DBAPIError as error:
                logger().warning("expiry_database", why=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), _POLL_S)
            except TimeoutError:
                continue

    async def step(self) -> None:
        """One round. Only reads while there is nothing to do."""
        async with self._office.database.read() as conn:
            position = await chain.position(conn)
            head = position.head.number if position.head else 0
            final = position.final.number if position.final else 0
            late, expired = await overdue(conn, head), await expired_on_chain(conn, final)
        if not late and not expired:
            return
        async with self._office.database.write() as conn:
            await advisory_lock(conn, "settlement")
            for item in late:
                await self._office.act(conn, item, EXPIRE, b"")
            for payment_id in [item.payment_id for item in expired]:
                now = await storage.by_id(conn, payment_id)
                if now is not None and now.state in CAN_EXPIRE:
                    await self._office.move(conn, now, PaymentState.EXPIRED, Party.CHAIN, self._contract)
        self._office.lanes.wake()


async def overdue(conn: AsyncConnection, head: int) -> list[Payment]:
    """Outgoing payments that the next block may expire: of them the chain knows the opening alone."""
    p, f = storage.payment.c, PAYMENT_FACT.c
    opened = exists().where(f.payment_id == p.payment_id, f.state == int(ChainState.OPEN))
    more = exists().where(f.payment_id == p.payment_id, f.state != int(ChainState.OPEN))
    return await _payments(conn, [p.outgoing, p.expiry_block <= head, opened, ~more])


async def expired_on_chain(conn: AsyncConnection, final: int) -> list[Payment]:
    """Payments that a final block says expired, and that are not expired here."""
    p, f = storage.payment.c, PAYMENT_FACT.c
    said = exists().where(
        f.payment_id == p.payment_id, f.state == int(ChainState.EXPIRED), f.block_number <= final
    )
    return await _payments(conn, [said])


async def _payments(conn: AsyncConnection, which: Sequence[ColumnElement[bool]]) -> list[Payment]:
    query = select(storage.payment).where(storage.payment.c.state.in_(_OPEN_HERE), *which)
    rows = await conn.execute(query.order_by(storage.payment.c.payment_id).limit(_BATCH))
    return [storage.payment_of(row) for row in rows]
