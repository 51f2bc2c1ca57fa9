"""What other banks say: deliveries, status reports, acknowledgements."""

from __future__ import annotations

from services.settlement import storage
from services.settlement.domain import (
    Party,
    Payment,
    PaymentState,
    ReconciliationState,
    one_time_account,
)
from services.settlement.errors import SettlementError, not_found, refused_message
from services.settlement.exchange import delivery, statements
from services.settlement.exchange.delivery import Delivery, DeliveryRefused
from services.settlement.iso20022.refusal import MessageRefused
from services.settlement.payments import outbox
from services.settlement.payments.office import (
    OPEN,
    STATUS_STATES,
    Office,
    Request,
    read_status_report,
    refused_statement,
)
from services.settlement.reconciliation.model import LegKey, same_bic
from silkledger import cbor
from silkledger.evm.lane_types import Intent
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import advisory_lock
from silkledger.statement import SignedStatement, StatementError
from silkledger.values import Did


class Incoming:
    """Bank to bank. Nothing here is for the bank's own staff."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def deliver(self, caller: Caller, request: Request, content: bytes, raw: bytes) -> bytes:
        """Take a payment's details from its instructing bank; returns the signed acknowledgement.

        Checked in this order: (1) a bank calls; (2) the statement is the caller's, over this delivery,
        by a key in force; (3) the delivery's commitments are those of its message; (4) the caller is the
        instructing agent, this bank the instructed one, and the statement binds the debtor's address.
        """
        caller.require_role("bank")  # (1)
        if (first := await self._office.known(caller, request)) is not None:
            return first
        try:
            statement = await self._office.signed_by(raw, content, caller.did)  # (2)
        except StatementError as error:
            raise refused_statement(error, "SIGNER_NOT_CALLER") from None
        found = _delivery(content)  # (3)
        endpoint = await self._check_parties(found, statement)  # (4)
        item = self._payment(found, statement, endpoint)
        async with self._office.once(caller, request) as commit:
            if commit.first is not None:
                return commit.first
            if await storage.by_leg(commit.conn, item.terms.leg) is not None:
                raise SettlementError("LEG_EXISTS", "this leg was delivered before", field="delivery.leg")
            await self._office.begin(commit.conn, item, found.message)
            acknowledgement = self._office.sign(item, content, statements.ACKNOWLEDGEMENT, "application/cbor")
            await self._office.keep(commit.conn, item, raw)
            await self._office.keep(commit.conn, item, acknowledgement)
            return await commit.remember(acknowledgement)

    async def notify(self, caller: Caller, request: Request, leg: LegKey, message: bytes, raw: bytes) -> None:
        """Take the counterparty's word about a payment. Older news than ours changes nothing."""
        caller.require_role("bank")
        if await self._office.known(caller, request) is not None:
            return
        said = read_status_report(message)
        try:
            await self._office.signed_by(raw, message, caller.did)
        except StatementError as error:
            raise refused_statement(error, "SIGNER_NOT_CALLER") from None
        async with self._office.once(caller, request) as commit:
            if commit.first is not None:
                return
            item = await storage.by_leg(commit.conn, leg)
            if item is None or item.counterparty != caller.did:
                raise not_found()
            one = next((s for s in said.statuses if s.uetr == leg.uetr and s.status in STATUS_STATES), None)
            if one is None:
                raise SettlementError("STATUS_NOT_FINAL", "says nothing about this leg", field="message")
            to = STATUS_STATES[one.status]
            if item.state < to:
                party = Party.CREDITOR_BANK if item.outgoing else Party.DEBTOR_BANK
                await self._office.move(commit.conn, item, to, party, caller.did, one.reason_code)
            await self._office.keep(commit.conn, item, raw)
            await commit.remember(b"")

    async def acknowledged(self, row: outbox.OutboxRow, acknowledgement: bytes) -> None:
        """The counterparty has the details: bind its one-time address and open the payment on chain.

        Raises:
            StatementError: the acknowledgement is not the counterparty's signed word about this delivery.
        """
        office = self._office
        async with office.database.read() as conn:
            item = await storage.by_id(conn, row.payment_id)
        if item is None:
            raise LookupError("the outbox only speaks of payments of ours")
        statement = await office.signed_by(acknowledgement, row.content, item.counterparty)
        address = statements.address_bound(statement.subject, item.payment_id)
        if address is None:
            raise StatementError("SUBJECT_MISMATCH", "subject", "binds no address to this payment")
        expiry = office.follower.head.number + office.bank.expiry_blocks
        payload = cbor.encode([item.payment_id, item.commitment, bytes(address), expiry])
        async with office.database.write() as conn:
            await advisory_lock(conn, "settlement")
            now = await storage.by_id(conn, item.payment_id)
            await outbox.sent(conn, row.id, office.now_ms())
            if now is None or now.counterparty_address is not None:
                return  # another replica was first: one payment is opened once
            await storage.bind_counterparty(conn, item.payment_id, address, expiry)
            await office.keep(conn, item, acknowledgement)
            intent = Intent(OPEN, item.payment_id.hex(), payload)
            await office.lanes.enqueue(conn, item.own_address, intent)
        office.lanes.wake()

    async def refused(self, row: outbox.OutboxRow, reason: str, reason_code: str, by: Did) -> None:
        """The counterparty will never take this. Its refusal is unsigned: enough to end what never began."""
        office = self._office
        async with office.database.write() as conn:
            await advisory_lock(conn, "settlement")
            now_ms = office.now_ms()
            await outbox.refused(conn, row.id, now_ms, reason)
            item = await storage.by_id(conn, row.payment_id)
            if row.kind == outbox.DELIVER and item is not None and item.state is PaymentState.VALIDATED:
                await office.move(conn, item, PaymentState.REJECTED, Party.CREDITOR_BANK, by, reason_code)

    async def _check_parties(self, found: Delivery, statement: SignedStatement) -> str:
        """Returns the endpoint of the instructing bank. Raises: SettlementError."""
        if not same_bic(found.terms.instructed_bic, self._office.bank.bic):
            raise SettlementError(
                "NOT_OUR_INSTRUCTION", "the instructed agent is another bank", field="delivery.message"
            )
        peer = await self._office.directory.find_bank(found.terms.instructing_bic, "")
        if peer is None or peer.did != statement.issuer:
            raise SettlementError(
                "SIGNER_NOT_INSTRUCTING_AGENT",
                "the signer is not the bank that the message instructs from",
                field="signed_statement.issuer",
            )
        bound = statements.address_bound(statement.subject, found.payment_id)
        if bound != found.debtor_address:
            raise SettlementError(
                "COMMITMENT_MISMATCH", "does not bind the debtor's address", field="signed_statement.subject"
            )
        return peer.endpoint

    def _payment(self, found: Delivery, statement: SignedStatement, endpoint: str) -> Payment:
        account = one_time_account(self._office.bank.seed, found.payment_id)
        return Payment(
            payment_id=found.payment_id,
            terms=found.terms,
            outgoing=False,
            counterparty=statement.issuer,
            endpoint=endpoint,
            salt=found.salt,
            commitment=found.commitment,
            own_address=account.address,
            counterparty_address=found.debtor_address,
            state=PaymentState.VALIDATED,
            reconciliation=ReconciliationState.UNRECONCILED,
        )


def _delivery(content: bytes) -> Delivery:
    try:
        return delivery.decode(content)
    except DeliveryRefused as error:
        raise SettlementError(error.reason, error.detail, field=error.field) from None
    except MessageRefused as error:
        refused = refused_message(error)
        raise SettlementError(refused.reason, error.detail, field=f"delivery.message{error.field}") from None
