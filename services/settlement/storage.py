"""The settlement service's tables and every statement of SQL it runs. No decision is made here.

The vault (`message`, `signed`, `payment`, `payment_change`, `statement_file`) is primary: it is only here.
All writing functions run in the caller's transaction: the use case decides what is one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement.domain import Market, Payment, PaymentState, ReconciliationState, Terms
from services.settlement.reconciliation.model import LegKey
from silkledger.evm.tables import ROW_ID
from silkledger.runtime.db import POSTGRESQL
from silkledger.values import Address, Did, Digest, Money

own: Final = MetaData()

# ISO 20022 messages as received or made, byte for byte.
message = Table(
    "message",
    own,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

# Signed statements about payments: deliveries, acknowledgements, reports, the institution's word.
signed = Table(
    "signed",
    own,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("statement_digest", LargeBinary(32), primary_key=True),
    # SHA-256 of the statement's bytes; the bytes themselves are below.
    Column("statement", LargeBinary, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

payment = Table(
    "payment",
    own,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("uetr", Text, nullable=False),
    Column("role", Integer, nullable=False),
    Column("hop", Integer, nullable=False),
    Column("end_to_end_id", Text, nullable=False),
    Column("transaction_id", Text, nullable=False),
    Column("clearing_reference", Text, nullable=False),
    Column("instructing_bic", Text, nullable=False),
    Column("instructed_bic", Text, nullable=False),
    Column("debtor_bic", Text, nullable=False),
    Column("creditor_bic", Text, nullable=False),
    # Minor units of the currency.
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("market", Integer, nullable=False),
    # ISO 8601 date.
    Column("settlement_date", Text, nullable=False),
    Column("charges_minor", BigInteger, nullable=False),
    Column("message_digest", LargeBinary(32), nullable=False),
    Column("outgoing", Boolean, nullable=False),
    Column("counterparty", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("salt", LargeBinary(16), nullable=False),
    Column("commitment", LargeBinary(32), nullable=False),
    Column("own_address", LargeBinary(20), nullable=False),
    Column("counterparty_address", LargeBinary(20)),
    Column("state", Integer, nullable=False),
    Column("reconciliation", Integer, nullable=False),
    Column("reason_code", Text, nullable=False),
    # Last block that may hold the acceptance; of an outgoing payment from its opening on.
    Column("expiry_block", BigInteger),
    UniqueConstraint("uetr", "role", "hop", name="payment_leg"),
    Index("payment_by_address", "own_address"),
    Index("payment_by_state", "state", "expiry_block"),
)

payment_change = Table(
    "payment_change",
    own,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("state", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # DID of who said it.
    Column("said_by", Text, nullable=False),
)

# What is still to be sent to another bank. A row is never removed; done_ms says it arrived.
outbox = Table(
    "outbox",
    own,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("payment_id", LargeBinary(32), nullable=False),
    # `deliver`, or `notify/<ISO status>`.
    Column("kind", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger),
    Column("last_error", Text),
    UniqueConstraint("payment_id", "kind", name="outbox_once"),
)

# camt files as received.
statement_file = Table(
    "statement_file",
    own,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("imported_ms", BigInteger, nullable=False),
)

recon_run = Table(
    "recon_run",
    own,
    Column("run_id", Text, primary_key=True),
    Column("manifest", LargeBinary, nullable=False),
    Column("results_digest", LargeBinary(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# Every break ever found. closed_ms is set when a later run does not find it any more (R9).
recon_break = Table(
    "recon_break",
    own,
    Column("break_id", Text, primary_key=True),
    Column("category", Text, nullable=False),
    Column("uetr", Text),
    Column("role", Integer),
    Column("hop", Integer),
    Column("entry_reference", Text, nullable=False),
    Column("ours_minor", BigInteger),
    Column("ours_currency", Text),
    Column("theirs_minor", BigInteger),
    Column("theirs_currency", Text),
    Column("explanation", Text, nullable=False),
    # ISO 8601 date from which the break ages.
    Column("since", Text, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
)


@dataclass(frozen=True, slots=True)
class ChangeRow:
    state: PaymentState
    at_ms: int
    by: str


@dataclass(frozen=True, slots=True)
class BreakRow:
    break_id: str
    category: str
    leg: LegKey | None
    entry_reference: str
    ours: Money | None
    theirs: Money | None
    explanation: str
    since: date
    opened_ms: int


def upsert(conn: AsyncConnection, table: Table) -> Any:
    """An INSERT that can say ON CONFLICT, in the dialect at hand."""
    return (postgresql if conn.dialect.name == POSTGRESQL else sqlite).insert(table)


async def keep_message(conn: AsyncConnection, digest: bytes, content: bytes, now_ms: int) -> None:
    values = {"digest": digest, "content": content, "received_ms": now_ms}
    await conn.execute(upsert(conn, message).values(values).on_conflict_do_nothing())


async def keep_signed(
    conn: AsyncConnection, payment_id: bytes, digest: bytes, statement: bytes, now_ms: int
) -> None:
    values = {
        "payment_id": payment_id,
        "statement_digest": digest,
        "statement": statement,
        "received_ms": now_ms,
    }
    await conn.execute(upsert(conn, signed).values(values).on_conflict_do_nothing())


async def add_payment(conn: AsyncConnection, item: Payment) -> None:
    terms = item.terms
    row = {
        "payment_id": item.payment_id,
        "uetr": terms.leg.uetr,
        "role": terms.leg.role,
        "hop": terms.leg.hop,
        **{name: getattr(terms, name) for name in _PLAIN},
        "amount_minor": terms.amount.amount_minor,
        "currency": terms.amount.currency,
        "market": int(terms.market),
        "settlement_date": terms.settlement_date.isoformat(),
        "message_digest": bytes(terms.message_digest),
        "outgoing": item.outgoing,
        "counterparty": str(item.counterparty),
        "endpoint": item.endpoint,
        "salt": item.salt,
        "commitment": item.commitment,
        "own_address": bytes(item.own_address),
        "counterparty_address": bytes(item.counterparty_address) if item.counterparty_address else None,
        "state": int(item.state),
        "reconciliation": int(item.reconciliation),
        "reason_code": item.reason_code,
    }
    await conn.execute(insert(payment).values(row))


_PLAIN: Final = (
    "end_to_end_id",
    "transaction_id",
    "clearing_reference",
    "instructing_bic",
    "instructed_bic",
    "debtor_bic",
    "creditor_bic",
    "charges_minor",
)
"""Terms that are columns of the same name."""


def payment_of(row: Any) -> Payment:
    """A row of `payment`."""
    address = row.counterparty_address
    terms = Terms(
        leg=LegKey(row.uetr, row.role, row.hop),
        amount=Money(row.amount_minor, row.currency),
        market=Market(row.market),
        settlement_date=date.fromisoformat(row.settlement_date),
        message_digest=Digest(row.message_digest),
        **{name: getattr(row, name) for name in _PLAIN},
    )
    return Payment(
        payment_id=bytes(row.payment_id),
        terms=terms,
        outgoing=row.outgoing,
        counterparty=Did(row.counterparty),
        endpoint=row.endpoint,
        salt=bytes(row.salt),
        commitment=bytes(row.commitment),
        own_address=Address(row.own_address),
        counterparty_address=Address(address) if address is not None else None,
        state=PaymentState(row.state),
        reconciliation=ReconciliationState(row.reconciliation),
        reason_code=row.reason_code,
    )


async def by_leg(conn: AsyncConnection, leg: LegKey) -> Payment | None:
    query = select(payment).where(
        payment.c.uetr == leg.uetr, payment.c.role == leg.role, payment.c.hop == leg.hop
    )
    row = (await conn.execute(query)).first()
    return None if row is None else payment_of(row)


async def by_id(conn: AsyncConnection, payment_id: bytes) -> Payment | None:
    row = (await conn.execute(select(payment).where(payment.c.payment_id == payment_id))).first()
    return None if row is None else payment_of(row)


async def by_uetr(conn: AsyncConnection, uetr: str) -> list[Payment]:
    rows = await conn.execute(select(payment).where(payment.c.uetr == uetr).order_by(payment.c.role))
    return [payment_of(row) for row in rows]


async def by_own_address(conn: AsyncConnection, address: Address) -> Payment | None:
    row = (await conn.execute(select(payment).where(payment.c.own_address == bytes(address)))).first()
    return None if row is None else payment_of(row)


async def page(
    conn: AsyncConnection, *, state: int, reconciliation: int, after: LegKey | None, limit: int
) -> list[Payment]:
    """Payments in order of their legs. 0 selects every state."""
    query = select(payment).order_by(payment.c.uetr, payment.c.role, payment.c.hop).limit(limit)
    if state:
        query = query.where(payment.c.state == state)
    if reconciliation:
        query = query.where(payment.c.reconciliation == reconciliation)
    if after is not None:
        c = payment.c
        query = query.where(
            (c.uetr > after.uetr)
            | ((c.uetr == after.uetr) & (c.role > after.role))
            | ((c.uetr == after.uetr) & (c.role == after.role) & (c.hop > after.hop))
        )
    return [payment_of(row) for row in await conn.execute(query)]


async def all_payments(conn: AsyncConnection) -> list[Payment]:
    return [payment_of(row) for row in await conn.execute(select(payment))]


async def change_state(
    conn: AsyncConnection, item: Payment, to: PaymentState, by: str, now_ms: int, reason_code: str = ""
) -> None:
    """Move the payment and append to its history."""
    await conn.execute(
        update(payment)
        .where(payment.c.payment_id == item.payment_id)
        .values(state=int(to), reason_code=reason_code or item.reason_code)
    )
    await add_change(conn, item.payment_id, to, by, now_ms)


async def add_change(
    conn: AsyncConnection, payment_id: bytes, state: PaymentState, by: str, now_ms: int
) -> None:
    count = select(func.count()).where(payment_change.c.payment_id == payment_id)
    position = int(await conn.scalar(count) or 0)
    row = {
        "payment_id": payment_id,
        "position": position,
        "state": int(state),
        "at_ms": now_ms,
        "said_by": by,
    }
    await conn.execute(insert(payment_change).values(row))


async def changes_of(conn: AsyncConnection, payment_ids: Sequence[bytes]) -> dict[bytes, list[ChangeRow]]:
    found: dict[bytes, list[ChangeRow]] = {bytes(key): [] for key in payment_ids}
    query = (
        select(payment_change)
        .where(payment_change.c.payment_id.in_(list(found)))
        .order_by(payment_change.c.payment_id, payment_change.c.position)
    )
    for row in await conn.execute(query):
        found[bytes(row.payment_id)].append(ChangeRow(PaymentState(row.state), row.at_ms, row.said_by))
    return found


async def bind_counterparty(
    conn: AsyncConnection, payment_id: bytes, address: Address, expiry_block: int
) -> None:
    """The counterparty's one-time address, and the block until which it may accept."""
    values = {"counterparty_address": bytes(address), "expiry_block": expiry_block}
    await conn.execute(update(payment).where(payment.c.payment_id == payment_id).values(values))
