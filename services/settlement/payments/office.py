"""What every change of a payment shares: one commit, the state machine, outbox, lane intents, signatures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement import storage
from services.settlement.domain import (
    Party,
    Payment,
    PaymentState,
    TransitionRefused,
    check_transition,
)
from services.settlement.errors import SettlementError, refused_message
from services.settlement.exchange import report, statements
from services.settlement.exchange.statements import Signatory
from services.settlement.iso20022.pacs import StatusReport, parse_status_report
from services.settlement.iso20022.refusal import MessageRefused
from services.settlement.payments import outbox
from silkledger import cbor
from silkledger.evm.follower import Follower
from silkledger.evm.lane_pool import LanePool
from silkledger.evm.lane_types import Intent
from silkledger.projections.histories import StoredHistories
from silkledger.registry.histories import identity_key
from silkledger.registry.identity import identity_state
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database, advisory_lock
from silkledger.runtime.errors import Forbidden
from silkledger.runtime.idempotency import remember, replay
from silkledger.statement import SignedStatement, StatementError
from silkledger.values import Did, DocumentType

OPEN: Final = "open"
ACCEPT: Final = "accept"
REJECT: Final = "reject"
REPORT: Final = "report"
CONFIRM: Final = "confirm"
EXPIRE: Final = "expire"
"""Kinds of lane intents; one per payment."""

XML: Final = "application/xml"

STATUS_STATES: Final = {
    "ACSP": PaymentState.ACCEPTED,
    "RJCT": PaymentState.REJECTED,
    "ACSC": PaymentState.SETTLEMENT_REPORTED,
}
"""What a bank's own status report moves a payment to. Its ACSC is information, never finality."""


@dataclass(frozen=True, slots=True)
class Counterparty:
    """Another bank, as the identity service has it enrolled."""

    did: Did
    bic: str
    lei: str
    endpoint: str


class Directory(Protocol):
    """Who is enrolled: the identity service, seen from here."""

    async def find_bank(self, bic: str, lei: str) -> Counterparty | None:
        """The enrolled bank of this BIC, else of this LEI. Raises: SettlementError IDENTITY_UNAVAILABLE."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What makes a call repeatable."""

    method: str
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Bank:
    """Who this service works for."""

    signatory: Signatory
    bic: str
    seed: bytes = field(repr=False)
    accounts: frozenset[str]
    institution: Did
    zone: ZoneInfo
    expiry_blocks: int

    @property
    def did(self) -> Did:
        return self.signatory.did


@dataclass(frozen=True, slots=True)
class Commit:
    """A writing transaction of one call. `first`: the response it got before; then nothing may be written."""

    conn: AsyncConnection
    caller: Did
    request: Request
    first: bytes | None

    async def remember(self, response: bytes) -> bytes:
        """Store the first response, in this commit."""
        item = self.request
        await remember(self.conn, self.caller, item.method, item.request_id, item.fingerprint, response)
        return response


class Office:
    """The bank's database, keys and lanes, behind the few acts that all use cases are made of."""

    def __init__(
        self,
        database: Database,
        bank: Bank,
        directory: Directory,
        lanes: LanePool,
        follower: Follower,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.bank = bank
        self.directory = directory
        self.lanes = lanes
        self.follower = follower
        self._clock = clock

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    def require_own(self, caller: Caller) -> None:
        """Raises: Forbidden, unless the bank itself calls."""
        if caller.did != self.bank.did:
            raise Forbidden("this service is for its own bank")

    async def known(self, caller: Caller, request: Request) -> bytes | None:
        """The first response to this request id. Raises: RequestIdConflict."""
        async with self.database.read() as conn:
            return await replay(conn, caller.did, request.method, request.request_id, request.fingerprint)

    @asynccontextmanager
    async def once(self, caller: Caller, request: Request) -> AsyncIterator[Commit]:
        """One writing transaction. Writers take turns, also those of other processes."""
        async with self.database.write() as conn:
            await advisory_lock(conn, "settlement")
            first = await replay(conn, caller.did, request.method, request.request_id, request.fingerprint)
            yield Commit(conn, caller.did, request, first)
        self.lanes.wake()

    async def begin(self, conn: AsyncConnection, item: Payment, content: bytes) -> None:
        """A new payment with its message: received and validated are both told."""
        now_ms = self.now_ms()
        await storage.keep_message(conn, bytes(item.terms.message_digest), content, now_ms)
        await storage.add_payment(conn, item)
        sender = self.bank.did if item.outgoing else item.counterparty
        await storage.add_change(conn, item.payment_id, PaymentState.RECEIVED, str(sender), now_ms)
        await storage.add_change(conn, item.payment_id, PaymentState.VALIDATED, str(self.bank.did), now_ms)

    async def move(
        self,
        conn: AsyncConnection,
        item: Payment,
        to: PaymentState,
        by: Party,
        who: Did | str,
        reason: str = "",
    ) -> None:
        """One step of the state machine. Raises: SettlementError PAYMENT_STATE."""
        try:
            check_transition(item.state, to, by)
        except TransitionRefused as error:
            raise SettlementError("PAYMENT_STATE", str(error), field="leg") from None
        await storage.change_state(conn, item, to, str(who), self.now_ms(), reason)

    async def keep(self, conn: AsyncConnection, item: Payment, statement: bytes) -> None:
        """Keep a signed statement about the payment in the vault."""
        digest = hashlib.sha256(statement).digest()
        await storage.keep_signed(conn, item.payment_id, digest, statement, self.now_ms())

    async def post_status(self, conn: AsyncConnection, item: Payment, status: str, reason: str) -> None:
        """Leave a signed pacs.002 about the payment for the counterparty."""
        now_ms = self.now_ms()
        content = report.status_report(
            message_id=f"{item.payment_id.hex()[:24]}-{status}",
            at_s=now_ms // 1000,
            bic=self.bank.bic,
            uetr=item.terms.leg.uetr,
            status=status,
            reason_code=reason,
        )
        raw = self.sign(item, content, statements.ACKNOWLEDGEMENT, XML)
        await outbox.post(conn, item.payment_id, f"notify/{status}", content, raw, now_ms)
        await self.keep(conn, item, raw)

    def sign(self, item: Payment, content: bytes, document_type: DocumentType, content_type: str) -> bytes:
        """This bank's statement over the content, to the counterparty, naming its one-time address."""
        return self.bank.signatory.sign(
            content,
            statements.subject_of(item.payment_id, item.own_address),
            document_type,
            content_type,
            self.now_ms() // 1000,
            item.counterparty,
        )

    async def act(self, conn: AsyncConnection, item: Payment, kind: str, data: bytes) -> None:
        """Leave an act on chain, by the payment's one-time address."""
        intent = Intent(kind, item.payment_id.hex(), cbor.encode([item.payment_id, data]))
        await self.lanes.enqueue(conn, item.own_address, intent)

    async def signed_by(self, raw: bytes, content: bytes, issuer: Did) -> SignedStatement:
        """The statement is over exactly this content, by this issuer, with a key in force at the final block.

        Raises:
            StatementError.
        """
        statement = statements.read_statement(raw, content)
        if statement.issuer != issuer:
            raise StatementError("ISSUER_OTHER", "issuer", f"must be signed by {issuer}")
        async with self.database.read() as conn:
            records = await StoredHistories(conn).records("IdentityRegistry", identity_key(issuer.address))
        final = self.follower.final
        at_time = final.time or int(self._clock())
        statements.verify_statement(statement, identity_state(issuer, records, at_time, final.number))
        return statement


def refused_statement(error: StatementError, who: str = "") -> SettlementError:
    """A refused statement as a call's error. `who`: the reason when another than the due one signed."""
    reason = "STATEMENT_REFUSED"
    if error.reason == "ISSUER_OTHER" and who:
        reason = who
    elif error.reason == "KEY_UNKNOWN":
        reason = "KEY_UNKNOWN"
    return SettlementError(reason, f"{error.reason}: {error.detail}", field=f"signed_statement.{error.field}")


def read_status_report(message: bytes) -> StatusReport:
    """Raises: SettlementError."""
    try:
        return parse_status_report(message)
    except MessageRefused as error:
        raise refused_message(error) from None
