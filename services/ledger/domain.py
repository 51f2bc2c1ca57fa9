"""The ledger's decisions, pure: which statements are admitted, which stage a statement has reached.

Imports neither grpc nor sqlalchemy nor web3 nor generated code. `check_statements` may run in another
process: everything it takes and gives can be pickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from silkledger.keys import VerifyingKey
from silkledger.keys.account import address_of
from silkledger.keys.suites import Suite
from silkledger.registry.identity import CONTROLLER, IdentityState
from silkledger.statement import SignedStatement, StatementError, parse_statement
from silkledger.values import Address, BlockRef, Did

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


class Admitted(NamedTuple):
    """What is kept of a statement that passed `check_statement`: the columns that searches need.

    Plain values, so that it is cheap to hand from a verifying process to the one that commits.
    """

    id: bytes
    document_digest: bytes
    issuer: str
    subject: str
    document_type: str
    supersedes: bytes | None

    @classmethod
    def of(cls, statement: SignedStatement) -> Admitted:
        supersedes = None if statement.supersedes is None else bytes(statement.supersedes)
        return cls(
            bytes(statement.id),
            bytes(statement.digest),
            statement.issuer.text,
            statement.subject,
            str(statement.document_type),
            supersedes,
        )


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What admission needs of the caller's identity as of one block. Small, so that it can go to a worker."""

    did: Did
    owner: Address
    deactivated: bool
    methods: Mapping[str, bytes]
    """Public keys in force, multicodec, by fragment."""


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
    return IssuerKeys(state.did, state.owner, state.deactivated, methods)


@lru_cache(maxsize=4096)
def _controller(public: bytes) -> tuple[Address, VerifyingKey]:
    """The address of a controller's key, and the key: decompressing the point costs a tenth of a check."""
    return address_of(public), VerifyingKey(Suite.ES256K, public)


def key_of(statement: SignedStatement, issuer: IssuerKeys) -> VerifyingKey | None:
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
    """Parse strictly, match the issuer with the caller, find its key, verify the signature. In this order:

    (1) the bytes are a signed statement; (2) it speaks for the caller; (3) the identity is alive and has the
    key that the key id names; (4) the signature is that key's. Accreditation is not looked at here.
    """
    try:
        statement = parse_statement(raw)  # (1)
    except StatementError as error:
        return Violation(index, error.field, error.reason, error.detail)
    if statement.issuer != issuer.did:  # (2)
        if statement.issuer.chain_id != issuer.did.chain_id:
            return Violation(index, "issuer", "ISSUER_OTHER_CHAIN", "the issuer's DID is of another chain")
        return Violation(index, "issuer", "ISSUER_NOT_CALLER", "the issuer is not the calling organisation")
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


def check_statements(
    first: int, raws: Sequence[bytes], issuer: IssuerKeys
) -> list[SignedStatement | Violation]:
    """`check_statement` over a run of a call's statements, the first of which has index `first`."""
    return [check_statement(first + offset, raw, issuer) for offset, raw in enumerate(raws)]


def admit_statements(first: int, raws: Sequence[bytes], issuer: IssuerKeys) -> list[Admitted | Violation]:
    """`check_statements`, of which only what is kept comes back."""
    results = check_statements(first, raws, issuer)
    return [item if isinstance(item, Violation) else Admitted.of(item) for item in results]


class Superseding(Protocol):
    """The part of a statement that supersession is about; `Admitted` and `SignedStatement` have it."""

    @property
    def id(self) -> bytes: ...
    @property
    def issuer(self) -> object: ...
    @property
    def subject(self) -> str: ...
    @property
    def supersedes(self) -> bytes | None: ...


def supersession_violations(
    statements: Sequence[tuple[int, Superseding]], known: Mapping[bytes, tuple[str, str]]
) -> list[Violation]:
    """Supersessions of a known statement of another issuer or about another subject.

    `statements` come with their index in the call. `known` maps statement ids to (issuer, subject). One
    that supersedes an unknown statement is admitted: it may be in another log.
    """
    of_call = {bytes(item.id): (str(item.issuer), item.subject) for _, item in statements}
    found = []
    for index, item in statements:
        if item.supersedes is None:
            continue
        earlier = known.get(bytes(item.supersedes)) or of_call.get(bytes(item.supersedes))
        if earlier is not None and earlier != (str(item.issuer), item.subject):
            found.append(
                Violation(
                    index,
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
