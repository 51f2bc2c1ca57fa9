"""SQL of the outbox: what is still to be sent to other banks. In the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement.storage import outbox, upsert


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    payment_id: bytes
    kind: str
    content: bytes
    statement: bytes
    attempts: int


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


async def due(conn: AsyncConnection, now_ms: int, limit: int) -> list[OutboxRow]:
    query = (
        select(outbox)
        .where(outbox.c.done_ms.is_(None), outbox.c.next_ms <= now_ms)
        .order_by(outbox.c.id)
        .limit(limit)
    )
    return [
        OutboxRow(r.id, bytes(r.payment_id), r.kind, bytes(r.content), bytes(r.statement), r.attempts)
        for r in await conn.execute(query)
    ]


async def sent(conn: AsyncConnection, row_id: int, now_ms: int) -> None:
    await conn.execute(update(outbox).where(outbox.c.id == row_id).values(done_ms=now_ms, last_error=None))


async def failed(conn: AsyncConnection, row_id: int, attempts: int, next_ms: int, error: str) -> None:
    values = {"attempts": attempts, "next_ms": next_ms, "last_error": error[:300]}
    await conn.execute(update(outbox).where(outbox.c.id == row_id).values(values))
