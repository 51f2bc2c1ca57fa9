"""The ledger's expected failures, and the one mapping of its reasons to gRPC codes.

Reasons are stable and documented in docs/formats/errors.md; a test holds code and document together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from silkledger.runtime.errors import Code, FieldViolation, ServiceError

FORM_REASONS: Final = (
    "ALG_UNSUPPORTED",
    "AUDIENCE_MALFORMED",
    "CLAIMS_MALFORMED",
    "CLAIM_MISSING",
    "CLAIM_UNKNOWN",
    "CONTENT_TYPE_MALFORMED",
    "CONTROLLER_KEY_MALFORMED",
    "CONTROLLER_KEY_MISMATCH",
    "CONTROLLER_KEY_MISSING",
    "CONTROLLER_KEY_UNEXPECTED",
    "CONTROLLER_SUITE",
    "COSE_KIND_REFUSED",
    "COSE_MALFORMED",
    "COSE_NOT_DETERMINISTIC",
    "COSE_NOT_SIGN1",
    "COSE_TAG_MISSING",
    "COSE_TOO_LARGE",
    "COSE_TRAILING_BYTES",
    "COSE_TRUNCATED",
    "COSE_UNPROTECTED_NOT_EMPTY",
    "DIGEST_LENGTH",
    "DOCUMENT_TYPE_MALFORMED",
    "HASH_ALG_UNSUPPORTED",
    "HEADER_MISSING",
    "HEADER_UNKNOWN",
    "ISSUED_AT_MALFORMED",
    "ISSUER_MALFORMED",
    "KID_MALFORMED",
    "KID_NOT_OF_ISSUER",
    "MANIFEST_LEAF_FORMAT",
    "MANIFEST_LEAF_MALFORMED",
    "MANIFEST_LEAVES_LENGTH",
    "MANIFEST_PAYLOAD_MALFORMED",
    "MANIFEST_ROOT_MISMATCH",
    "MANIFEST_SIZE",
    "NOT_A_HASH_ENVELOPE",
    "NOT_A_MANIFEST",
    "PAYLOAD_DETACHED",
    "SALT_LENGTH",
    "SIGNATURE_HIGH_S",
    "SIGNATURE_INVALID",
    "SIGNATURE_LENGTH",
    "SIGNATURE_RANGE",
    "SUBJECT_MALFORMED",
    "SUITE_MISMATCH",
    "SUPERSEDES_LENGTH",
)
"""Reasons of `silkledger.statement`, docs/formats/statement.md: the bytes are not a signed statement."""

STATEMENT_REASONS: Final = {
    **dict.fromkeys(FORM_REASONS, Code.INVALID_ARGUMENT),
    # The statement is one, but not admissible now.
    "ISSUER_NOT_CALLER": Code.PERMISSION_DENIED,
    "ISSUER_OTHER_CHAIN": Code.INVALID_ARGUMENT,
    "ISSUER_UNKNOWN": Code.FAILED_PRECONDITION,
    "ISSUER_DEACTIVATED": Code.FAILED_PRECONDITION,
    "ISSUER_NOT_ACCREDITED": Code.FAILED_PRECONDITION,
    "KEY_UNKNOWN": Code.FAILED_PRECONDITION,
    "SUPERSEDES_MISMATCH": Code.FAILED_PRECONDITION,
    "BATCH_TOO_LARGE": Code.INVALID_ARGUMENT,
}
"""Why one statement of a call is refused."""

CALL_REASONS: Final = {
    "STATEMENTS_REFUSED": Code.INVALID_ARGUMENT,
    "PENDING_QUEUE_FULL": Code.RESOURCE_EXHAUSTED,
    "CHAIN_NOT_FOLLOWED": Code.UNAVAILABLE,
    "LOG_HALTED": Code.FAILED_PRECONDITION,
    "STATEMENT_NOT_FOUND": Code.NOT_FOUND,
    "NOT_LOGGED_YET": Code.FAILED_PRECONDITION,
    "NOT_FINAL_YET": Code.FAILED_PRECONDITION,
    "TREE_SIZE_UNKNOWN": Code.OUT_OF_RANGE,
    "BLOCK_NOT_FINAL": Code.OUT_OF_RANGE,
    "SELECTOR_REQUIRED": Code.INVALID_ARGUMENT,
    "PAGE_TOKEN_INVALID": Code.INVALID_ARGUMENT,
    "CALL_NOT_FOUND": Code.NOT_FOUND,
    "CALL_CONFLICT": Code.ALREADY_EXISTS,
    "CALL_ACTOR_NOT_CALLER": Code.PERMISSION_DENIED,
    "CALL_TARGET_NOT_LISTED": Code.INVALID_ARGUMENT,
    "CALL_SIGNATURE_INVALID": Code.INVALID_ARGUMENT,
    "CALL_EXPIRED": Code.INVALID_ARGUMENT,
    "LOG_KEY_MALFORMED": Code.INVALID_ARGUMENT,
    "LOG_KEY_COUNTS": Code.ALREADY_EXISTS,
    "LOG_KEY_OVER": Code.FAILED_PRECONDITION,
    "LOG_KEY_ABSENT": Code.NOT_FOUND,
    "LOG_KEY_IN_USE": Code.FAILED_PRECONDITION,
    "LAST_LOG_KEY": Code.FAILED_PRECONDITION,
    "TOO_MANY_LOG_KEYS": Code.FAILED_PRECONDITION,
    "LOG_NOT_REGISTERED": Code.FAILED_PRECONDITION,
    "LOG_NOT_CONTROLLED": Code.FAILED_PRECONDITION,
    "LOG_KEY_CHANGE_PENDING": Code.ABORTED,
    "STREAM_ORDER": Code.INVALID_ARGUMENT,
    "CURSOR_NOT_DELIVERED": Code.INVALID_ARGUMENT,
    "DOCUMENT_INDEX": Code.INVALID_ARGUMENT,
    "DOCUMENTS_UNAVAILABLE": Code.FAILED_PRECONDITION,
    "FILTER_UNKNOWN": Code.INVALID_ARGUMENT,
    "CONSUMER_TAKEN_OVER": Code.ABORTED,
    "STREAMS_EXHAUSTED": Code.RESOURCE_EXHAUSTED,
    "SERVICE_STOPPING": Code.UNAVAILABLE,
    "EVIDENCE_QUEUE_FULL": Code.RESOURCE_EXHAUSTED,
    "EVIDENCE_UNAVAILABLE": Code.UNAVAILABLE,
    "REPLAY_RUNNING": Code.RESOURCE_EXHAUSTED,
    "REPLAY_NOT_FOUND": Code.NOT_FOUND,
    "REPLAY_NOT_DONE": Code.FAILED_PRECONDITION,
    "REPLAY_NOT_OFFERED": Code.FAILED_PRECONDITION,
    # Of operations that failed (AuditService), told in the operation itself.
    "REPLAY_ABORTED": Code.ABORTED,
    "REPLAY_CANCELLED": Code.ABORTED,
    "REPLAY_NODE_UNAVAILABLE": Code.UNAVAILABLE,
    "REPLAY_REFUSED": Code.FAILED_PRECONDITION,
}
"""Why a call is refused."""

REASONS: Final = {**STATEMENT_REASONS, **CALL_REASONS}
"""Every reason of this service. Retryable are exactly those with a retry delay."""


class LedgerError(ServiceError):
    """Base of the ledger's expected failures. The code follows from the reason."""

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


class FieldRefused(LedgerError):
    """One field of the request is at fault."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(reason, message, violations=[FieldViolation(field, reason, message)])


class StatementsRefused(LedgerError):
    """Nothing of the call was registered. Every bad statement is named.

    The reason is the statements' own where they all fail for the same one, else STATEMENTS_REFUSED.
    """

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        reasons = {violation.reason for violation in violations}
        reason = reasons.pop() if len(reasons) == 1 else "STATEMENTS_REFUSED"
        first = violations[0]
        super().__init__(
            reason,
            f"{len(violations)} violation(s), nothing was registered; first: {first.field}: "
            f"{first.description}",
            violations=violations,
        )


class ManifestRefused(StatementsRefused):
    """Nothing of the call was registered: the manifest or the leaves of its documents are at fault."""


class QueueFull(LedgerError):
    """Too many accepted statements wait for the sequencer."""

    def __init__(self, waiting: int, limit: int) -> None:
        super().__init__(
            "PENDING_QUEUE_FULL",
            f"{waiting} accepted statements wait to be logged; the limit is {limit}",
            retry_after_s=0.5,
        )


class ChainNotFollowed(LedgerError):
    """The follower has not reached the block that is needed: no final one yet, unless `why` says more."""

    def __init__(self, why: str = "the follower has not reached a final block") -> None:
        super().__init__("CHAIN_NOT_FOLLOWED", why, retry_after_s=1.0)


class FilterUnknown(LedgerError):
    """The filter names what no contract of the network has; (field, description) of each."""

    def __init__(self, unknown: Sequence[tuple[str, str]]) -> None:
        super().__init__(
            "FILTER_UNKNOWN",
            f"nothing would ever pass: {unknown[0][1]}",
            violations=[FieldViolation(field, "FILTER_UNKNOWN", text) for field, text in unknown],
        )


class ConsumerTakenOver(LedgerError):
    """Another stream of the same organisation and consumer was opened. To open again would end that one."""

    def __init__(self, consumer: str) -> None:
        super().__init__("CONSUMER_TAKEN_OVER", f"a newer stream of the consumer {consumer!r} took over")


class StreamsExhausted(LedgerError):
    """As many streams are open as the service, or one organisation, may have."""

    def __init__(self, whose: str, limit: int) -> None:
        super().__init__(
            "STREAMS_EXHAUSTED", f"{whose} has {limit} streams open, the most there may be", retry_after_s=5.0
        )


class ServiceStopping(LedgerError):
    """The service is shutting down; another replica, or the next start, goes on."""

    def __init__(self) -> None:
        super().__init__("SERVICE_STOPPING", "the service is stopping", retry_after_s=1.0)


class LogHalted(LedgerError):
    """The log refuses to sequence or to give receipts, because its history does not extend what was
    published.
    """

    def __init__(self, why: str) -> None:
        super().__init__("LOG_HALTED", f"the log is halted: {why}")


class StatementNotFound(LedgerError):
    """No such statement, or the caller is not entitled to it: the two look the same."""

    def __init__(self) -> None:
        super().__init__("STATEMENT_NOT_FOUND", "no such statement")


class NotLoggedYet(LedgerError):
    """Accepted and promised, but not in a signed tree yet."""

    def __init__(self) -> None:
        super().__init__("NOT_LOGGED_YET", "accepted, not yet logged", retry_after_s=0.3)
