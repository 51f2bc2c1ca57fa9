"""SQL of the reconciliation desk, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement.domain import ReconciliationState
from services.settlement.reconciliation.model import Break, LegKey
from services.settlement.storage import BreakRow, payment, recon_break, recon_run, statement_file
from silkledger.values import Money


async def keep_file(conn: AsyncConnection, digest: bytes, content: bytes, now_ms: int) -> None:
    """Keep a camt file; the same bytes are kept once."""
    known = await conn.scalar(select(statement_file.c.digest).where(statement_file.c.digest == digest))
    if known is None:
        await conn.execute(insert(statement_file).values(digest=digest, content=content, imported_ms=now_ms))


async def files(conn: AsyncConnection) -> list[tuple[bytes, bytes]]:
    """Digest and bytes of every camt file."""
    rows = await conn.execute(select(statement_file.c.digest, statement_file.c.content))
    return [(bytes(row.digest), bytes(row.content)) for row in rows]


async def set_reconciliation(conn: AsyncConnection, payment_id: bytes, state: ReconciliationState) -> None:
    await conn.execute(
        update(payment).where(payment.c.payment_id == payment_id).values(reconciliation=int(state))
    )


async def add_run(conn: AsyncConnection, run_id: str, manifest: bytes, results: bytes, now_ms: int) -> None:
    await conn.execute(
        insert(recon_run).values(run_id=run_id, manifest=manifest, results_digest=results, at_ms=now_ms)
    )


async def store_breaks(conn: AsyncConnection, breaks: Sequence[Break], now_ms: int) -> None:
    """Open the new ones, reopen those that came back, close those that are gone (R9)."""
    rows = await conn.execute(select(recon_break.c.break_id, recon_break.c.closed_ms))
    known = {row.break_id: row.closed_ms for row in rows}
    found = {item.break_id: item for item in breaks}
    for break_id, item in sorted(found.items()):
        if break_id not in known:
            await conn.execute(insert(recon_break).values(**_row(item), opened_ms=now_ms))
        else:
            await conn.execute(
                update(recon_break)
                .where(recon_break.c.break_id == break_id)
                .values({**_row(item), "closed_ms": None})
            )
    for break_id, closed_ms in known.items():
        if closed_ms is None and break_id not in found:
            await conn.execute(
                update(recon_break).where(recon_break.c.break_id == break_id).values(closed_ms=now_ms)
            )


async def open_breaks(conn: AsyncConnection, category: str, after: str, limit: int) -> list[BreakRow]:
    """Open breaks in order of their ids. An empty category selects all."""
    query = select(recon_break).where(recon_break.c.closed_ms.is_(None), recon_break.c.break_id > after)
    if category:
        query = query.where(recon_break.c.category == category)
    rows = await conn.execute(query.order_by(recon_break.c.break_id).limit(limit))
    return [_read(row) for row in rows]


def _row(item: Break) -> dict[str, Any]:
    return {
        "break_id": item.break_id,
        "category": str(item.category),
        "uetr": item.leg.uetr if item.leg else None,
        "role": item.leg.role if item.leg else None,
        "hop": item.leg.hop if item.leg else None,
        "entry_reference": item.entry_reference,
        "ours_minor": item.ours.amount_minor if item.ours else None,
        "ours_currency": item.ours.currency if item.ours else None,
        "theirs_minor": item.theirs.amount_minor if item.theirs else None,
        "theirs_currency": item.theirs.currency if item.theirs else None,
        "explanation": item.explanation,
        "since": item.since.isoformat(),
    }


def _read(row: Any) -> BreakRow:
    return BreakRow(
        break_id=row.break_id,
        category=row.category,
        leg=LegKey(row.uetr, row.role, row.hop) if row.uetr is not None else None,
        entry_reference=row.entry_reference,
        ours=Money(row.ours_minor, row.ours_currency) if row.ours_currency else None,
        theirs=Money(row.theirs_minor, row.theirs_currency) if row.theirs_currency else None,
        explanation=row.explanation,
        since=date.fromisoformat(row.since),
        opened_ms=row.opened_ms,
    )
