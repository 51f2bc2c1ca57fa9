"""Is this statement good, as of a block, for this relying country? Pure.

The same functions decide here as in `silkledger.evidence.verify`, under the same check names; what differs
is where the histories come from: there from storage proofs, here from the follower's record, which the
reader of this service's answer takes on its word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from silkledger.envelope import SignedObject
from silkledger.evidence import issuer as issuers
from silkledger.evidence.checklist import Checklist, need
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.notices import later_notices
from silkledger.evidence.proven_histories import ProvenHistories
from silkledger.evidence.reasons import Reason
from silkledger.evidence.verdict import Assurance, Check, CheckResult, Outcome, Verdict, outcome_of
from silkledger.values import BlockRef, CountryCode

NOT_REGISTERED = "NOT_REGISTERED"
NOT_FINAL_YET = "NOT_FINAL_YET"
DOCUMENTS_UNAVAILABLE = "DOCUMENTS_UNAVAILABLE"
"""Reasons that only a service gives: a bundle always has a registration."""

ASSUMPTIONS = (
    "This service read the chain honestly: its answer is no proof. Ask for the evidence, verify it offline.",
)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks that a verdict speaks of."""

    parent: Header
    """Of the registration block: issuer key and authority are taken at its end."""
    registration: Header
    as_of: Header
    known: Header
    """The last final block: what is known now."""


def verdict_on(
    statement: SignedObject,
    blocks: Blocks,
    histories: ProvenHistories,
    relying: CountryCode,
    assurance: Assurance,
    place: tuple[int, int] | None = None,
) -> Verdict:
    """The verdict on a statement that is final on chain, or on a document of a manifest that is: `place` is
    its index, and how many there are. Checks as in `verify_bundle`, steps (13) and (15) to (20).

    `histories` must hold what `silkledger.evidence.assemble.missing_histories` asks for.
    """
    parent, known = blocks.parent.number, blocks.known.number
    checks = Checklist()
    checks.run("registration", lambda: _registered(blocks))
    key = checks.run("issuer_key", lambda: issuers.issuer_key(statement, histories, blocks.parent))
    checks.run("statement_signature", lambda: issuers.verify_statement(statement, need(key)))

    def authority(known_at: int) -> None:
        issuers.require_authority(issuers.authority(statement, histories, relying, parent, known_at))

    def status(known_at: int) -> None:
        records = issuers.status_records(statement, histories)
        issuers.require_active(records, blocks.as_of.number, known_at)

    checks.run("authority_known", lambda: authority(parent))
    checks.run("authority_in_force", lambda: authority(known))
    checks.run("status_known", lambda: status(blocks.as_of.number))
    checks.run("status_in_force", lambda: status(known))
    notices = later_notices(statement, histories, blocks.as_of, blocks.known, relying)
    if place is not None:
        index, size = place
        notices.append(f"Document {index + 1} of the {size} of a manifest: signature and status are of that.")
    return Verdict(
        outcome_of(checks.checks, assurance),
        assurance,
        blocks.as_of.ref,
        checks.checks,
        ASSUMPTIONS,
        tuple(notices),
    )


def _registered(blocks: Blocks) -> None:
    if blocks.as_of.number < blocks.registration.number:
        raise EvidenceInvalid(
            Reason.AS_OF_BEFORE_REGISTRATION,
            f"at block {blocks.as_of.number} the document was not registered; "
            f"it was at block {blocks.registration.number}",
        )


def not_final_yet(as_of: BlockRef, assurance: Assurance) -> Verdict:
    """The verdict on a statement that no final anchor covers: nothing about it can be said as of a block."""
    check = Check(
        "registration", CheckResult.NOT_CHECKED, NOT_FINAL_YET, "no final anchor covers the statement yet"
    )
    return Verdict(outcome_of((check,), assurance), assurance, as_of, (check,), ASSUMPTIONS, ())


def not_registered(as_of: BlockRef, assurance: Assurance) -> Verdict:
    """Nothing about this document is in the log. That is not forgery."""
    check = Check(
        "registration", CheckResult.FAIL, NOT_REGISTERED, "no statement about this document is in this log"
    )
    notice = "Not registered is not forged: the document may be in another log, or in none."
    return Verdict(Outcome.NOT_REGISTERED, assurance, as_of, (check,), ASSUMPTIONS, (notice,))


def unknown(as_of: BlockRef, assurance: Assurance, manifests: int) -> Verdict:
    """No statement about this document is here, but this service lacks the documents of some manifests of its
    log, and it may be one of those. To call it unregistered would be a guess.
    """
    detail = f"no statement about it is here, nor the documents of {manifests} manifest(s) of this log"
    check = Check("registration", CheckResult.NOT_CHECKED, DOCUMENTS_UNAVAILABLE, detail)
    notice = "The log came back from a mirror, which has manifests without their documents: their holders do."
    return Verdict(Outcome.INCOMPLETE, assurance, as_of, (check,), ASSUMPTIONS, (notice,))


_ORDER = {
    Outcome.PASS: 0,
    Outcome.PASS_DEVELOPMENT_ONLY: 1,
    Outcome.INCOMPLETE: 2,
    Outcome.FAIL: 3,
    Outcome.NOT_REGISTERED: 4,
}


def best(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on the document: that of its best statement, the latest where several are equal."""
    return min(reversed(verdicts), key=lambda verdict: _ORDER[verdict.outcome])
