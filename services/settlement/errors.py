"""The settlement service's expected failures, and the one mapping of its reasons to gRPC codes.

Reasons are stable and documented in docs/formats/settlement.md and docs/formats/iso20022.md.
"""

from __future__ import annotations

from typing import Final

from services.settlement.iso20022.refusal import MessageRefused, Reason
from silkledger.runtime.errors import Code, FieldViolation, ServiceError

MESSAGE_REASONS: Final = {str(reason): Code.INVALID_ARGUMENT for reason in Reason} | {
    str(Reason.SCHEMA_MISSING): Code.FAILED_PRECONDITION
}
"""Why an ISO 20022 message is refused."""

CALL_REASONS: Final = {
    "NOT_OUR_INSTRUCTION": Code.PERMISSION_DENIED,
    "MIXED_COUNTERPARTIES": Code.INVALID_ARGUMENT,
    "COUNTERPARTY_UNKNOWN": Code.FAILED_PRECONDITION,
    "COUNTERPARTY_NOT_REACHABLE": Code.FAILED_PRECONDITION,
    "LEG_EXISTS": Code.ALREADY_EXISTS,
    "PAYMENT_NOT_FOUND": Code.NOT_FOUND,
    "PAYMENT_STATE": Code.FAILED_PRECONDITION,
    "STATUS_NOT_FINAL": Code.INVALID_ARGUMENT,
    "DELIVERY_MALFORMED": Code.INVALID_ARGUMENT,
    "COMMITMENT_MISMATCH": Code.INVALID_ARGUMENT,
    "STATEMENT_REFUSED": Code.INVALID_ARGUMENT,
    "SIGNER_NOT_CALLER": Code.PERMISSION_DENIED,
    "SIGNER_NOT_INSTRUCTING_AGENT": Code.PERMISSION_DENIED,
    "SIGNER_NOT_SETTLEMENT_INSTITUTION": Code.PERMISSION_DENIED,
    "KEY_UNKNOWN": Code.FAILED_PRECONDITION,
    "ACCOUNT_NOT_OURS": Code.PERMISSION_DENIED,
    "PAGE_TOKEN_INVALID": Code.INVALID_ARGUMENT,
    "IDENTITY_UNAVAILABLE": Code.UNAVAILABLE,
}
"""Why a call is refused."""

REASONS: Final = {**MESSAGE_REASONS, **CALL_REASONS}


class SettlementError(ServiceError):
    """Base of this service's expected failures. The code follows from the reason; `field` is the culprit."""

    def __init__(
        self, reason: str, message: str, *, field: str = "", retry_after_s: float | None = None
    ) -> None:
        violations = [FieldViolation(field, reason, message)] if field else []
        super().__init__(
            reason, message, code=REASONS[reason], violations=violations, retry_after_s=retry_after_s
        )


def refused_message(error: MessageRefused) -> SettlementError:
    """A refused message as a call's error. The field is `message` and the element's path in it."""
    return SettlementError(str(error.reason), error.detail, field=f"message{error.field}")


def not_found() -> SettlementError:
    return SettlementError("PAYMENT_NOT_FOUND", "this bank has no such payment", field="leg")
