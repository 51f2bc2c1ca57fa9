"""pacs.008 and pacs.009 (credit transfers), pacs.002 (status reports), pacs.004 (returns)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from lxml import etree

from services.settlement.iso20022 import fields
from services.settlement.iso20022.fields import Agent, Charge
from services.settlement.iso20022.refusal import MessageRefused, Reason
from services.settlement.iso20022.schemas import definition_of, validate
from services.settlement.iso20022.xml import local_name, parse_xml, path_of
from silkledger.values import Money


@dataclass(frozen=True, slots=True)
class CreditTransfer:
    """One CdtTrfTxInf."""

    uetr: str
    instruction_id: str
    end_to_end_id: str
    transaction_id: str
    clearing_reference: str
    amount: Money
    settlement_date: date
    """IntrBkSttlmDt, of the transaction or else of the group header."""
    instructing: Agent
    instructed: Agent
    debtor_agent: Agent
    creditor_agent: Agent
    charges: tuple[Charge, ...]
    cover: bool
    """pacs.009 with UndrlygCstmrCdtTrf: covers the pacs.008 of the same UETR."""
    hop: int
    """How many agents instructed before (PrvsInstgAgt1…3)."""
    path: str


@dataclass(frozen=True, slots=True)
class CreditTransferMessage:
    definition: str
    message_id: str
    created_at: datetime
    """UTC."""
    clearing_system: str
    """SttlmInf/ClrSys/Cd: CIP for CIPS, HKL for RMB CHATS; empty when none is named."""
    transfers: tuple[CreditTransfer, ...]

    @property
    def customer(self) -> bool:
        return self.definition.startswith("pacs.008")


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """One TxInfAndSts of a pacs.002."""

    uetr: str
    end_to_end_id: str
    transaction_id: str
    clearing_reference: str
    status: str
    """ISO external payment transaction status code: ACSC, ACSP, RJCT, …"""
    reason_code: str
    path: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    definition: str
    message_id: str
    created_at: datetime
    instructing: Agent
    statuses: tuple[TransactionStatus, ...]


@dataclass(frozen=True, slots=True)
class ReturnedTransfer:
    """One TxInf of a pacs.004: the payment of `uetr` comes back."""

    uetr: str
    return_id: str
    amount: Money
    reason_code: str
    path: str


@dataclass(frozen=True, slots=True)
class PaymentReturn:
    definition: str
    message_id: str
    created_at: datetime
    returns: tuple[ReturnedTransfer, ...]


def parse_credit_transfer(data: bytes) -> CreditTransferMessage:
    """A pacs.008 or pacs.009 with at least one transaction, each a different leg.

    Raises:
        MessageRefused: any reason of docs/formats/iso20022.md.
    """
    root, definition = _open(data, "pacs.008", "pacs.009")
    body = root[0]
    header = fields.require(body, "GrpHdr")
    created = fields.moment(fields.require(header, "CreDtTm"))
    elements = fields.children(body, "CdtTrfTxInf")
    transfers = tuple(_transfer(element, header) for element in elements)
    _check_totals(header, transfers)
    _check_unique(transfers)
    return CreditTransferMessage(
        definition=definition,
        message_id=fields.text(header, "MsgId"),
        created_at=created,
        clearing_system=fields.text(header, "SttlmInf", "ClrSys", "Cd"),
        transfers=transfers,
    )


def parse_status_report(data: bytes) -> StatusReport:
    """A pacs.002. Every TxInfAndSts must name OrgnlUETR and TxSts.

    Raises:
        MessageRefused: any reason of docs/formats/iso20022.md.
    """
    root, definition = _open(data, "pacs.002")
    body = root[0]
    header = fields.require(body, "GrpHdr")
    created = fields.moment(fields.require(header, "CreDtTm"))
    statuses = tuple(_status(element) for element in fields.children(body, "TxInfAndSts"))
    if not statuses:
        raise MessageRefused(
            Reason.MISSING, path_of(body) + "/TxInfAndSts", "a status per transaction is needed"
        )
    return StatusReport(
        definition=definition,
        message_id=fields.text(header, "MsgId"),
        created_at=created,
        instructing=fields.agent(fields.child(header, "InstgAgt")),
        statuses=statuses,
    )


def parse_payment_return(data: bytes) -> PaymentReturn:
    """A pacs.004. Every TxInf must name OrgnlUETR.

    Raises:
        MessageRefused: any reason of docs/formats/iso20022.md.
    """
    root, definition = _open(data, "pacs.004")
    body = root[0]
    header = fields.require(body, "GrpHdr")
    created = fields.moment(fields.require(header, "CreDtTm"))
    returns = tuple(
        ReturnedTransfer(
            uetr=fields.text(fields.require(element, "OrgnlUETR")),
            return_id=fields.text(element, "RtrId"),
            amount=fields.money(fields.require(element, "RtrdIntrBkSttlmAmt")),
            reason_code=fields.text(element, "RtrRsnInf", "Rsn", "Cd"),
            path=path_of(element),
        )
        for element in fields.children(body, "TxInf")
    )
    return PaymentReturn(definition, fields.text(header, "MsgId"), created, returns)


def _open(data: bytes, *kinds: str) -> tuple[etree._Element, str]:
    root = parse_xml(data)
    definition = definition_of(root)
    if definition[:8] not in kinds:
        raise MessageRefused(
            Reason.UNSUPPORTED, "/Document", f"{definition} where {' or '.join(kinds)} is due"
        )
    fields.check_uetrs(root)
    validate(root, definition)
    return root, definition


def _transfer(element: etree._Element, header: etree._Element) -> CreditTransfer:
    identification = fields.require(element, "PmtId")
    date_element = fields.child(element, "IntrBkSttlmDt")
    if date_element is None:
        date_element = fields.child(header, "IntrBkSttlmDt")
    if date_element is None:
        raise MessageRefused(
            Reason.MISSING, path_of(element) + "/IntrBkSttlmDt", "is missing, here and in GrpHdr"
        )
    amount_element = fields.require(element, "IntrBkSttlmAmt")
    amount = fields.money(amount_element)
    if amount.amount_minor == 0:
        raise MessageRefused(Reason.AMOUNT, path_of(amount_element), "must be more than zero")
    return CreditTransfer(
        uetr=fields.text(fields.require(identification, "UETR")),
        instruction_id=fields.text(identification, "InstrId"),
        end_to_end_id=fields.text(identification, "EndToEndId"),
        transaction_id=fields.text(identification, "TxId"),
        clearing_reference=fields.text(identification, "ClrSysRef"),
        amount=amount,
        settlement_date=fields.day(date_element),
        instructing=_party(element, header, "InstgAgt"),
        instructed=_party(element, header, "InstdAgt"),
        debtor_agent=_agent_or_party(element, "DbtrAgt", "Dbtr"),
        creditor_agent=_agent_or_party(element, "CdtrAgt", "Cdtr"),
        charges=tuple(_charge(charge) for charge in fields.children(element, "ChrgsInf")),
        cover=fields.child(element, "UndrlygCstmrCdtTrf") is not None,
        hop=sum(local_name(e) in ("PrvsInstgAgt1", "PrvsInstgAgt2", "PrvsInstgAgt3") for e in element),
        path=path_of(element),
    )


def _party(element: etree._Element, header: etree._Element, name: str) -> Agent:
    found = fields.agent(fields.child(element, name))
    if found == Agent():
        found = fields.agent(fields.child(header, name))
    if not (found.bic or found.lei):
        raise MessageRefused(
            Reason.MISSING,
            f"{path_of(element)}/{name}/FinInstnId",
            "BICFI or LEI is needed, here or in GrpHdr",
        )
    return found


def _agent_or_party(element: etree._Element, agent: str, party: str) -> Agent:
    """The agent; in a pacs.009, where debtor and creditor are institutions, the institution itself."""
    found = fields.agent(fields.child(element, agent))
    return found if found != Agent() else fields.agent(fields.child(element, party))


def _charge(element: etree._Element) -> Charge:
    return Charge(fields.money(fields.require(element, "Amt")), fields.agent(fields.child(element, "Agt")))


def _status(element: etree._Element) -> TransactionStatus:
    return TransactionStatus(
        uetr=fields.text(fields.require(element, "OrgnlUETR")),
        end_to_end_id=fields.text(element, "OrgnlEndToEndId"),
        transaction_id=fields.text(element, "OrgnlTxId"),
        clearing_reference=fields.text(element, "ClrSysRef"),
        status=fields.text(fields.require(element, "TxSts")),
        reason_code=fields.text(element, "StsRsnInf", "Rsn", "Cd"),
        path=path_of(element),
    )


def _check_totals(header: etree._Element, transfers: tuple[CreditTransfer, ...]) -> None:
    """NbOfTxs, CtrlSum (numbers whatever the currency) and TtlIntrBkSttlmAmt against the transactions."""
    count = fields.require(header, "NbOfTxs")
    if int(count.text or "0") != len(transfers):
        raise MessageRefused(Reason.COUNT, path_of(count), f"says {count.text}, there are {len(transfers)}")
    total = sum((Decimal(t.amount.decimal()) for t in transfers), Decimal(0))
    control = fields.child(header, "CtrlSum")
    if control is not None and Decimal(control.text or "0") != total:
        raise MessageRefused(Reason.CONTROL_SUM, path_of(control), f"says {control.text}, the sum is {total}")
    stated = fields.child(header, "TtlIntrBkSttlmAmt")
    if stated is not None:
        amount = fields.money(stated)
        one_currency = all(t.amount.currency == amount.currency for t in transfers)
        if not one_currency or amount.amount_minor != sum(t.amount.amount_minor for t in transfers):
            raise MessageRefused(Reason.CONTROL_SUM, path_of(stated), f"says {amount}, the sum is {total}")


def _check_unique(transfers: tuple[CreditTransfer, ...]) -> None:
    seen: set[tuple[str, bool, int]] = set()
    for transfer in transfers:
        leg = (transfer.uetr, transfer.cover, transfer.hop)
        if leg in seen:
            raise MessageRefused(Reason.DUPLICATE, transfer.path + "/PmtId/UETR", "the leg occurs twice")
        seen.add(leg)
