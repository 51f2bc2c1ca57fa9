"""The identity service's expected failures, and the one mapping of its reasons to gRPC codes.

Reasons are stable and documented in docs/formats/{enrolment,status-list,errors}.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from silkledger.runtime.errors import Code, FieldViolation, ServiceError

ENROLMENT_REASONS: Final = {
    "CSR_MALFORMED": Code.INVALID_ARGUMENT,
    "CSR_SIGNATURE_INVALID": Code.INVALID_ARGUMENT,
    "CSR_KEY_UNSUPPORTED": Code.INVALID_ARGUMENT,
    "CONTROLLER_KEY_INVALID": Code.INVALID_ARGUMENT,
    "SIGNATURE_INVALID": Code.INVALID_ARGUMENT,
    "SIGNATURE_HIGH_S": Code.INVALID_ARGUMENT,
    "SIGNATURE_RANGE": Code.INVALID_ARGUMENT,
    "SIGNATURE_LENGTH": Code.INVALID_ARGUMENT,
    "NAME_INVALID": Code.INVALID_ARGUMENT,
    "ENDPOINT_INVALID": Code.INVALID_ARGUMENT,
    "LEI_INVALID": Code.INVALID_ARGUMENT,
    "USCC_INVALID": Code.INVALID_ARGUMENT,
    "BIC_INVALID": Code.INVALID_ARGUMENT,
    "BIC_REQUIRED": Code.INVALID_ARGUMENT,
    "DID_TAKEN": Code.ALREADY_EXISTS,
    "LEI_TAKEN": Code.ALREADY_EXISTS,
    "USCC_TAKEN": Code.ALREADY_EXISTS,
    "BIC_TAKEN": Code.ALREADY_EXISTS,
}
"""Why an organisation is not enrolled."""

CALL_REASONS: Final = {
    "CALL_ACTOR_NOT_CALLER": Code.PERMISSION_DENIED,
    "CALL_TARGET_WRONG": Code.INVALID_ARGUMENT,
    "CALL_FUNCTION_NOT_ALLOWED": Code.INVALID_ARGUMENT,
    "CALL_DATA_MALFORMED": Code.INVALID_ARGUMENT,
    "CALL_ARGUMENT_INVALID": Code.INVALID_ARGUMENT,
    "CALL_SIGNATURE_INVALID": Code.INVALID_ARGUMENT,
    "CALL_EXPIRED": Code.INVALID_ARGUMENT,
    "CALL_DEADLINE_TOO_FAR": Code.INVALID_ARGUMENT,
    "CALL_CONFLICT": Code.ALREADY_EXISTS,
    "CALL_NOT_FOUND": Code.NOT_FOUND,
}
"""Why a signed call is not relayed."""

STATUS_LIST_REASONS: Final = {
    "CALL_REQUIRED": Code.INVALID_ARGUMENT,
    "ISSUER_DEACTIVATED": Code.FAILED_PRECONDITION,
    "ISSUER_NOT_CALLER": Code.PERMISSION_DENIED,
    "KEY_UNKNOWN": Code.FAILED_PRECONDITION,
    "STATUS_LIST_MALFORMED": Code.INVALID_ARGUMENT,
    "STATUS_LIST_SIGNATURE": Code.INVALID_ARGUMENT,
    "STATUS_LIST_NOT_YET_VALID": Code.INVALID_ARGUMENT,
    "STATUS_LIST_EXPIRED": Code.INVALID_ARGUMENT,
    "STATUS_LIST_SEQUENCE": Code.FAILED_PRECONDITION,
    "STATUS_LIST_PURPOSE": Code.INVALID_ARGUMENT,
    "STATUS_LIST_TIME": Code.INVALID_ARGUMENT,
    "STATUS_LIST_LENGTH": Code.INVALID_ARGUMENT,
    "STATUS_LIST_UNREVOKED": Code.INVALID_ARGUMENT,
    "STATUS_LIST_RECORDED_OTHERWISE": Code.FAILED_PRECONDITION,
    "STATUS_LIST_EQUIVOCATION": Code.ALREADY_EXISTS,
    "STATUS_LIST_NOT_FOUND": Code.NOT_FOUND,
    "STATUS_LIST_UNAVAILABLE": Code.FAILED_PRECONDITION,
}
"""Why a status list is not taken, or not given."""

READ_REASONS: Final = {
    "DID_INVALID": Code.INVALID_ARGUMENT,
    "DID_OTHER_CHAIN": Code.INVALID_ARGUMENT,
    "ORGANISATION_NOT_FOUND": Code.NOT_FOUND,
    "PAGE_TOKEN_INVALID": Code.INVALID_ARGUMENT,
    "BLOCK_NOT_FINAL": Code.OUT_OF_RANGE,
    "CHAIN_NOT_FOLLOWED": Code.UNAVAILABLE,
}
"""Why a question is not answered."""

REASONS: Final = {**ENROLMENT_REASONS, **CALL_REASONS, **STATUS_LIST_REASONS, **READ_REASONS}
"""Every reason of this service. Retryable are exactly those with a retry delay."""


class IdentityError(ServiceError):
    """Base of the service's expected failures. The code follows from the reason."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(
            reason, message, code=REASONS[reason], violations=violations, retry_after_s=retry_after_s
        )


class FieldRefused(IdentityError):
    """One field of the request is at fault."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(reason, message, violations=[FieldViolation(field, reason, message)])


class ClaimTaken(IdentityError):
    """Another organisation has this identifier. Which one is not told."""

    def __init__(self, field: str) -> None:
        reason = f"{'DID' if field == 'controller_key' else field.upper()}_TAKEN"
        message = f"another organisation is enrolled with this {field}"
        super().__init__(reason, message, violations=[FieldViolation(field, reason, message)])


class OrganisationNotFound(IdentityError):
    """Nobody of this DID is enrolled here. The identity may exist on chain all the same."""

    def __init__(self) -> None:
        super().__init__("ORGANISATION_NOT_FOUND", "no organisation of this DID is enrolled")


class CallNotFound(IdentityError):
    """Neither queued here nor on chain."""

    def __init__(self) -> None:
        super().__init__("CALL_NOT_FOUND", "no such call is queued here or recorded on chain")


class BlockNotFinal(IdentityError):
    """The block asked for is not final, or is older than what is followed."""

    def __init__(self, field: str, block: int, final: int) -> None:
        message = f"block {block} is not among the final blocks followed; the last one is {final}"
        super().__init__(
            "BLOCK_NOT_FINAL", message, violations=[FieldViolation(field, "BLOCK_NOT_FINAL", message)]
        )


class ChainNotFollowed(IdentityError):
    """No final block is known yet: nothing can be said as of a block."""

    def __init__(self) -> None:
        super().__init__(
            "CHAIN_NOT_FOLLOWED", "the follower has not reached a final block", retry_after_s=1.0
        )
