"""The settlement institution's word: a pacs.002 that says ACSC, or a camt.054 that shows the booking. Pure.

This is not a verification of who says so: the signature is checked apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from services.settlement.domain import Payment
from services.settlement.errors import SettlementError, refused_message
from services.settlement.iso20022.camt import Entry, parse_statement_message
from services.settlement.iso20022.pacs import parse_status_report
from services.settlement.iso20022.refusal import MessageRefused, Reason
from services.settlement.iso20022.schemas import definition_of
from services.settlement.iso20022.xml import parse_xml
from silkledger.values import Money

FINAL_STATUS: Final = "ACSC"
"""The institution's status that settles."""


@dataclass(frozen=True, slots=True)
class Settled:
    """One payment that the institution says is settled."""

    uetr: str
    transaction_id: str
    """Empty: not named."""
    amount: Money | None
    """As booked; None: a pacs.002 names none."""
    credit: bool
    path: str

    def among(self, items: Sequence[Payment]) -> list[Payment]:
        """Which of these payments of the same UETR it settles.

        A booking names no leg role: direction and amount must single out one leg.

        Raises:
            SettlementError: COMMITMENT_MISMATCH, a booking that fits no leg of its direction, or several.
        """
        named = [item for item in items if self.transaction_id in ("", item.terms.transaction_id)]
        if self.amount is None:
            return named
        same_way = [item for item in named if item.outgoing != self.credit]
        fitting = [item for item in same_way if item.terms.amount == self.amount]
        if same_way and len(fitting) != 1:
            why = f"the booking of {self.amount} fits {len(fitting)} of this bank's payments of its UETR"
            raise SettlementError("COMMITMENT_MISMATCH", why, field=f"message{self.path}/Amt")
        return fitting


def read_finality(message: bytes, accounts: frozenset[str], zone: ZoneInfo) -> list[Settled]:
    """What the message says is settled. Of a camt.054 only booked, unreversed movements on `accounts` count.

    Raises:
        SettlementError: refused as a message, STATUS_NOT_FINAL, or ACCOUNT_NOT_OURS.
    """
    try:
        kind = definition_of(parse_xml(message))[:8]
        if kind == "pacs.002":
            return _status_report(message)
        if kind == "camt.054":
            return _notification(message, accounts, zone)
        raise MessageRefused(Reason.UNSUPPORTED, "/Document", f"{kind} where pacs.002 or camt.054 is due")
    except MessageRefused as error:
        raise refused_message(error) from None


def _status_report(message: bytes) -> list[Settled]:
    found = []
    for one in parse_status_report(message).statuses:
        if one.status != FINAL_STATUS:
            where = f"message{one.path}/TxSts"
            raise SettlementError("STATUS_NOT_FINAL", f"{one.status} settles nothing", field=where)
        found.append(Settled(one.uetr, one.transaction_id, None, False, one.path))
    return found


def _notification(message: bytes, accounts: frozenset[str], zone: ZoneInfo) -> list[Settled]:
    notifications = parse_statement_message(message, zone).statements
    ours = [one for one in notifications if one.account in accounts]
    if not ours:
        where = f"message{notifications[0].path}/Acct/Id"
        raise SettlementError("ACCOUNT_NOT_OURS", "notifies of no account of this bank", field=where)
    entries = [entry for one in ours for entry in one.entries]
    found = [item for entry in entries if entry.booked for item in _booked(entry)]
    if not found:
        where = f"message{ours[0].path}/Ntry"
        raise SettlementError("STATUS_NOT_FINAL", "shows no booked payment with a UETR", field=where)
    return found


def _booked(entry: Entry) -> list[Settled]:
    return [
        Settled(detail.uetr, detail.transaction_id, detail.amount, detail.credit, entry.path)
        for detail in entry.details
        if detail.uetr and not (entry.reversal or detail.returned)
    ]
