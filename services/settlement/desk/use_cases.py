"""Importing statements, running the rules, listing breaks."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from services.settlement import storage
from services.settlement.desk import storage as desk
from services.settlement.domain import PaymentState, ReconciliationState, our_leg
from services.settlement.errors import SettlementError, refused_message
from services.settlement.iso20022.camt import StatementMessage, parse_statement_message
from services.settlement.iso20022.refusal import MessageRefused
from services.settlement.payments.office import Office, Request
from services.settlement.reconciliation.gates import Gated, ImportedStatement, gate
from services.settlement.reconciliation.model import LegKey, Strength
from services.settlement.reconciliation.run import Result, reconcile
from services.settlement.storage import BreakRow
from silkledger.runtime.auth import Caller

DEFAULT_PAGE = 100


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: its digest, and each statement in it after the gates."""

    digest: bytes
    statements: tuple[Gated, ...]


@dataclass(frozen=True, slots=True)
class Run:
    run_id: str
    result: Result
    breaks: tuple[BreakRow, ...]
    today: date


class ReconciliationDesk:
    """For the bank itself."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def import_statement(
        self, caller: Caller, request: Request, content: bytes, render: Callable[[Imported], bytes]
    ) -> bytes:
        """Keep a camt.05x of this bank's accounts. What does not add up is kept in quarantine, not lost.

        Raises:
            SettlementError: not a statement, or of an account that is not this bank's. Nothing is kept.
        """
        self._office.require_own(caller)
        if (first := await self._office.known(caller, request)) is not None:
            return first
        parsed = self._parse(content)
        for statement in parsed.statements:
            if statement.account not in self._office.bank.accounts:
                why = "the statement is of an account that is not this bank's"
                raise SettlementError("ACCOUNT_NOT_OURS", why, field=f"message{statement.path}/Acct/Id")
        digest = hashlib.sha256(content).digest()
        async with self._office.once(caller, request) as commit:
            if commit.first is not None:
                return commit.first
            await desk.keep_file(commit.conn, digest, content, self._office.now_ms())
            gated = gate(self._imported(await desk.files(commit.conn)))
            ours = tuple(item for item in gated if digest in item.digests)
            return await commit.remember(render(Imported(digest, ours)))

    async def reconcile(self, caller: Caller, request: Request, render: Callable[[Run], bytes]) -> bytes:
        """Run the rules over everything, keep the outcome, close the breaks that are gone."""
        self._office.require_own(caller)
        async with self._office.once(caller, request) as commit:
            if commit.first is not None:
                return commit.first
            payments = [
                item
                for item in await storage.all_payments(commit.conn)
                if item.state not in (PaymentState.REJECTED, PaymentState.EXPIRED)
            ]
            result = reconcile(
                [our_leg(item) for item in payments], self._imported(await desk.files(commit.conn))
            )
            now_ms = self._office.now_ms()
            run_id = str(uuid.uuid4())
            await desk.add_run(commit.conn, run_id, result.manifest, bytes(result.results_digest), now_ms)
            await desk.store_breaks(commit.conn, result.breaks, now_ms)
            states = _states(result)
            for item in payments:
                state = states.get(item.terms.leg, ReconciliationState.UNRECONCILED)
                await desk.set_reconciliation(commit.conn, item.payment_id, state)
            rows = await desk.open_breaks(commit.conn, "", "", 1_000_000)
            return await commit.remember(render(Run(run_id, result, tuple(rows), self.today())))

    async def breaks(
        self, caller: Caller, category: str, page_size: int, after: str
    ) -> tuple[list[BreakRow], str]:
        """One page of open breaks, and the id after which the next begins; empty: there is no more."""
        self._office.require_own(caller)
        limit = page_size or DEFAULT_PAGE
        async with self._office.database.read() as conn:
            found = await desk.open_breaks(conn, category, after, limit + 1)
        return found[:limit], found[limit - 1].break_id if len(found) > limit else ""

    def today(self) -> date:
        """The account's date: what breaks age by."""
        return (
            datetime.fromtimestamp(self._office.now_ms() / 1000, UTC)
            .astimezone(self._office.bank.zone)
            .date()
        )

    def _parse(self, content: bytes) -> StatementMessage:
        try:
            return parse_statement_message(content, self._office.bank.zone)
        except MessageRefused as error:
            raise refused_message(error) from None

    def _imported(self, files: Sequence[tuple[bytes, bytes]]) -> list[ImportedStatement]:
        return [
            ImportedStatement(digest, statement)
            for digest, content in files
            for statement in self._parse(content).statements
        ]


def _states(result: Result) -> dict[LegKey, ReconciliationState]:
    """A break outweighs a match of the same leg; a suggestion decides nothing."""
    found = {
        match.leg: ReconciliationState.RECONCILED
        for match in result.matches
        if match.strength is Strength.CONFIRMED
    }
    return found | {item.leg: ReconciliationState.BREAK for item in result.breaks if item.leg is not None}
