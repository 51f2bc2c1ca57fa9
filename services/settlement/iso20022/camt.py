"""camt.052, camt.053, camt.054: account reports, statements and notifications."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from lxml import etree

from services.settlement.iso20022 import fields
from services.settlement.iso20022.fields import Agent
from services.settlement.iso20022.refusal import MessageRefused, Reason
from services.settlement.iso20022.schemas import definition_of, validate
from services.settlement.iso20022.xml import parse_xml, path_of
from silkledger.values import Money

_BODY: Final = {"camt.052": "Rpt", "camt.053": "Stmt", "camt.054": "Ntfctn"}


@dataclass(frozen=True, slots=True)
class Balance:
    code: str
    """OPBD, PRCD, CLBD, …"""
    signed_minor: int
    """Minor units; credit is positive."""
    currency: str
    on: date


@dataclass(frozen=True, slots=True)
class EntryDetail:
    """One TxDtls; of an entry without details, the entry itself."""

    uetr: str
    end_to_end_id: str
    transaction_id: str
    instruction_id: str
    clearing_reference: str
    amount: Money
    credit: bool
    charges_minor: int
    """Sum of Chrgs/Rcrd amounts in the detail's currency, minor units."""
    instructing: Agent
    debtor_agent: Agent
    creditor_agent: Agent
    returned: bool
    """RtrInf is there: money of an earlier payment comes back."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One Ntry. `details` is never empty."""

    reference: str
    """NtryRef, else AcctSvcrRef, else its position in the statement."""
    amount: Money
    credit: bool
    """CdtDbtInd: the direction of this movement, also when it is a reversal."""
    reversal: bool
    booked: bool
    """Sts BOOK. Pending and informational entries do not move the balance."""
    booking_date: date | None
    value_date: date | None
    details: tuple[EntryDetail, ...]
    path: str

    @property
    def signed_minor(self) -> int:
        return self.amount.amount_minor if self.credit else -self.amount.amount_minor


@dataclass(frozen=True, slots=True)
class Statement:
    statement_id: str
    sequence: int | None
    """ElctrncSeqNb, optional in the schema."""
    page: int | None
    last_page: bool
    account: str
    """IBAN, or the other identification."""
    currency: str
    balances: tuple[Balance, ...]
    entries: tuple[Entry, ...]
    path: str

    def balance(self, *codes: str) -> Balance | None:
        """The first balance with one of the codes, in the order of the codes."""
        return next((b for code in codes for b in self.balances if b.code == code), None)


@dataclass(frozen=True, slots=True)
class StatementMessage:
    definition: str
    message_id: str
    created_at: datetime
    statements: tuple[Statement, ...]


def parse_statement_message(data: bytes, zone: ZoneInfo) -> StatementMessage:
    """A camt.052/053/054. `zone` is the account's: it dates what carries no offset.

    Whether balances add up is not checked here: a statement that does not is kept and quarantined.

    Raises:
        MessageRefused: any reason of docs/formats/iso20022.md.
    """
    root = parse_xml(data)
    definition = definition_of(root)
    kind = definition[:8]
    if kind not in _BODY:
        raise MessageRefused(Reason.UNSUPPORTED, "/Document", f"{definition} where a camt.05x is due")
    fields.check_uetrs(root)
    validate(root, definition)
    header = fields.require(root[0], "GrpHdr")
    return StatementMessage(
        definition=definition,
        message_id=fields.text(header, "MsgId"),
        created_at=fields.moment(fields.require(header, "CreDtTm"), zone),
        statements=tuple(_statement(e, zone) for e in fields.children(root[0], _BODY[kind])),
    )


def _statement(element: etree._Element, zone: ZoneInfo) -> Statement:
    account = fields.require(element, "Acct", "Id")
    sequence = fields.text(element, "ElctrncSeqNb")
    pages = fields.child(element, "StmtPgntn")
    return Statement(
        statement_id=fields.text(element, "Id"),
        sequence=int(sequence) if sequence.isdecimal() else None,
        page=int(fields.text(pages, "PgNb")) if pages is not None else None,
        last_page=pages is None or fields.text(pages, "LastPgInd") in ("true", "1"),
        account=fields.text(account, "IBAN") or fields.text(account, "Othr", "Id"),
        currency=fields.text(element, "Acct", "Ccy"),
        balances=tuple(_balance(b, zone) for b in fields.children(element, "Bal")),
        entries=tuple(_entry(e, zone, n) for n, e in enumerate(fields.children(element, "Ntry"), 1)),
        path=path_of(element),
    )


def _balance(element: etree._Element, zone: ZoneInfo) -> Balance:
    amount = fields.money(fields.require(element, "Amt"))
    credit = fields.text(element, "CdtDbtInd") == "CRDT"
    on = _date(fields.require(element, "Dt"), zone)
    if on is None:
        raise MessageRefused(Reason.MISSING, path_of(element) + "/Dt", "is missing")
    return Balance(
        code=fields.text(element, "Tp", "CdOrPrtry", "Cd"),
        signed_minor=amount.amount_minor if credit else -amount.amount_minor,
        currency=amount.currency,
        on=on,
    )


def _entry(element: etree._Element, zone: ZoneInfo, position: int) -> Entry:
    amount = fields.money(fields.require(element, "Amt"))
    credit = fields.text(element, "CdtDbtInd") == "CRDT"
    status = fields.require(element, "Sts")
    found = [d for group in fields.children(element, "NtryDtls") for d in fields.children(group, "TxDtls")]
    details = tuple(_detail(d, amount, credit, alone=len(found) == 1) for d in found)
    return Entry(
        reference=fields.text(element, "NtryRef") or fields.text(element, "AcctSvcrRef") or f"#{position}",
        amount=amount,
        credit=credit,
        reversal=fields.text(element, "RvslInd") in ("true", "1"),
        booked=(fields.text(status, "Cd") or (status.text or "").strip()) == "BOOK",
        booking_date=_date(fields.child(element, "BookgDt"), zone),
        value_date=_date(fields.child(element, "ValDt"), zone),
        details=details or (_detail(element, amount, credit, alone=True),),
        path=path_of(element),
    )


def _detail(element: etree._Element, amount: Money, credit: bool, *, alone: bool) -> EntryDetail:
    """`alone`: the only detail of its entry, which may leave out its own amount."""
    references = fields.child(element, "Refs")
    own = fields.child(element, "Amt")
    if own is None:
        own = fields.child(element, "AmtDtls", "TxAmt", "Amt")
    if own is None and not alone:
        raise MessageRefused(Reason.MISSING, path_of(element) + "/Amt", "is missing in a batch entry")
    indicator = fields.text(element, "CdtDbtInd")
    agents = fields.child(element, "RltdAgts")
    value = amount if own is None else fields.money(own)
    return EntryDetail(
        uetr=fields.text(references, "UETR"),
        end_to_end_id=fields.text(references, "EndToEndId"),
        transaction_id=fields.text(references, "TxId"),
        instruction_id=fields.text(references, "InstrId"),
        clearing_reference=fields.text(references, "ClrSysRef"),
        amount=value,
        credit=indicator == "CRDT" if indicator else credit,
        charges_minor=_charges(element, value.currency),
        instructing=fields.agent(fields.child(agents, "InstgAgt")),
        debtor_agent=fields.agent(fields.child(agents, "DbtrAgt")),
        creditor_agent=fields.agent(fields.child(agents, "CdtrAgt")),
        returned=fields.child(element, "RtrInf") is not None,
    )


def _charges(element: etree._Element, currency: str) -> int:
    charges = fields.child(element, "Chrgs")
    records = [] if charges is None else fields.children(charges, "Rcrd")
    amounts = [fields.money(fields.require(record, "Amt")) for record in records]
    return sum(amount.amount_minor for amount in amounts if amount.currency == currency)


def _date(element: etree._Element | None, zone: ZoneInfo) -> date | None:
    """The local date of a DateAndDateTimeChoice, in the account's zone."""
    if element is None:
        return None
    plain = fields.child(element, "Dt")
    if plain is not None:
        return fields.day(plain)
    return fields.moment(fields.require(element, "DtTm"), zone).astimezone(zone).date()
