"""Verifying a completeness proof offline: question + proof + trust roots → all such events, or none.

Every check has a stable name (docs/formats/completeness.md) and is reported. Nothing is read but the
arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from silkledger.evidence.checklist import Checklist, need
from silkledger.evidence.completeness import (
    BlockReceipts,
    CompletenessProof,
    EventQuestion,
    decode_completeness,
)
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.event_abi import EventDeclaration
from silkledger.evidence.header import Header, decode_header
from silkledger.evidence.header_trust import HeaderTrust, trust_headers
from silkledger.evidence.network import check_network
from silkledger.evidence.reasons import Reason
from silkledger.evidence.receipts import (
    EventLog,
    Receipt,
    decode_receipt,
    receipts_root,
)
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, Verdict, outcome_of
from silkledger.values import BlockRef


@dataclass(frozen=True, slots=True)
class ProvenEvent:
    """One event with its place."""

    block: BlockRef
    transaction_index: int
    log_index: int
    """Among all logs of the block, as nodes count them."""
    receipt_log_index: int
    """Among the logs of its transaction's receipt."""
    log: EventLog
    arguments: Mapping[str, object] | None
    """By the names of the declaration that the verifier gave; None if it gave none."""


@dataclass(frozen=True, slots=True)
class CompletenessVerdict:
    """The answer."""

    verdict: Verdict
    events: tuple[ProvenEvent, ...]
    """All events of the kind in the range, in order. Empty unless `verdict.outcome.good`: part of an answer
    is none."""
    trust_roots: tuple[str, ...]
    """What of the trust roots the answer stands on, in sentences."""
    not_checked: tuple[str, ...]
    """What the answer does not say, in sentences."""


def verify_completeness(
    data: bytes, roots: TrustRoots, question: EventQuestion, declaration: EventDeclaration | None = None
) -> CompletenessVerdict:
    """Verify that `data` shows all events that `question` asks for, and return them.

    Steps, each a named check: (1) the proof has its only form; (2) it is about the trusted network; (3) it
    answers this question; (4) every header decodes, and every block of the range is there; (5) all headers
    are on the ledger; (6) each block's bloom rules such an event out, or all its receipts are there, under
    the header's receipts root; (7) with a `declaration`, every event's arguments decode by it.

    Guarantees that with an outcome of PASS or PASS_DEVELOPMENT_ONLY `events` are all of them and nothing
    else, if the blocks' blooms are right: where a bloom rules an event out, that rests on the validators, who
    refuse a block with a wrong one. Says nothing of other blocks. Never raises for bad evidence.
    """
    checks = Checklist()
    proof = checks.run("proof", lambda: decode_completeness(data))  # (1)
    checks.run("network", lambda: check_network(need(proof).network, roots))  # (2)
    checks.run("question", lambda: _check_question(need(proof).question, question))  # (3)
    headers = checks.run("blocks", lambda: _headers(need(proof), roots))  # (4)
    trust = checks.run("headers", lambda: trust_headers(need(headers), roots))  # (5)
    found = checks.run("receipts", lambda: _events(need(proof), need(headers)))  # (6)
    events = checks.run("events", lambda: _decoded(need(found), declaration))  # (7)
    assurance = trust.assurance if trust else Assurance.UNSPECIFIED
    verdict = Verdict(
        outcome=outcome_of(checks.checks, assurance),
        assurance=assurance,
        as_of=_as_of(headers, question),
        checks=checks.checks,
        assumptions=_assumptions(trust),
        notices=(),
    )
    good = verdict.outcome.good
    return CompletenessVerdict(
        verdict=verdict,
        events=tuple(events) if good and events else (),
        trust_roots=_trust_roots(roots, headers or ()),
        not_checked=_not_checked(question, declaration),
    )


def _check_question(given: EventQuestion, asked: EventQuestion) -> None:
    if given.contract != asked.contract:
        raise EvidenceInvalid(
            Reason.OTHER_CONTRACT, f"the proof is about {given.contract}, asked was {asked.contract}"
        )
    if given.topic != asked.topic:
        raise EvidenceInvalid(
            Reason.OTHER_EVENT,
            f"the proof is about events 0x{given.topic.hex()}, asked was 0x{asked.topic.hex()}",
        )
    if (given.first, given.last) != (asked.first, asked.last):
        raise EvidenceInvalid(
            Reason.OTHER_RANGE,
            f"the proof is about blocks {given.first} to {given.last}, "
            f"asked was {asked.first} to {asked.last}",
        )


def _headers(proof: CompletenessProof, roots: TrustRoots) -> tuple[Header, ...]:
    headers = tuple(decode_header(raw, roots.engine) for raw in proof.headers)
    question = proof.question
    expected = question.first
    for header in headers:
        if header.number in question:
            if header.number != expected:
                break
            expected += 1
    if expected <= question.last:
        raise EvidenceInvalid(
            Reason.RANGE_BLOCK_MISSING,
            f"the header of block {expected} is missing, or not in its place",
        )
    return headers


def _events(proof: CompletenessProof, headers: Sequence[Header]) -> list[ProvenEvent]:
    given = {block.number: block for block in proof.blocks}
    found: list[ProvenEvent] = []
    for header in headers:
        if header.number not in proof.question:
            continue
        block = given.pop(header.number, None)
        possible = proof.question.may_be_in(header)
        if possible and block is None:
            raise EvidenceInvalid(
                Reason.RECEIPTS_MISSING,
                f"the bloom of block {header.number} does not rule such an event out, "
                "and its receipts are not there",
            )
        if block is not None and not possible:
            raise EvidenceInvalid(
                Reason.RECEIPTS_NOT_NEEDED, f"the bloom of block {header.number} rules such an event out"
            )
        if block is not None:
            found += _events_of(header, _verified(block, header), proof.question)
    if given:
        raise EvidenceInvalid(Reason.RECEIPTS_NOT_NEEDED, f"block {min(given)} is not in the range")
    return found


def _verified(block: BlockReceipts, header: Header) -> list[Receipt]:
    """All receipts of the block: they decode, and rebuild the header's receipts root and bloom."""
    receipts = [decode_receipt(value) for value in block.receipts]
    union = 0
    for receipt in receipts:
        union |= int.from_bytes(receipt.logs_bloom, "big")
    bloom = int.from_bytes(header.logs_bloom, "big")
    if receipts_root(receipts) != header.receipts_root:
        used = max((receipt.cumulative_gas_used for receipt in receipts), default=0)
        if bloom & ~union or used < header.gas_used:
            # Only to say it better: a root that differs proves nothing about what was done.
            raise EvidenceInvalid(
                Reason.RECEIPTS_LEFT_OUT,
                f"the receipts of block {header.number} lack logs or gas that its header counts",
            )
        raise EvidenceInvalid(
            Reason.RECEIPTS_ROOT, f"the receipts of block {header.number} are not those of its header"
        )
    if union != bloom:
        raise EvidenceInvalid(
            Reason.RECEIPTS_BLOOM, f"the bloom of block {header.number} is not that of its receipts"
        )
    return receipts


def _events_of(header: Header, receipts: Sequence[Receipt], question: EventQuestion) -> list[ProvenEvent]:
    found: list[ProvenEvent] = []
    position = 0
    for index, receipt in enumerate(receipts):
        for place, log in enumerate(receipt.logs):
            if log.address == question.contract and log.topics[:1] == (question.topic,):
                found.append(ProvenEvent(header.ref, index, position, place, log, None))
            position += 1
    return found


def _decoded(events: Sequence[ProvenEvent], declaration: EventDeclaration | None) -> list[ProvenEvent]:
    if declaration is None:
        return list(events)
    return [
        ProvenEvent(
            event.block,
            event.transaction_index,
            event.log_index,
            event.receipt_log_index,
            event.log,
            declaration.decode(event.log),
        )
        for event in events
    ]


def _as_of(headers: Sequence[Header] | None, question: EventQuestion) -> BlockRef | None:
    return next((header.ref for header in headers or () if header.number == question.last), None)


def _assumptions(trust: HeaderTrust | None) -> tuple[str, ...]:
    return (
        "The trust roots are right: chain id, genesis, and the contract at the address asked for.",
        *(trust.assumptions if trust else ()),
        "The blooms of the blocks without receipts here are right: nodes refuse blocks with wrong ones.",
    )


def _trust_roots(roots: TrustRoots, headers: Sequence[Header]) -> tuple[str, ...]:
    pinned = [header.number for header in headers if roots.pin_of(header.number) == header.hash]
    return (
        f"chain {roots.chain_id}, genesis {roots.genesis_hash}, engine {roots.engine.value}",
        *(f"pinned block {number}: {roots.pin_of(number)}" for number in pinned),
    )


def _not_checked(question: EventQuestion, declaration: EventDeclaration | None) -> tuple[str, ...]:
    said = (
        f"blocks before {question.first} and after {question.last}",
        "that the code at the address is the published contract's",
        "whether what the events say is true",
    )
    return said if declaration else (*said, "the events' arguments: no declaration was given")
