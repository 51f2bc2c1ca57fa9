"""SQL of the outbox: what is still to be sent to other banks. In the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement.reconciliation.model import LegKey
from services.settlement.storage import outbox, payment, upsert
from silkledger.values import Did

DELIVER: Final = "deliver"
"""Kind of a delivery; the other kinds are `notify/<ISO status>`."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    payment_id: bytes
    kind: str
    content: bytes
    statement: bytes
    attempts: int
    leg: LegKey
    endpoint: str
    """The counterparty's, as of the payment's beginning."""


async def post(
    conn: AsyncConnection, payment_id: bytes, kind: str, content: bytes, statement: bytes, now_ms: int
) -> None:
    """Leave something to be sent to the counterparty; the same kind for the same payment only once."""
    row = {
        "payment_id": payment_id,
        "kind": kind,
        "content": content,
        "statement": statement,
        "attempts": 0,
        "next_ms": now_ms,
    }
    await conn.execute(upsert(conn, outbox).values(row).on_conflict_do_nothing())


async def counterparties_due(conn: AsyncConnection, now_ms: int) -> set[Did]:
    """To whom something is due."""
    query = (
        select(payment.c.counterparty)
        .join(outbox, outbox.c.payment_id == payment.c.payment_id)
        .where(outbox.c.done_ms.is_(None), outbox.c.next_ms <= now_ms)
        .distinct()
    )
    return {Did(row.counterparty) for row in await conn.execute(query)}


async def due(conn: AsyncConnection, counterparty: Did, now_ms: int, limit: int) -> list[OutboxRow]:
    """What is due to one counterparty, oldest first."""
    query = (
        select(outbox, payment.c.uetr, payment.c.role, payment.c.hop, payment.c.endpoint)
        .join(payment, outbox.c.payment_id == payment.c.payment_id)
        .where(
            outbox.c.done_ms.is_(None),
            outbox.c.next_ms <= now_ms,
            payment.c.counterparty == str(counterparty),
        )
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [
        OutboxRow(
            id=r.id,
            payment_id=bytes(r.payment_id),
            kind=r.kind,
            content=bytes(r.content),
            statement=bytes(r.statement),
            attempts=r.attempts,
            leg=LegKey(r.uetr, r.role, r.hop),
            endpoint=r.endpoint,
        )
        for r in await conn.execute(query)
    ]


async def sent(conn: AsyncConnection, row_id: int, now_ms: int) -> None:
    await conn.execute(update(outbox).where(outbox.c.id == row_id).values(done_ms=now_ms, last_error=None))


async def refused(conn: AsyncConnection, row_id: int, now_ms: int, reason: str) -> None:
    """Done, although it did not arrive: the other bank refused it for good."""
    await conn.execute(
        update(outbox).where(outbox.c.id == row_id).values(done_ms=now_ms, last_error=reason[:300])
    )


async def failed(conn: AsyncConnection, row_id: int, attempts: int, next_ms: int, error: str) -> None:
    values = {"attempts": attempts, "next_ms": next_ms, "last_error": error[:300]}
    await conn.execute(update(outbox).where(outbox.c.id == row_id).values(values))
