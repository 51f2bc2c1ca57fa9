"""Trust: is this issuer authorised for this document type, for this relying country, at this block, and why?

The answer equals `TrustRegistry.isAuthorisedAt`; beyond the contract it keeps apart what was in force at a
block and what was known at a block, and says why in sentences. Records: docs/formats/accreditation.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from silkledger.registry.histories import (
    HistoryMissing,
    HistoryRecord,
    accreditation_key,
    accreditation_status_key,
    country_key,
    recognition_key,
    visible,
)
from silkledger.registry.trust_records import (
    MAX_DEPTH,
    AccreditationStatus,
    Grant,
    Recognition,
    authority_at,
    decode_grant,
    recognition_at,
    status_at,
)
from silkledger.values import Address, CountryCode, DocumentType

LEVEL_NAMES = {1: "low", 2: "substantial", 3: "high"}
"""Levels of assurance, in the words of eIDAS."""


class TrustView(Protocol):
    """The TrustRegistry's histories by key, as far as they are at hand."""

    def records(self, key: bytes) -> Sequence[HistoryRecord]:
        """All records of `key` in order; empty when nothing was ever recorded.

        Raises: HistoryMissing when the history of `key` is not at hand, which is not the same.
        """
        ...


class MappingTrustView:
    """A TrustView over histories that were loaded, or proved, before."""

    def __init__(self, histories: Mapping[bytes, Sequence[HistoryRecord]]) -> None:
        self._histories = histories

    def records(self, key: bytes) -> Sequence[HistoryRecord]:
        if key not in self._histories:
            raise HistoryMissing(key)
        return self._histories[key]


@dataclass(frozen=True, slots=True)
class AuthorisationStep:
    """One link of the explanation."""

    statement: str
    """A sentence, e.g. "TH recognises CN for 705 from level 1"."""
    accreditation_id: bytes
    """32 bytes; empty when the step is not an accreditation."""
    recorded_at: int | None
    """Block of the record that decides; None when there is none."""
    holds: bool
    reason: str = ""
    """Stable code when it does not hold."""


@dataclass(frozen=True, slots=True)
class Authorisation:
    """The answer. `reason` is empty exactly when `authorised`."""

    authorised: bool
    reason: str
    steps: tuple[AuthorisationStep, ...]
    """Root first."""
    explanation: str
    """One sentence for people."""
    chain: tuple[bytes, ...]
    """Accreditation ids from the issuer's own to the root authority's; empty when not authorised."""


@dataclass(frozen=True, slots=True)
class _Question:
    view: TrustView
    issuer: Address
    document_type: DocumentType
    relying: CountryCode
    at_block: int
    known_at: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One accreditation of the issuer, followed to its root and across the border."""

    steps: tuple[AuthorisationStep, ...]
    reasons: tuple[str, ...]
    """In the order in which they were met: own accreditation, parents, country, recognition."""
    chain: tuple[bytes, ...]
    progress: int
    """How many checks held before the first that did not; the best failing candidate explains the answer."""


def authorised(
    view: TrustView,
    issuer: Address,
    doc_type: DocumentType,
    relying: CountryCode,
    at_block: int,
    known_at: int,
) -> Authorisation:
    """Answer as of the end of block `at_block`, by what was on chain at the end of block `known_at`.

    Steps: (1) the relying country is registered; (2) the issuer holds an accreditation for the document type
    that is in its period and neither suspended nor revoked; (3) so does each accreditation above it, up to
    one given by the country's own authority, at most four in all; (4) a foreign relying country recognises
    the issuing country for the type, at no higher level than the accreditation's. The first accreditation, in
    the order of recording, for which all hold is the answer's chain.

    This does not look at the issuer's identity: whether it is deactivated is `registry.identity`.

    Raises: HistoryMissing when the view lacks a history needed; RecordInvalid for a record of unknown shape.
    """
    question = _Question(view, issuer, doc_type, relying, at_block, known_at)
    country = _country_step(question, relying)  # (1)
    if not country.holds:
        return _refused(question, (country,), country.reason)
    grants = _grants(question, issuer)
    if not grants:  # (2)
        nothing = AuthorisationStep(
            f"{issuer} holds no accreditation for {doc_type}", b"", None, False, "NOT_ACCREDITED"
        )
        return _refused(question, (nothing,), nothing.reason)
    candidates = [_follow(question, grant) for grant in grants]
    for candidate in candidates:
        if not candidate.reasons:
            text = f"At block {at_block}, {issuer} was authorised for {doc_type} in {relying}: "
            return Authorisation(
                True, "", candidate.steps, text + _sentence(candidate.steps), candidate.chain
            )
    best = max(candidates, key=lambda c: c.progress)
    return _refused(question, best.steps, best.reasons[0])


def _refused(question: _Question, steps: tuple[AuthorisationStep, ...], reason: str) -> Authorisation:
    text = (
        f"At block {question.at_block}, {question.issuer} was not authorised for {question.document_type} "
        f"in {question.relying} ({reason}): "
    )
    return Authorisation(False, reason, steps, text + _sentence(steps), ())


def _sentence(steps: Sequence[AuthorisationStep]) -> str:
    return "; ".join(step.statement for step in steps) + "."


def _country_step(question: _Question, country: CountryCode) -> AuthorisationStep:
    record = authority_at(
        question.view.records(country_key(country)), min(question.at_block, question.known_at)
    )
    if record is None:
        return AuthorisationStep(f"{country} is not registered", b"", None, False, "COUNTRY_UNKNOWN")
    text = f"{country} is registered, with root authority {record.authority}"
    return AuthorisationStep(text, b"", record.recorded_at, True)


def _grants(question: _Question, issuer: Address) -> list[Grant]:
    records = question.view.records(accreditation_key(issuer, question.document_type))
    return [decode_grant(item) for item in visible(records, question.known_at)]


def _follow(question: _Question, grant: Grant) -> _Candidate:
    steps: list[AuthorisationStep] = []
    chain: list[bytes] = []
    current: Grant | None = grant
    while current is not None:  # (3)
        steps.append(_grant_step(question, current, "PARENT_" if chain else ""))
        chain.append(current.id)
        if current.is_root:
            break
        if len(chain) == MAX_DEPTH:
            steps.append(_broken("the chain of accreditations is too long", "CHAIN_TOO_LONG"))
            break
        current = _parent_of(question, current)
        if current is None:
            steps.append(_broken("the accreditation above it is not recorded", "PARENT_UNKNOWN"))
    steps.append(_country_step(question, grant.country))
    if question.relying != grant.country:
        steps.append(_recognition_step(question, grant))  # (4)
    reasons = tuple(step.reason for step in steps if not step.holds)
    progress = next((i for i, step in enumerate(steps) if not step.holds), len(steps))
    if progress < len(steps) and steps[-1].reason == "LEVEL_TOO_LOW":
        progress += 1
    return _Candidate(_root_first(steps, len(chain)), reasons, tuple(chain), progress)


def _root_first(steps: list[AuthorisationStep], links: int) -> tuple[AuthorisationStep, ...]:
    """Country, accreditations from the root down, then the border."""
    broken = [s for s in steps[links:] if s.reason in ("CHAIN_TOO_LONG", "PARENT_UNKNOWN")]
    rest = [s for s in steps[links:] if s not in broken]
    return (rest[0], *broken, *reversed(steps[:links]), *rest[1:])


def _broken(statement: str, reason: str) -> AuthorisationStep:
    return AuthorisationStep(statement, b"", None, False, reason)


def _parent_of(question: _Question, grant: Grant) -> Grant | None:
    """The accreditation under which `grant` was given. It is its giver's: the contract checked that."""
    for candidate in _grants(question, grant.by):
        if candidate.id == grant.parent:
            return candidate
    return None


def _grant_step(question: _Question, grant: Grant, prefix: str) -> AuthorisationStep:
    giver = f"{grant.country}'s root authority {grant.by}" if grant.is_root else str(grant.by)
    period = f"from block {grant.from_block}" + (
        f" until block {grant.until_block}" if grant.until_block else ""
    )
    text = (
        f"{giver} accredited {grant.issuer} for {grant.document_type} at level {grant.level} "
        f"({LEVEL_NAMES[grant.level]}) {period}"
    )
    if question.at_block < grant.from_block:
        reason = f"{prefix}ACCREDITATION_NOT_YET_IN_FORCE"
        return AuthorisationStep(text + ", not yet in force", grant.id, grant.recorded_at, False, reason)
    if grant.until_block and question.at_block >= grant.until_block:
        reason = f"{prefix}ACCREDITATION_EXPIRED"
        return AuthorisationStep(text + ", which has ended", grant.id, grant.recorded_at, False, reason)
    records = question.view.records(accreditation_status_key(grant.id))
    change = status_at(records, grant.id, question.at_block, question.known_at)
    if change is not None and change.status is not AccreditationStatus.ACTIVE:
        word = change.status.value.lower()
        reason = f"{prefix}ACCREDITATION_{change.status.value}"
        text = f"{text}, which {change.by} {word} since block {change.effective_block}"
        return AuthorisationStep(text, grant.id, change.recorded_at, False, reason)
    return AuthorisationStep(text, grant.id, grant.recorded_at, True)


def _recognition_step(question: _Question, grant: Grant) -> AuthorisationStep:
    relying, issuing, doc_type = question.relying, grant.country, question.document_type
    records = question.view.records(recognition_key(relying, issuing, doc_type))
    found = recognition_at(records, question.at_block, question.known_at)
    if found is None:
        return _broken(f"{relying} does not recognise {issuing} for {doc_type}", "NOT_RECOGNISED")
    if not isinstance(found, Recognition):
        text = f"{relying} withdrew its recognition of {issuing} for {doc_type} "
        text += f"since block {found.effective_block}"
        return AuthorisationStep(text, b"", found.recorded_at, False, "NOT_RECOGNISED")
    text = f"{relying} recognises {issuing} for {doc_type} from level {found.min_level}"
    if found.until_block and question.at_block >= found.until_block:
        text += f", until block {found.until_block}, which has passed"
        return AuthorisationStep(text, b"", found.recorded_at, False, "NOT_RECOGNISED")
    if grant.level < found.min_level:
        text += f", but the accreditation is of level {grant.level}"
        return AuthorisationStep(text, b"", found.recorded_at, False, "LEVEL_TOO_LOW")
    return AuthorisationStep(text, b"", found.recorded_at, True)
