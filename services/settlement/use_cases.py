"""What the settlement service does for its own bank: decide, then commit once. Knows neither gRPC nor SQL.

Every change, in this order: (1) who may call; (2) a known request id is answered with its first response;
(3) everything is checked; (4) one commit holds idempotency row, payment, history, outbox and lane intent.
OK is sent after (4). What other banks may call is `services.settlement.payments.incoming`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement import storage
from services.settlement.domain import (
    SALT_SIZE,
    Party,
    Payment,
    PaymentState,
    ReconciliationState,
    Terms,
    one_time_account,
    payment_id,
    salted,
    terms_of,
)
from services.settlement.errors import SettlementError, not_found, refused_message
from services.settlement.exchange import delivery, statements
from services.settlement.exchange.delivery import Delivery
from services.settlement.iso20022.pacs import CreditTransferMessage, parse_credit_transfer
from services.settlement.iso20022.refusal import MessageRefused
from services.settlement.payments import outbox
from services.settlement.payments.finality import Settled, read_finality
from services.settlement.payments.office import (
    ACCEPT,
    CONFIRM,
    REJECT,
    REPORT,
    STATUS_STATES,
    Commit,
    Counterparty,
    Office,
    Request,
    refused_statement,
)
from services.settlement.payments.reading import PaymentView, views
from services.settlement.reconciliation.model import LegKey, same_bic
from silkledger.runtime.auth import Caller
from silkledger.statement import StatementError
from silkledger.values import Digest

DEFAULT_PAGE: Final = 100

Render = Callable[[Sequence[PaymentView]], bytes]
"""Makes the response of a call, which is kept for ever beside its effect."""


class SettlementUseCases:
    """For the bank itself: every method refuses other callers."""

    def __init__(self, office: Office) -> None:
        self.office = office

    async def submit(self, caller: Caller, request: Request, message: bytes, render: Render) -> bytes:
        """Take a message of which this bank is the instructing agent. Raises: SettlementError."""
        self.office.require_own(caller)  # (1)
        if (first := await self.office.known(caller, request)) is not None:  # (2)
            return first
        parsed = _credit_transfer(message)  # (3)
        peer = await self._counterparty(parsed)
        digest = Digest(hashlib.sha256(message).digest())
        payments = [self._outgoing(terms_of(parsed, t, digest), peer) for t in parsed.transfers]
        async with self.office.once(caller, request) as commit:  # (4)
            if commit.first is not None:
                return commit.first
            for item, transfer in zip(payments, parsed.transfers, strict=True):
                if await storage.by_leg(commit.conn, item.terms.leg) is not None:
                    where = f"message{transfer.path}/PmtId/UETR"
                    raise SettlementError("LEG_EXISTS", "this leg was submitted before", field=where)
                await self.office.begin(commit.conn, item, message)
                await self._post_delivery(commit.conn, item, message)
            return await self._answer(commit, payments, render)

    async def decide(
        self,
        caller: Caller,
        request: Request,
        leg: LegKey,
        to: PaymentState,
        render: Render,
        reason_code: str = "",
    ) -> bytes:
        """Accept, reject or report settled, as this bank. Raises: SettlementError."""
        self.office.require_own(caller)
        status = {state: code for code, state in STATUS_STATES.items()}[to]
        async with self.office.once(caller, request) as commit:
            if commit.first is not None:
                return commit.first
            item = await storage.by_leg(commit.conn, leg)
            if item is None:
                raise not_found()
            party = Party.DEBTOR_BANK if item.outgoing else Party.CREDITOR_BANK
            await self.office.move(commit.conn, item, to, party, self.office.bank.did, reason_code)
            await self.office.post_status(commit.conn, item, status, reason_code)
            kind, data = _act_of(item, to, reason_code, str(self.office.bank.did))
            await self.office.act(commit.conn, item, kind, data)
            return await self._answer(commit, [item], render)

    async def confirm(
        self, caller: Caller, request: Request, message: bytes, raw: bytes, render: Render
    ) -> bytes:
        """Take the settlement institution's word: the only thing that makes a payment SETTLED.

        All known payments that the message names, or none. Raises: SettlementError.
        """
        self.office.require_own(caller)
        if (first := await self.office.known(caller, request)) is not None:
            return first
        bank = self.office.bank
        said = read_finality(message, bank.accounts, bank.zone)
        institution = bank.institution
        try:
            await self.office.signed_by(raw, message, institution)
        except StatementError as error:
            raise refused_statement(error, "SIGNER_NOT_SETTLEMENT_INSTITUTION") from None
        digest = hashlib.sha256(message).digest()
        async with self.office.once(caller, request) as commit:
            if commit.first is not None:
                return commit.first
            payments = await _named(commit.conn, said)
            if not payments:
                raise SettlementError("PAYMENT_NOT_FOUND", "names no payment of this bank", field="message")
            await storage.keep_message(commit.conn, digest, message, self.office.now_ms())
            for item in payments:
                if item.state is PaymentState.SETTLED:
                    continue
                await self.office.move(
                    commit.conn, item, PaymentState.SETTLED, Party.INSTITUTION, institution
                )
                await self.office.keep(commit.conn, item, raw)
                await self.office.act(commit.conn, item, CONFIRM, salted("confirmation", item.salt, digest))
            return await self._answer(commit, payments, render)

    async def payment(self, caller: Caller, leg: LegKey) -> PaymentView:
        """Raises: SettlementError PAYMENT_NOT_FOUND."""
        self.office.require_own(caller)
        async with self.office.database.read() as conn:
            item = await storage.by_leg(conn, leg)
            if item is None:
                raise not_found()
            return (await views(conn, [item]))[0]

    async def payments(
        self, caller: Caller, state: int, reconciliation: int, page_size: int, after: LegKey | None
    ) -> tuple[list[PaymentView], LegKey | None]:
        """One page in order of legs, and the leg after which the next begins; None: there is no more."""
        self.office.require_own(caller)
        limit = page_size or DEFAULT_PAGE
        async with self.office.database.read() as conn:
            found = await storage.page(
                conn, state=state, reconciliation=reconciliation, after=after, limit=limit + 1
            )
            shown = await views(conn, found[:limit])
        return shown, found[limit - 1].terms.leg if len(found) > limit else None

    async def _answer(self, commit: Commit, payments: Sequence[Payment], render: Render) -> bytes:
        fresh = [await storage.by_id(commit.conn, item.payment_id) for item in payments]
        return await commit.remember(render(await views(commit.conn, [item for item in fresh if item])))

    async def _counterparty(self, parsed: CreditTransferMessage) -> Counterparty:
        for transfer in parsed.transfers:
            if not same_bic(transfer.instructing.bic, self.office.bank.bic):
                where = f"message{transfer.path}/InstgAgt/FinInstnId/BICFI"
                raise SettlementError("NOT_OUR_INSTRUCTION", "another bank instructs", field=where)
            if transfer.instructed != parsed.transfers[0].instructed:
                why = "one message goes to one bank: it is delivered whole"
                raise SettlementError("MIXED_COUNTERPARTIES", why, field=f"message{transfer.path}/InstdAgt")
        first = parsed.transfers[0]
        where = f"message{first.path}/InstdAgt/FinInstnId"
        peer = await self.office.directory.find_bank(first.instructed.bic, first.instructed.lei)
        if peer is None or peer.did == self.office.bank.did:
            why = "no other enrolled bank has this BIC or LEI"
            raise SettlementError("COUNTERPARTY_UNKNOWN", why, field=where)
        if not peer.endpoint:
            raise SettlementError("COUNTERPARTY_NOT_REACHABLE", "it enrolled no endpoint", field=where)
        return peer

    def _outgoing(self, terms: Terms, peer: Counterparty) -> Payment:
        salt = secrets.token_bytes(SALT_SIZE)
        key = payment_id(terms.leg, salt)
        return Payment(
            payment_id=key,
            terms=terms,
            outgoing=True,
            counterparty=peer.did,
            endpoint=peer.endpoint,
            salt=salt,
            commitment=terms.commitment(salt),
            own_address=one_time_account(self.office.bank.seed, key).address,
            counterparty_address=None,
            state=PaymentState.VALIDATED,
            reconciliation=ReconciliationState.UNRECONCILED,
        )

    async def _post_delivery(self, conn: AsyncConnection, item: Payment, message: bytes) -> None:
        content = delivery.encode(
            Delivery(message, item.terms, item.salt, item.own_address, item.payment_id, item.commitment)
        )
        raw = self.office.sign(item, content, statements.PAYMENT_ORDER, "application/cbor")
        await outbox.post(conn, item.payment_id, outbox.DELIVER, content, raw, self.office.now_ms())
        await self.office.keep(conn, item, raw)


def _act_of(item: Payment, to: PaymentState, reason_code: str, did: str) -> tuple[str, bytes]:
    """What goes on chain for a decision: never the reason or the name, always salted."""
    if to is PaymentState.ACCEPTED:
        return ACCEPT, item.commitment
    if to is PaymentState.REJECTED:
        return REJECT, salted("reject", item.salt, reason_code.encode())
    return REPORT, salted("report", item.salt, did.encode())


def _credit_transfer(message: bytes) -> CreditTransferMessage:
    try:
        return parse_credit_transfer(message)
    except MessageRefused as error:
        raise refused_message(error) from None


async def _named(conn: AsyncConnection, said: Sequence[Settled]) -> list[Payment]:
    """The payments of ours that the message says are settled, each once. Raises: SettlementError."""
    found: dict[bytes, Payment] = {}
    for one in said:
        for item in one.among(await storage.by_uetr(conn, one.uetr)):
            found[item.payment_id] = item
    return list(found.values())
