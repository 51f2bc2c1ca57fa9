"""The issuer of a statement at its registration block, and what the issuer said about it since.

Key and authority are those of the end of the registration block's parent. Two times are kept apart: what
was in force at a block, and what was known at a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from silkledger.envelope import SignedObject, StatementError
from silkledger.evidence.bundle import Contract
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.proven_histories import ProvenHistories
from silkledger.evidence.reasons import Reason
from silkledger.keys import Suite, VerifyingKey
from silkledger.registry.histories import (
    HistoryRecord,
    decode_record,
    document_status_key,
    identity_key,
    record_kind,
)
from silkledger.registry.identity import CONTROLLER, identity_state
from silkledger.registry.status import DocumentStatus, DocumentStatusState, status_at
from silkledger.registry.trust import Authorisation, authorised
from silkledger.values import Address, CountryCode

_OWNER_RECORD: Final = 1
_OWNER_TYPES: Final = ("uint8", "address")


class _ProvenTrust:
    """The proven TrustRegistry, as `registry.trust` reads it."""

    def __init__(self, histories: ProvenHistories) -> None:
        self._histories = histories

    def records(self, key: bytes) -> Sequence[HistoryRecord]:
        return self._histories.records(Contract.TRUST_REGISTRY, key)


def issuer_key(statement: SignedObject, histories: ProvenHistories, header: Header) -> VerifyingKey:
    """The key that the statement names, as the issuer's identity had it at the end of the block of `header`.

    Raises:
        EvidenceInvalid: ISSUER_DEACTIVATED, ISSUER_KEY_NOT_IN_FORCE.
        HistoryMissing: the bundle proves nothing about the identity.
    """
    did = statement.issuer
    records = histories.records(Contract.IDENTITY_REGISTRY, identity_key(did.address))
    state = identity_state(did, records, header.timestamp, header.number)
    if state.deactivated:
        raise EvidenceInvalid(Reason.ISSUER_DEACTIVATED, f"{did} was deactivated by block {header.number}")
    if statement.fragment == CONTROLLER:
        if statement.controller_key is None or statement.controller_address != state.owner:
            raise EvidenceInvalid(
                Reason.ISSUER_KEY_NOT_IN_FORCE,
                f"the controller of {did} at block {header.number} is {state.owner}",
            )
        return VerifyingKey(Suite.ES256K, statement.controller_key)
    key = state.methods.get(statement.fragment)
    if key is None:
        raise EvidenceInvalid(
            Reason.ISSUER_KEY_NOT_IN_FORCE,
            f"{statement.kid} was no key of the issuer at block {header.number}",
        )
    return key


def verify_statement(statement: SignedObject, key: VerifyingKey) -> None:
    """Raises: EvidenceInvalid STATEMENT_SIGNATURE unless `key` signed the statement."""
    try:
        statement.verify(key)
    except StatementError as error:
        raise EvidenceInvalid(Reason.STATEMENT_SIGNATURE, str(error)) from error


def authority(
    statement: SignedObject, histories: ProvenHistories, relying: CountryCode, at_block: int, known_at: int
) -> Authorisation:
    """Whether the issuer was authorised at `at_block`, by what was known at `known_at`, and why.

    Raises:
        HistoryMissing: the bundle lacks a history that the answer needs, e.g. of the relying country.
    """
    view = _ProvenTrust(histories)
    return authorised(view, statement.issuer.address, statement.document_type, relying, at_block, known_at)


def require_authority(answer: Authorisation) -> Authorisation:
    """Raises: EvidenceInvalid with the code of the link that failed, unless authorised."""
    if not answer.authorised:
        known = Reason.__members__
        reason = known.get(answer.reason, Reason.ISSUER_NOT_AUTHORISED)
        raise EvidenceInvalid(reason, answer.explanation)
    return answer


@dataclass(frozen=True, slots=True)
class _Ownership:
    """An account that controlled the identity between two blocks, both included."""

    owner: Address
    first: int
    last: int | None


def _ownerships(statement: SignedObject, histories: ProvenHistories) -> list[_Ownership]:
    records = histories.records(Contract.IDENTITY_REGISTRY, identity_key(statement.issuer.address))
    spans = [_Ownership(statement.issuer.address, 0, None)]
    for item in records:
        if record_kind(item.record) == _OWNER_RECORD:
            owner = Address.from_hex(cast(str, decode_record(_OWNER_TYPES, item.record)[1]))
            spans[-1] = _Ownership(spans[-1].owner, spans[-1].first, item.block_number)
            spans.append(_Ownership(owner, item.block_number, None))
    return [span for span in spans if any(span.owner)]


def status_records(statement: SignedObject, histories: ProvenHistories) -> list[HistoryRecord]:
    """What the issuer said on the ledger about the statement, in the order of blocks.

    The DocumentStatus contract keeps what each account said; the issuer's are those made by whichever account
    controlled the identity at that block.

    Raises:
        HistoryMissing: the bundle proves nothing about one of these accounts.
    """
    found: list[HistoryRecord] = []
    for span in _ownerships(statement, histories):
        key = document_status_key(span.owner, statement.id)
        for item in histories.records(Contract.DOCUMENT_STATUS, key):
            within = span.first <= item.block_number and (span.last is None or item.block_number <= span.last)
            if within and item not in found:
                found.append(item)
    return sorted(found, key=lambda item: item.block_number)


_STATUS_REASONS: Final = {
    DocumentStatus.REVOKED: Reason.DOCUMENT_REVOKED,
    DocumentStatus.SUSPENDED: Reason.DOCUMENT_SUSPENDED,
    DocumentStatus.SUPERSEDED: Reason.DOCUMENT_SUPERSEDED,
}


def require_active(records: Sequence[HistoryRecord], at_block: int, known_at: int) -> DocumentStatusState:
    """The document's status at `at_block`, by what was known at `known_at`.

    Raises:
        EvidenceInvalid: DOCUMENT_REVOKED, DOCUMENT_SUSPENDED or DOCUMENT_SUPERSEDED unless active.
    """
    state = status_at(records, at_block, known_at)
    if state.status is DocumentStatus.ACTIVE or state.change is None:
        return state
    change = state.change
    successor = f", by statement {change.new_id}" if change.new_id else ""
    raise EvidenceInvalid(
        _STATUS_REASONS[state.status],
        f"{state.status.lower()} since block {change.effective_block}{successor} (recorded at block "
        f"{change.recorded_at}, reason {change.reason})",
    )
