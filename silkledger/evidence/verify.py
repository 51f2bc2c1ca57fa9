"""Verifying an evidence bundle offline: document digest + bundle + trust roots → verdict.

Every check has a stable name (docs/formats/verdict.md) and is reported, whether it passed, failed or could
not be made. Nothing is read but the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from silkledger.evidence import issuer as issuers
from silkledger.evidence.anchor import AnchorEvent, verify_anchor
from silkledger.evidence.bundle import Bundle, Contract, LogSection, decode_bundle
from silkledger.evidence.checklist import Checklist, need
from silkledger.evidence.cosignatures import Cosignature, verify_cosignatures
from silkledger.evidence.document import check_document, read_statement
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header, decode_header
from silkledger.evidence.header_trust import HeaderTrust, trust_headers
from silkledger.evidence.network import check_network
from silkledger.evidence.notices import later_notices
from silkledger.evidence.proven_histories import ProvenHistories, verify_states
from silkledger.evidence.reasons import Reason
from silkledger.evidence.registration import (
    CountingKeys,
    counting_log_keys,
    note_text,
    verify_checkpoint,
    verify_log_promise,
    verify_log_receipt,
    verify_registration,
)
from silkledger.evidence.times import utc
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, Verdict, outcome_of
from silkledger.log.checkpoint import Checkpoint
from silkledger.log.promise import Promise
from silkledger.manifest import SignedManifest
from silkledger.registry.histories import HistoryRecord
from silkledger.statement import SignedStatement
from silkledger.values import BlockRef, CountryCode, Digest


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The headers that the verdict speaks of."""

    headers: tuple[Header, ...]
    parent: Header
    """Of the registration block: issuer key and authority are taken at its end."""
    registration: Header
    as_of: Header
    known: Header
    """The newest block, at whose end the state was proven."""


@dataclass(slots=True)
class _Facts:
    """What the checks have established so far."""

    bundle: Bundle | None = None
    statement: SignedStatement | SignedManifest | None = None
    blocks: _Blocks | None = None
    trust: HeaderTrust | None = None
    histories: ProvenHistories | None = None
    anchor: AnchorEvent | None = None
    status: list[HistoryRecord] | None = None
    notices: list[str] = field(default_factory=list)


def verify_bundle(
    document_digest: Digest,
    bundle_bytes: bytes,
    roots: TrustRoots,
    *,
    relying_country: CountryCode | None = None,
    as_of: int | None = None,
) -> Verdict:
    """Verify that the document was registered, rightly issued and in force, as of a block.

    `as_of` is a block number, by default that of the bundle; another one needs its header in the bundle.
    `relying_country` is the country on whose behalf this is done, by default that of the trust roots.

    Steps, each a named check: (1) the bundle has its only form; (2) it is about the trusted network; (3) the
    statement parses, (4) and is about this document, or a manifest that holds it; (5) the headers decode, (6)
    and are trusted; (7) contract state stands under the newest header; (8) the anchor event stands in the
    registration block; (9) the log has keys that count there; (10) one of them signed the checkpoint, (11)
    which as many pinned witnesses cosigned as asked for; (12) the statement is a leaf under it, (13) which
    this anchor was the first to cover; (14) the log had promised to log it; (15) the named key was the
    issuer's at the end of the registration block's parent, (16) and signed the statement; (17) the issuer was
    authorised there, as known there, (18) and as known now; (19) the document was in force at the as-of
    block, as known there, (20) and as known now. "Now" is the bundle's newest block.

    Guarantees that an outcome of PASS or PASS_DEVELOPMENT_ONLY is given only if all twenty passed, but for
    (11) where the trust roots pin no witnesses and (14) where the bundle holds no promise; the latter outcome
    whenever the engine has no commit seals. This is no statement about the truth of the document's content,
    nor about anything after the bundle's newest block. Never raises for bad evidence.
    """
    facts, checks = _Facts(), Checklist()
    facts.bundle = checks.run("bundle", lambda: decode_bundle(bundle_bytes))  # (1)
    checks.run("network", lambda: check_network(need(facts.bundle).network, roots))  # (2)
    facts.statement = checks.run("statement", lambda: _statement(need(facts.bundle), roots))  # (3)
    checks.run("document", lambda: _document(facts, document_digest), str)  # (4)
    facts.blocks = checks.run("blocks", lambda: _blocks(need(facts.bundle), roots, as_of))  # (5)
    facts.trust = checks.run("headers", lambda: trust_headers(need(facts.blocks).headers, roots))  # (6)
    facts.histories = checks.run("state", lambda: _state(facts, roots))  # (7)
    facts.anchor = checks.run("anchor", lambda: _anchor(facts, roots))  # (8)
    _check_log(facts, checks, roots)  # (9) to (14)
    _check_issuer(facts, checks, relying_country or roots.relying_country)  # (15) to (20)
    assurance = facts.trust.assurance if facts.trust else Assurance.UNSPECIFIED
    return Verdict(
        outcome=outcome_of(checks.checks, assurance),
        assurance=assurance,
        as_of=_ref(facts),
        checks=checks.checks,
        assumptions=_assumptions(facts),
        notices=tuple(facts.notices),
    )


def _statement(bundle: Bundle, roots: TrustRoots) -> SignedStatement | SignedManifest:
    statement = read_statement(bundle.statement)
    if statement.issuer.chain_id != roots.chain_id:
        raise EvidenceInvalid(
            Reason.ISSUER_OTHER_CHAIN, f"{statement.issuer} is not of chain {roots.chain_id}"
        )
    return statement


def _document(facts: _Facts, digest: Digest) -> str:
    return check_document(need(facts.statement), need(facts.bundle).document, digest)


def _blocks(bundle: Bundle, roots: TrustRoots, as_of: int | None) -> _Blocks:
    headers = tuple(decode_header(raw, roots.engine) for raw in bundle.headers)
    by_number = {header.number: header for header in headers}
    number = bundle.anchor.block_number
    registration, parent = by_number.get(number), by_number.get(number - 1)
    if registration is None or parent is None:
        raise EvidenceInvalid(Reason.ANCHOR_BLOCK_MISSING, f"no headers of block {number} and its parent")
    wanted = headers[-1] if as_of is None else by_number.get(as_of)
    if wanted is None:
        raise EvidenceInvalid(Reason.AS_OF_NOT_IN_BUNDLE, f"the bundle has no header of block {as_of}")
    if wanted.number < number:
        raise EvidenceInvalid(
            Reason.AS_OF_BEFORE_REGISTRATION,
            f"at block {wanted.number} the document was not registered; it was at block {number}",
        )
    return _Blocks(headers, parent, registration, wanted, headers[-1])


def _state(facts: _Facts, roots: TrustRoots) -> ProvenHistories:
    addresses = {contract: roots.address_of(contract) for contract in Contract}
    return verify_states(need(facts.bundle).states, need(facts.blocks).known, addresses)


def _anchor(facts: _Facts, roots: TrustRoots) -> AnchorEvent:
    address = roots.address_of(Contract.LOG_ANCHOR)
    return verify_anchor(need(facts.bundle).anchor, need(facts.blocks).registration, address)


def _check_log(facts: _Facts, checks: Checklist, roots: TrustRoots) -> None:
    def log() -> LogSection:
        return need(facts.bundle).log

    keys = checks.run(  # (9)
        "log_key",
        lambda: counting_log_keys(
            log(),
            need(facts.anchor),
            need(facts.histories),
            need(facts.blocks).registration.number,
            roots.log,
        ),
    )
    checkpoint = checks.run(  # (10)
        "checkpoint", lambda: verify_checkpoint(log().checkpoint, need(keys), len(log().cosigners))
    )
    checks.run("cosignatures", lambda: _cosignatures(log(), roots, need(checkpoint)), _cosigned)  # (11)
    receipt = checks.run(  # (12)
        "receipt",
        lambda: verify_log_receipt(log().receipt, need(facts.bundle).statement, need(keys), need(checkpoint)),
    )
    checks.run(  # (13)
        "registration",
        lambda: verify_registration(
            need(checkpoint), log().consistency, need(facts.anchor), need(receipt).index
        ),
    )
    checks.run("promise", lambda: _promise(facts, need(keys)), _promised)  # (14)


def _cosignatures(log: LogSection, roots: TrustRoots, _: Checkpoint) -> tuple[Cosignature, ...]:
    """Of a checkpoint whose form and first line were verified."""
    return verify_cosignatures(note_text(log.checkpoint), log.cosigners, roots.witnesses)


def _cosigned(found: Sequence[Cosignature]) -> str:
    return f"cosigned by {', '.join(map(str, found))}"


def _promise(facts: _Facts, keys: CountingKeys) -> Promise:
    return verify_log_promise(need(facts.bundle).promise, keys, need(facts.statement).id)


def _promised(promise: Promise) -> str:
    return f"accepted {utc(promise.accepted_at_ms // 1000)}, to be logged by {utc(promise.log_by_ms // 1000)}"


def _check_issuer(facts: _Facts, checks: Checklist, relying: CountryCode | None) -> None:
    key = checks.run(  # (15)
        "issuer_key",
        lambda: issuers.issuer_key(need(facts.statement), need(facts.histories), need(facts.blocks).parent),
    )
    checks.run(
        "statement_signature", lambda: issuers.verify_statement(need(facts.statement), need(key))
    )  # (16)
    checks.run("authority_known", lambda: _authority(facts, relying, known_now=False))  # (17)
    checks.run("authority_in_force", lambda: _authority(facts, relying, known_now=True))  # (18)
    checks.run("status_known", lambda: _status(facts, known_now=False))  # (19)
    checks.run("status_in_force", lambda: _status(facts, known_now=True))  # (20)
    if facts.statement and facts.histories and facts.blocks:
        facts.notices += later_notices(
            facts.statement, facts.histories, facts.blocks.as_of, facts.blocks.known, relying
        )


def _authority(facts: _Facts, relying: CountryCode | None, *, known_now: bool) -> None:
    if relying is None:
        raise EvidenceInvalid(Reason.RELYING_COUNTRY_MISSING, "say on behalf of which country to verify")
    blocks = need(facts.blocks)
    known_at = blocks.known.number if known_now else blocks.parent.number
    answer = issuers.authority(
        need(facts.statement), need(facts.histories), relying, blocks.parent.number, known_at
    )
    issuers.require_authority(answer)


def _status(facts: _Facts, *, known_now: bool) -> None:
    blocks = need(facts.blocks)
    records: Sequence[HistoryRecord] = issuers.status_records(need(facts.statement), need(facts.histories))
    known_at = blocks.known.number if known_now else blocks.as_of.number
    issuers.require_active(records, blocks.as_of.number, known_at)


def _ref(facts: _Facts) -> BlockRef | None:
    return facts.blocks.as_of.ref if facts.blocks else None


def _assumptions(facts: _Facts) -> tuple[str, ...]:
    return (
        "The trust roots are right: chain id, genesis, contract addresses, and the contracts at them.",
        *(facts.trust.assumptions if facts.trust else ()),
    )
