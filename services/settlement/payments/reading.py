"""Payments as a reader sees them: the vault's row, its history, and how far the chain bears it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement import storage
from services.settlement.domain import EVIDENCED_BY, Payment, PaymentState
from silkledger.projections import chain
from silkledger.projections.settlements import PaymentFact, facts_of
from silkledger.values import BlockRef


class Stage(IntEnum):
    """The evidence axis; numbers of the wire contract."""

    ACCEPTED = 1
    ANCHORED = 3
    FINAL = 4


@dataclass(frozen=True, slots=True)
class Change:
    state: PaymentState
    at_ms: int
    by: str
    block: BlockRef | None
    """Where the chain says the same; None: nowhere yet."""


@dataclass(frozen=True, slots=True)
class PaymentView:
    payment: Payment
    changes: tuple[Change, ...]
    stage: Stage
    """Of the payment's present state, not of its first: accepted here, in a block, or in a final block."""


async def views(conn: AsyncConnection, payments: Sequence[Payment]) -> list[PaymentView]:
    """All as of one moment."""
    ids = [item.payment_id for item in payments]
    facts, changes = await facts_of(conn, ids), await storage.changes_of(conn, ids)
    blocks = await chain.blocks_at(conn, [f.block_number for found in facts.values() for f in found])
    position = await chain.position(conn)
    final = position.final.number if position.final else 0
    return [_view(item, changes[item.payment_id], facts[item.payment_id], blocks, final) for item in payments]


def _view(
    item: Payment,
    changes: Sequence[storage.ChangeRow],
    facts: Sequence[PaymentFact],
    blocks: dict[int, BlockRef],
    final: int,
) -> PaymentView:
    def borne_out(state: PaymentState) -> BlockRef | None:
        wanted = EVIDENCED_BY.get(state, set())
        found = next((fact for fact in facts if fact.state in wanted), None)
        return blocks.get(found.block_number) if found else None

    told = tuple(Change(c.state, c.at_ms, c.by, borne_out(c.state)) for c in changes)
    block = borne_out(item.state)
    stage = Stage.ACCEPTED
    if block is not None:
        stage = Stage.FINAL if block.number <= final else Stage.ANCHORED
    return PaymentView(item, told, stage)
