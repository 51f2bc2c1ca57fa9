"""The columns of `payment` that its message determines. Pure."""

from __future__ import annotations

import hashlib

from services.settlement.domain import Terms, terms_of
from services.settlement.iso20022.pacs import parse_credit_transfer
from services.settlement.iso20022.refusal import MessageRefused
from silkledger.values import Digest


def told_terms(message: bytes) -> list[dict[str, object]]:
    """Of each transaction of a credit transfer, as `payment` has them; none for any other message."""
    try:
        parsed = parse_credit_transfer(message)
    except MessageRefused:
        return []
    digest = Digest(hashlib.sha256(message).digest())
    return [_columns(terms_of(parsed, transfer, digest)) for transfer in parsed.transfers]


def _columns(terms: Terms) -> dict[str, object]:
    return {
        "uetr": terms.leg.uetr,
        "role": terms.leg.role,
        "hop": terms.leg.hop,
        "end_to_end_id": terms.end_to_end_id,
        "transaction_id": terms.transaction_id,
        "clearing_reference": terms.clearing_reference,
        "instructing_bic": terms.instructing_bic,
        "instructed_bic": terms.instructed_bic,
        "debtor_bic": terms.debtor_bic,
        "creditor_bic": terms.creditor_bic,
        "amount_minor": terms.amount.amount_minor,
        "currency": terms.amount.currency,
        "market": int(terms.market),
        "settlement_date": terms.settlement_date.isoformat(),
        "charges_minor": terms.charges_minor,
    }
