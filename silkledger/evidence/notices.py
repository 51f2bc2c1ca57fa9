"""What a reader of a verdict must also know: things that came after the block the verdict is about."""

from __future__ import annotations

from collections.abc import Callable

from silkledger.envelope import SignedObject
from silkledger.evidence import issuer as issuers
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.proven_histories import ProvenHistories
from silkledger.registry.histories import HistoryMissing, RecordInvalid
from silkledger.registry.status import DocumentStatus, StatusChange, status_at
from silkledger.values import CountryCode

_WORDS = {
    DocumentStatus.ACTIVE: "reinstated",
    DocumentStatus.SUSPENDED: "suspended",
    DocumentStatus.REVOKED: "revoked",
    DocumentStatus.SUPERSEDED: "superseded",
}


def later_notices(
    statement: SignedObject,
    histories: ProvenHistories,
    as_of: Header,
    known: Header,
    relying: CountryCode | None,
) -> list[str]:
    """Sentences about document, issuer's key and authority after block `as_of`, up to block `known`.

    Where the bundle proves nothing, there is no sentence: the checks say so.
    """
    collectors: tuple[Callable[[], list[str]], ...] = (
        lambda: _status(statement, histories, as_of),
        lambda: _key(statement, histories, known),
        lambda: _authority(statement, histories, known, relying),
    )
    notices: list[str] = []
    for collect in collectors:
        try:
            notices += collect()
        except (HistoryMissing, RecordInvalid):
            continue
    if statement.supersedes is not None:
        notices.append(f"It says that it takes the place of statement {statement.supersedes}.")
    return notices


def _status(statement: SignedObject, histories: ProvenHistories, as_of: Header) -> list[str]:
    records = issuers.status_records(statement, histories)
    return [_sentence(change, as_of) for change in status_at(records, as_of.number, as_of.number).later]


def _sentence(change: StatusChange, as_of: Header) -> str:
    word, effective = _WORDS[change.status], f"effective from block {change.effective_block}"
    if change.recorded_at > as_of.number:
        return f"The document was {word} later, at block {change.recorded_at}, {effective}."
    return f"It was known that the document would be {word}, {effective}."


def _key(statement: SignedObject, histories: ProvenHistories, known: Header) -> list[str]:
    try:
        issuers.issuer_key(statement, histories, known)
    except EvidenceInvalid:
        return [f"At block {known.number} the key that signed it is no longer the issuer's."]
    return []


def _authority(
    statement: SignedObject, histories: ProvenHistories, known: Header, relying: CountryCode | None
) -> list[str]:
    if relying is None:
        return []
    answer = issuers.authority(statement, histories, relying, known.number, known.number)
    return [] if answer.authorised else [f"No longer authorised: {answer.explanation}"]
