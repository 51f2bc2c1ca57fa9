"""The ledger's decisions, pure: which statements are admitted, which stage a statement has reached.

Imports neither grpc nor sqlalchemy nor web3 nor generated code. `check_statements` may run in another
process: everything it takes and gives can be pickled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from silkledger.envelope import SignedObject
from silkledger.keys import VerifyingKey
from silkledger.keys.account import address_of
from silkledger.keys.suites import Suite
from silkledger.log.index import manifest_records, statement_records
from silkledger.log.tree import leaf_hash
from silkledger.manifest import is_manifest, parse_manifest
from silkledger.manifest_leaves import split_leaves
from silkledger.registry.identity import CONTROLLER, IdentityState
from silkledger.statement import SignedStatement, StatementError, parse_statement
from silkledger.statement_shape import Read, StatementShape
from silkledger.values import Address, BlockRef, Did

Parsed = TypeVar("Parsed", bound=SignedObject)

RELAY: Final = "relay"
"""ERC-1056 delegate type of an account that may submit an issuer's statements (docs/formats/identity.md)."""

MAX_BATCH_BYTES: Final = 3 * 1024 * 1024
"""Most bytes of statements in one call."""


class Stage(IntEnum):
    """The evidence axis; the numbers are the wire's. The four words never stand for each other."""

    ACCEPTED = 1
    LOGGED = 2
    ANCHORED = 3
    FINAL = 4


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with the statement at `index` of a call."""

    index: int
    field: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Supersession:
    """A statement of a call that says it supersedes another."""

    index: int
    statement_id: bytes
    subject: str
    supersedes: bytes


class CheckedRun(NamedTuple):
    """What is kept of a run of a call's statements that were checked: what storing and searching need.

    Flat bytes, so that it is cheap to hand from a verifying process to the one that commits. `good` are the
    indices of what passed; the other fields speak of those, in that order.
    """

    violations: tuple[Violation, ...]
    good: tuple[int, ...]
    ids: bytes
    """Statement ids, 32 bytes each."""
    leaf_hashes: bytes
    """RFC 9162 leaf hashes, 32 bytes each."""
    records: bytes
    """Index records (`silkledger.projections.log_index`), each with its index in the call as item."""
    types: tuple[str, ...]
    superseding: tuple[Supersession, ...]

    def id_list(self) -> list[bytes]:
        return [self.ids[at : at + 32] for at in range(0, len(self.ids), 32)]


def join_runs(runs: Sequence[CheckedRun]) -> CheckedRun:
    """The runs of one call, in order, as one."""
    if len(runs) == 1:
        return runs[0]
    return CheckedRun(
        tuple(item for run in runs for item in run.violations),
        tuple(item for run in runs for item in run.good),
        b"".join(run.ids for run in runs),
        b"".join(run.leaf_hashes for run in runs),
        b"".join(run.records for run in runs),
        tuple(item for run in runs for item in run.types),
        tuple(item for run in runs for item in run.superseding),
    )


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What admission needs of the caller's identity as of one block. Small, so that it can go to a worker."""

    did: Did
    owner: Address
    deactivated: bool
    methods: Mapping[str, bytes]
    """Public keys in force, multicodec, by fragment."""
    relays: frozenset[Address] = frozenset()
    """Accounts that the issuer named on chain to submit for it, and that have not expired."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """An anchor on chain that covers a leaf."""

    block: BlockRef
    tx_hash: bytes
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class TreeHead:
    """Size and root of the log at one moment."""

    size: int
    root: bytes


def issuer_keys(state: IdentityState) -> IssuerKeys:
    """The part of an identity's state that admission needs."""
    methods = {fragment: key.to_multicodec() for fragment, key in state.methods.items()}
    relays = frozenset(item.address for item in state.delegates.values() if item.purpose == RELAY)
    return IssuerKeys(state.did, state.owner, state.deactivated, methods, relays)


@lru_cache(maxsize=4096)
def _controller(public: bytes) -> tuple[Address, VerifyingKey]:
    """The address of a controller's key, and the key: decompressing the point costs a tenth of a check."""
    return address_of(public), VerifyingKey(Suite.ES256K, public)


def claimed_issuer(raws: Sequence[bytes]) -> Did | None:
    """Whom the first well-formed object of a call speaks for, by its own word. Nothing is verified here."""
    for raw in raws:
        try:
            return (parse_manifest if is_manifest(raw) else parse_statement)(raw).issuer
        except StatementError:
            continue
    return None


def key_of(statement: SignedObject, issuer: IssuerKeys) -> VerifyingKey | None:
    """The verification method that the statement's key id names, if the issuer has it.

    For `#controller` the statement carries the public key, and its address must be the owner's.
    """
    did, _, fragment = statement.kid.partition("#")
    if did != issuer.did.text:
        return None
    if fragment == CONTROLLER:
        public = statement.controller_key
        if public is None:
            return None
        address, key = _controller(public)
        return key if address == issuer.owner else None
    encoded = issuer.methods.get(fragment)
    return None if encoded is None else VerifyingKey.from_multicodec(encoded)


def check_statement(index: int, raw: bytes, issuer: IssuerKeys) -> SignedStatement | Violation:
    """One statement of a call: `_check` with the strict parser of statements."""
    return _check(index, raw, issuer, parse_statement)


def _check(
    index: int, raw: bytes, issuer: IssuerKeys, parse: Callable[[bytes], Parsed]
) -> Parsed | Violation:
    """Parse strictly, match the issuer with the caller, find its key, verify the signature. In this order:

    (1) the bytes are a signed statement (or manifest); (2) it speaks for the caller, or for whom the
    caller relays; (3) the identity is
    alive and has the key that the key id names; (4) the signature is that key's. Accreditation is not looked
    at here.
    """
    try:
        statement = parse(raw)  # (1)
    except StatementError as error:
        return Violation(index, error.field, error.reason, error.detail)
    if statement.issuer != issuer.did:  # (2)
        if statement.issuer.chain_id != issuer.did.chain_id:
            return Violation(index, "issuer", "ISSUER_OTHER_CHAIN", "the issuer's DID is of another chain")
        return Violation(
            index,
            "issuer",
            "ISSUER_NOT_CALLER",
            "the issuer is neither the calling organisation nor the one that it relays for in this call",
        )
    if issuer.deactivated:  # (3)
        return Violation(index, "issuer", "ISSUER_DEACTIVATED", "the issuer's identity was deactivated")
    key = key_of(statement, issuer)
    if key is None:
        return Violation(index, "kid", "KEY_UNKNOWN", "the issuer has no such verification method in force")
    try:
        statement.verify(key)  # (4)
    except StatementError as error:
        return Violation(index, error.field, error.reason, error.detail)
    return statement


class _Run:
    """What passed of a run of a call's statements, as it grows."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.good: list[int] = []
        self.ids: list[bytes] = []
        self.hashes: list[bytes] = []
        self.records: list[bytes] = []
        self.types: list[str] = []
        self.superseding: list[Supersession] = []

    def add(self, index: int, raw: bytes, item: SignedStatement | Read, document_type: str) -> None:
        self.good.append(index)
        self.ids.append(item.id)
        self.hashes.append(leaf_hash(raw))
        self.records.append(statement_records(index, item.id, item.digest, item.subject))
        self.types.append(document_type)

    def done(self) -> CheckedRun:
        return CheckedRun(
            tuple(self.violations),
            tuple(self.good),
            b"".join(self.ids),
            b"".join(self.hashes),
            b"".join(self.records),
            tuple(self.types),
            tuple(self.superseding),
        )


def check_statements(first: int, raws: Sequence[bytes], issuer: IssuerKeys) -> CheckedRun:
    """`check_statement` over a run of a call's statements, the first of which has index `first`.

    A statement of the same shape as one that passed is by the same issuer under the same key: only what is
    its own is looked at, and if anything is wrong with that, `check_statement` says what.
    """
    run = _Run()
    shapes: dict[int, tuple[StatementShape, VerifyingKey, str]] = {}  # by the length of what was read last
    for index, raw in enumerate(raws, first):
        known = shapes.get(len(raw))
        if known is not None:
            shape, key, kind = known
            read = shape.read(raw)
            if read is not None and key.holds(read.sig_structure, read.id, read.signature):
                run.add(index, raw, read, kind)
                continue
        item = check_statement(index, raw, issuer)
        if isinstance(item, Violation):
            run.violations.append(item)
            continue
        kind = sys.intern(str(item.document_type))
        run.add(index, raw, item, kind)
        made, own = StatementShape.of(item), key_of(item, issuer)
        if made is not None and own is not None:
            shapes[len(raw)] = made, own, kind
        if item.supersedes is not None:
            superseding = Supersession(index, bytes(item.id), item.subject, bytes(item.supersedes))
            run.superseding.append(superseding)
    return run.done()


def check_manifest(raw: bytes, leaves: bytes, issuer: IssuerKeys) -> CheckedRun:
    """A manifest with its documents' leaves, as `check_statement` checks a statement; then (5) the leaves
    are the manifest's.
    """
    item = _check(0, raw, issuer, parse_manifest)
    if isinstance(item, Violation):
        return CheckedRun((item,), (), b"", b"", b"", (), ())
    try:
        documents = split_leaves(item, leaves)  # (5)
    except StatementError as error:
        refused = Violation(0, error.field, error.reason, error.detail)
        return CheckedRun((refused,), (), b"", b"", b"", (), ())
    superseding: tuple[Supersession, ...] = ()
    if item.supersedes is not None:
        superseding = (Supersession(0, bytes(item.id), item.subject, bytes(item.supersedes)),)
    pairs = ((document.digest, document.salted_subject) for document in documents)
    return CheckedRun(
        (),
        (0,),
        bytes(item.id),
        leaf_hash(raw),
        manifest_records(item.id, item.subject, pairs),
        (str(item.document_type),),
        superseding,
    )


def supersession_violations(
    superseding: Sequence[Supersession], issuer: str, known: Mapping[bytes, tuple[str, str]]
) -> list[Violation]:
    """Supersessions of a known statement of another issuer or about another subject.

    `known` maps statement ids to (issuer, subject): of what was registered before, and of this call. One
    that supersedes an unknown statement is admitted: it may be in another log.
    """
    found = []
    for item in superseding:
        earlier = known.get(item.supersedes)
        if earlier is not None and earlier != (issuer, item.subject):
            found.append(
                Violation(
                    item.index,
                    "supersedes",
                    "SUPERSEDES_MISMATCH",
                    "supersedes a statement of another issuer or about another subject",
                )
            )
    return found


def stage_of(leaf_index: int | None, anchor: Anchored | None, final_number: int) -> Stage:
    """The stage of a statement, from its leaf, the first anchor that covers it, and the last final block."""
    if leaf_index is None:
        return Stage.ACCEPTED
    if anchor is None:
        return Stage.LOGGED
    return Stage.FINAL if anchor.block.number <= final_number else Stage.ANCHORED


def may_read_entry(caller: Did, roles: frozenset[str], issuer: str, audience: Sequence[Did]) -> bool:
    """Entries are for the issuer, the audience that the statement names, auditors and the operator."""
    if not roles.isdisjoint({"auditor", "operator"}):
        return True
    return str(caller) == issuer or caller in audience
