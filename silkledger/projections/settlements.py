"""Payments as the chain tells them: a row per event of SettlementLedger, undone with its block, never edited.

Public facts only: payment ids, commitments and one-time addresses. Whose they are is not on chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.contracts import ContractEvent
from silkledger.projections.rows import Row, RowsProjector
from silkledger.values import BlockRef

CONTRACT: Final = "SettlementLedger"

METADATA: Final = MetaData()

PAYMENT_FACT: Final = Table(
    "payment_fact",
    METADATA,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("tx_hash", LargeBinary(32), nullable=False),
    Column("payment_id", LargeBinary(32), nullable=False),
    Column("state", Integer, nullable=False, comment="as PaymentStateChanged numbers it"),
    Column("by", LargeBinary(20), nullable=False, comment="one-time address that acted"),
    Column("data", LargeBinary(32), nullable=False),
    Index("payment_fact_by_payment", "payment_id"),
)

PAYMENT_REFUSAL: Final = Table(
    "payment_refusal",
    METADATA,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("tx_hash", LargeBinary(32), nullable=False),
    Column("payment_id", LargeBinary(32), nullable=False),
    Column("reason", Integer, nullable=False, comment="as PaymentRefused numbers it"),
    Column("by", LargeBinary(20), nullable=False),
    Index("payment_refusal_by_payment", "payment_id"),
)

TABLES: Final = (PAYMENT_FACT, PAYMENT_REFUSAL)


@dataclass(frozen=True, slots=True)
class PaymentFact:
    """One `PaymentStateChanged`."""

    block_number: int
    log_index: int
    payment_id: bytes
    state: int
    by: bytes
    data: bytes


class SettlementsProjector(RowsProjector):
    """Writes the payment events of a block. A pure function of its events."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return TABLES

    def rows(self, block: BlockRef, events: Sequence[ContractEvent]) -> Mapping[Table, list[Row]]:
        ours = [event for event in events if event.contract == CONTRACT]
        changed = [
            _place(event) | {"state": event.args["state"], "data": bytes(event.args["data"])}
            for event in ours
            if event.name == "PaymentStateChanged"
        ]
        refused = [
            _place(event) | {"reason": event.args["reason"]}
            for event in ours
            if event.name == "PaymentRefused"
        ]
        return {PAYMENT_FACT: changed, PAYMENT_REFUSAL: refused}


def _place(event: ContractEvent) -> Row:
    return {
        "block_number": event.block_number,
        "log_index": event.log_index,
        "tx_hash": bytes(event.tx_hash),
        "payment_id": bytes(event.args["paymentId"]),
        "by": bytes(event.args["by"]),
    }


async def facts_of(conn: AsyncConnection, payment_ids: Sequence[bytes]) -> dict[bytes, list[PaymentFact]]:
    """The facts of each payment in chain order; every id asked for is in the answer."""
    found: dict[bytes, list[PaymentFact]] = {bytes(key): [] for key in payment_ids}
    query = (
        select(PAYMENT_FACT)
        .where(PAYMENT_FACT.c.payment_id.in_(list(found)))
        .order_by(PAYMENT_FACT.c.block_number, PAYMENT_FACT.c.log_index)
    )
    for row in await conn.execute(query):
        key = bytes(row.payment_id)
        found[key].append(
            PaymentFact(row.block_number, row.log_index, key, row.state, bytes(row.by), bytes(row.data))
        )
    return found
