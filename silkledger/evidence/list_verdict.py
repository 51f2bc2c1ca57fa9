"""Verifying a signed status list offline: whose it is, that the chain records it, and that it is the newest.

Whose key signed it is shown by an evidence bundle of any statement by the issuer, which proves the issuer's
identity, or is what the verifier pins. That it is recorded is shown by a completeness proof of the events
`StatusListPublished` in a range of blocks. Nothing is read but the arguments. Format:
docs/formats/status-list.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from silkledger.evidence.bundle import Contract, decode_bundle
from silkledger.evidence.checklist import Checklist, need
from silkledger.evidence.completeness import EventQuestion, decode_completeness
from silkledger.evidence.completeness_verdict import CompletenessVerdict, ProvenEvent, verify_completeness
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.event_abi import EventDeclaration
from silkledger.evidence.list_equivocation import identity_from, proven_key
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, CheckResult, Verdict, outcome_of
from silkledger.keys import VerifyingKey
from silkledger.registry.histories import status_list_id
from silkledger.status_bits import IndexOutOfRange, StatusBits
from silkledger.status_list import StatusList, StatusListError, parse_status_list
from silkledger.values import Address

PUBLISHED: Final = EventDeclaration.parse(
    "StatusListPublished(address indexed identity, bytes32 indexed listId, uint64 sequence, bytes32 digest)"
)
"""What the IdentityRegistry emits for each list."""

_REASONS: Final = {
    "STATUS_LIST_MALFORMED": Reason.STATUS_LIST_MALFORMED,
    "STATUS_LIST_SIGNATURE": Reason.STATUS_LIST_SIGNATURE,
    "STATUS_LIST_NOT_YET_VALID": Reason.STATUS_LIST_NOT_YET_VALID,
    "STATUS_LIST_EXPIRED": Reason.STATUS_LIST_EXPIRED,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a verifier was given beside the list. What a missing part would show is not checked."""

    key: VerifyingKey | None = None
    """The issuer's key, pinned by the verifier: then no evidence is needed."""
    evidence: bytes | None = None
    """An evidence bundle of any statement by the issuer."""
    events: bytes | None = None
    """A completeness proof of the events that record lists."""


@dataclass(frozen=True, slots=True)
class ListVerdict:
    """The answer."""

    verdict: Verdict
    signed: StatusList | None
    """None: the bytes are no status list."""
    bits: StatusBits | None
    range: tuple[int, int] | None
    """First and last block of the completeness proof."""

    def is_set(self, index: int) -> bool | None:
        """What the list says of an entry; None where the list cannot be read. Mind the verdict first.

        Raises: EvidenceInvalid STATUS_LIST_RANGE.
        """
        try:
            return None if self.bits is None else self.bits.is_set(index)
        except IndexOutOfRange as error:
            raise EvidenceInvalid(Reason.STATUS_LIST_RANGE, str(error)) from error


@dataclass(frozen=True, slots=True)
class _Recorded:
    sequence: int
    digest: bytes
    block: int


def verify_status_list(raw: bytes, roots: TrustRoots, at: datetime, shown: Shown = Shown()) -> ListVerdict:
    """Verify a signed status list against what the verifier trusts.

    Steps, each a named check: (1) `list`: it has its only form, and its bits expand; (2) `period`: it is
    valid at `at`; (3) `key`: the key that it names is the issuer's; (4) `signature`: that key signed it;
    (5) `events`: the completeness proof holds; (6) `recorded`: by it the chain records this list under its
    number; (7) `newest`: and no later number up to the proof's last block.

    Guarantees with PASS or PASS_DEVELOPMENT_ONLY that at the end of the proof's last block this was the
    issuer's newest list of the series. Says nothing of later blocks. Never raises for bad evidence.
    """
    checks = Checklist()
    read = checks.run("list", lambda: _read(raw))  # (1)
    signed, bits = read if read is not None else (None, None)
    checks.run("period", lambda: _reasoned(lambda: need(signed).check_period(at)))  # (2)
    key = checks.run("key", lambda: _key(need(signed), roots, shown))  # (3)
    checks.run("signature", lambda: _reasoned(lambda: need(signed).verify(need(key))))  # (4)
    answer = checks.run("events", lambda: _events(shown.events, roots))  # (5)
    records = _records(answer.events, signed) if answer is not None and signed is not None else None
    checks.run("recorded", lambda: _check_recorded(need(signed), need(records)))  # (6)
    checks.run("newest", lambda: _check_newest(need(signed), need(records)))  # (7)
    assurance = answer.verdict.assurance if answer is not None else Assurance.UNSPECIFIED
    verdict = Verdict(
        outcome=outcome_of(checks.checks, assurance),
        assurance=assurance,
        as_of=answer.verdict.as_of if answer is not None else None,
        checks=checks.checks,
        assumptions=answer.verdict.assumptions if answer is not None else (),
        notices=("The issuer's key is the verifier's own word.",) if shown.key is not None else (),
    )
    blocks = decode_completeness(shown.events).question if answer is not None and shown.events else None
    return ListVerdict(verdict, signed, bits, (blocks.first, blocks.last) if blocks else None)


def _reasoned(step: Callable[[], None]) -> None:
    try:
        step()
    except StatusListError as error:
        raise EvidenceInvalid(_REASONS[error.reason], error.detail) from error


def _read(raw: bytes) -> tuple[StatusList, StatusBits]:
    try:
        signed = parse_status_list(raw)
        return signed, signed.bits()
    except StatusListError as error:
        raise EvidenceInvalid(_REASONS[error.reason], error.detail) from error


def _key(signed: StatusList, roots: TrustRoots, shown: Shown) -> VerifyingKey:
    if shown.key is not None:
        return shown.key
    if shown.evidence is None:
        raise EvidenceInvalid(Reason.STATUS_LIST_KEY_NOT_SHOWN, f"nothing shows what {signed.method} is")
    section = identity_from(decode_bundle(shown.evidence), signed.issuer)
    if section is None:
        raise EvidenceInvalid(
            Reason.HISTORY_NOT_IN_BUNDLE, f"the evidence proves nothing about the identity of {signed.issuer}"
        )
    return proven_key(section, signed, roots)


def _events(data: bytes | None, roots: TrustRoots) -> CompletenessVerdict:
    """Raises: EvidenceInvalid, with the reason of the first check of the completeness proof that failed."""
    if data is None:
        raise EvidenceInvalid(Reason.STATUS_LIST_RECORD_NOT_SHOWN, "no proof shows what the chain records")
    given = decode_completeness(data).question
    registry = roots.address_of(Contract.IDENTITY_REGISTRY)
    answer = verify_completeness(
        data, roots, EventQuestion(registry, PUBLISHED.topic, given.first, given.last), PUBLISHED
    )
    for check in answer.verdict.checks:
        if check.result is not CheckResult.PASS:
            raise EvidenceInvalid(Reason(check.reason), check.detail)
    return answer


def _records(events: Sequence[ProvenEvent], signed: StatusList) -> list[_Recorded]:
    """The lists of the series that the events record, in order."""
    ours = (signed.issuer.address, status_list_id(signed.id))
    found = []
    for event in events:
        arguments = event.arguments or {}
        if (_address(arguments["identity"]), arguments["listId"]) == ours:
            sequence, digest = cast(int, arguments["sequence"]), cast(bytes, arguments["digest"])
            found.append(_Recorded(sequence, digest, event.block.number))
    return found


def _address(value: object) -> Address:
    return Address(value) if isinstance(value, bytes) else Address.from_hex(str(value))


def _check_recorded(signed: StatusList, records: Sequence[_Recorded]) -> None:
    record = next((record for record in records if record.sequence == signed.sequence), None)
    if record is None:
        raise EvidenceInvalid(
            Reason.STATUS_LIST_NOT_RECORDED, f"no block of the range records number {signed.sequence}"
        )
    if record.digest != signed.digest:
        raise EvidenceInvalid(
            Reason.STATUS_LIST_RECORDED_OTHERWISE,
            f"block {record.block} records 0x{record.digest.hex()} as number {signed.sequence}",
        )


def _check_newest(signed: StatusList, records: Sequence[_Recorded]) -> None:
    later = next((record for record in records if record.sequence > signed.sequence), None)
    if later is not None:
        raise EvidenceInvalid(
            Reason.STATUS_LIST_REPLACED, f"block {later.block} records number {later.sequence}"
        )
