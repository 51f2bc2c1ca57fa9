"""What became of relayed signed calls: the outcome events of SignedCalls, one row each.

An id has at most one outcome that counts (executed or refused). The events that change nothing (duplicate,
conflict, not consumed) are kept too: a caller whose call was refused for its deadline must learn so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.evm.calls import CONTRACT, NotConsumed
from silkledger.evm.contracts import ContractEvent, error_text
from silkledger.projections.rows import Row, RowsProjector
from silkledger.values import Address, BlockRef, TxHash

METADATA: Final = MetaData()

CALL_EVENT: Final = Table(
    "call_event",
    METADATA,
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", BigInteger, primary_key=True, autoincrement=False, comment="within the block"),
    Column("actor", LargeBinary(20), nullable=False),
    Column("request_id", LargeBinary(32), nullable=False),
    Column("event", Text, nullable=False, comment="name of the event"),
    Column("digest", LargeBinary(32), comment="EIP-712 digest of the call, where the event has it"),
    Column("reason", LargeBinary, comment="return data of a refused call"),
    Column("why", SmallInteger, comment="why nothing was consumed"),
    Column("tx_hash", LargeBinary(32), nullable=False),
    Index("call_event_by_id", "actor", "request_id"),
)

TABLES: Final = (CALL_EVENT,)


class CallEvent(StrEnum):
    """The outcome events of ISignedCalls.sol."""

    EXECUTED = "Executed"
    REFUSED = "Refused"
    DUPLICATE = "Duplicate"
    CONFLICT = "Conflict"
    NOT_CONSUMED = "NotConsumed"


_KNOWN: Final = frozenset(event.value for event in CallEvent)
_CONSUMING: Final = (CallEvent.EXECUTED.value, CallEvent.REFUSED.value)


@dataclass(frozen=True, slots=True)
class CallResult:
    """One outcome event."""

    event: CallEvent
    actor: Address
    request_id: bytes
    digest: bytes | None
    reason: bytes
    """Return data of the target, at most 256 bytes; empty unless refused."""
    why: NotConsumed | None
    block_number: int
    tx_hash: TxHash

    @property
    def reason_text(self) -> str:
        """The refusal in words; empty unless refused or not consumed."""
        if self.event is CallEvent.REFUSED:
            return error_text(self.reason)
        return "" if self.why is None else self.why.name.lower().replace("_", " ")


class CallsProjector(RowsProjector):
    """Keeps every outcome event of SignedCalls."""

    @property
    def tables(self) -> tuple[Table, ...]:
        return TABLES

    def rows(self, block: BlockRef, events: Sequence[ContractEvent]) -> Mapping[Table, list[Row]]:
        ours = [event for event in events if event.contract == CONTRACT and event.name in _KNOWN]
        return {CALL_EVENT: [_row(event) for event in ours]}


async def call_outcome(conn: AsyncConnection, actor: Address, request_id: bytes) -> CallResult | None:
    """What used the id up: executed or refused; None: it is free, as far as the follower has read."""
    mine = (CALL_EVENT.c.actor == bytes(actor)) & (CALL_EVENT.c.request_id == request_id)
    query = select(CALL_EVENT).where(mine, CALL_EVENT.c.event.in_(_CONSUMING)).limit(1)
    row = (await conn.execute(query)).first()
    return None if row is None else _result(row)


async def call_events(conn: AsyncConnection, actor: Address, request_id: bytes) -> list[CallResult]:
    """All that ever happened to the id, in order, repeats and conflicts included."""
    query = (
        select(CALL_EVENT)
        .where(CALL_EVENT.c.actor == bytes(actor), CALL_EVENT.c.request_id == request_id)
        .order_by(CALL_EVENT.c.block_number, CALL_EVENT.c.log_index)
    )
    return [_result(row) for row in await conn.execute(query)]


def _row(event: ContractEvent) -> Row:
    args = event.args
    return {
        "block_number": event.block_number,
        "log_index": event.log_index,
        "actor": bytes(args["actor"]),
        "request_id": args["requestId"],
        "event": event.name,
        "digest": args.get("digest"),
        "reason": args.get("reason"),
        "why": args.get("why"),
        "tx_hash": bytes(event.tx_hash),
    }


def _result(row: Any) -> CallResult:
    return CallResult(
        event=CallEvent(row.event),
        actor=Address(row.actor),
        request_id=bytes(row.request_id),
        digest=None if row.digest is None else bytes(row.digest),
        reason=bytes(row.reason or b""),
        why=None if row.why is None else NotConsumed(row.why),
        block_number=row.block_number,
        tx_hash=TxHash(row.tx_hash),
    )
