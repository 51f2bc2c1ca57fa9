"""The committed sample story: what the rules decide about it, each match and break by name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from zoneinfo import ZoneInfo

from services.settlement.iso20022.camt import parse_statement_message
from services.settlement.iso20022.pacs import CreditTransfer, parse_credit_transfer
from services.settlement.reconciliation.gates import ImportedStatement
from services.settlement.reconciliation.model import Category, LegKey, OurLeg
from services.settlement.reconciliation.run import reconcile

SAMPLES = Path(__file__).resolve().parents[4] / "samples" / "iso20022"
TRANSFERS = (
    ("pacs.008-bank-a-to-bank-b.xml", 1),
    ("pacs.009-bank-a-to-bank-b.xml", 3),
    ("pacs.008-batch.xml", 1),
)


def leg_of(transfer: CreditTransfer, role: int) -> OurLeg:
    return OurLeg(
        key=LegKey(transfer.uetr, role, transfer.hop),
        end_to_end_id=transfer.end_to_end_id,
        transaction_id=transfer.transaction_id,
        clearing_reference=transfer.clearing_reference,
        instructing_bic=transfer.instructing.bic,
        debtor_bic=transfer.debtor_agent.bic,
        creditor_bic=transfer.creditor_agent.bic,
        amount=transfer.amount,
        outgoing=True,
        settlement_date=transfer.settlement_date,
    )


def sample_legs() -> list[OurLeg]:
    return [
        leg_of(transfer, role)
        for name, role in TRANSFERS
        for transfer in parse_credit_transfer((SAMPLES / name).read_bytes()).transfers
    ]


def sample_statements() -> list[ImportedStatement]:
    data = (SAMPLES / "camt.053-bank-a.xml").read_bytes()
    message = parse_statement_message(data, ZoneInfo("Asia/Shanghai"))
    return [ImportedStatement(hashlib.sha256(data).digest(), one) for one in message.statements]


def test_the_sample_story_gives_exactly_these_matches_and_breaks() -> None:
    result = reconcile(sample_legs(), sample_statements())
    assert sorted((m.leg.uetr[-1], m.entry_reference, m.rule) for m in result.matches) == [
        ("1", "E0001", "R1"),
        ("2", "E0002", "R1"),
        ("3", "E0003/1", "R1"),
        ("4", "E0003/2", "R1"),
    ]
    told = [(str(b.category), b.leg.uetr[-1] if b.leg else "", b.entry_reference) for b in result.breaks]
    assert sorted(told) == [
        ("AMOUNT", "5", "E0004"),
        ("MISSING_OURS", "", "E0005"),
        ("MISSING_THEIRS", "6", ""),
    ]
    amount = next(b for b in result.breaks if b.category is Category.AMOUNT)
    assert str(amount.difference) == "500.00 CNY"
    assert "512500.00 CNY where we have 512000.00 CNY" in amount.explanation
