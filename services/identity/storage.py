"""The identity service's tables and every statement of SQL it runs. No decision is made here.

Chain facts are the follower's projections. All writing functions run in the caller's transaction: the use
case decides what is one commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.domain import Organisation
from services.identity.status_lists import rows as status_lists
from silkledger.evm.calls import NotConsumed
from silkledger.evm.tables import ATTEMPT, INTENT, LANE_TABLES
from silkledger.projections import accreditations, calls, chain, histories
from silkledger.projections.calls import CallEvent, CallResult, call_events
from silkledger.projections.chain import block_at
from silkledger.runtime import idempotency
from silkledger.runtime.migrations import collect
from silkledger.values import Address, BlockRef, CountryCode, Did

RELAY: Final = "relay"
"""Kind of the intents that send a signed call; their key is the call's digest in hex."""

own = MetaData()

_SEQUENCE: Final = BigInteger().with_variant(Integer(), "sqlite")

# Who is enrolled. A row is never changed.
organisation = Table(
    "organisation",
    own,
    Column("did", String(80), primary_key=True),
    Column("name", String(140), nullable=False),
    Column("country", String(2), nullable=False),
    # One organisation per identifier; NULL where it has none.
    Column("lei", String(20), unique=True),
    Column("uscc", String(18), unique=True),
    Column("bic", String(11), unique=True),
    Column("endpoint", String(256), nullable=False),
    Column("enrolled_ms", BigInteger, nullable=False),
    # secp256k1, 33 bytes compressed; the DID is its address.
    Column("controller_key", LargeBinary(33), nullable=False),
    # Leaf first, PEM, as it was issued.
    Column("certificate_chain", Text, nullable=False),
)
Index("organisation_by_country", organisation.c.country, organisation.c.did)

organisation_role = Table(
    "organisation_role",
    own,
    Column("role", String(32), primary_key=True),
    Column("did", String(80), ForeignKey("organisation.did"), primary_key=True),
)

# Signed calls that were taken for relay. What became of each is in the chain's projections.
relayed_call = Table(
    "relayed_call",
    own,
    Column("actor", LargeBinary(20), primary_key=True),
    Column("call_id", LargeBinary(32), primary_key=True),
    # EIP-712 digest of the call.
    Column("digest", LargeBinary(32), nullable=False),
    Column("organisation", String(80), nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
)

# Who had what committed. One row per call that wrote something.
audit = Table(
    "audit",
    own,
    Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("organisation", String(80), nullable=False),
    Column("method", String(64), nullable=False),
    Column("request_id", String(36), nullable=False),
    # What it was about: the enrolled DID, or the contract function called.
    Column("subject", String(120), nullable=False),
)


def whole_schema() -> MetaData:
    """Every table of the service's database: what the migrations produce."""
    return collect(
        own,
        idempotency.metadata,
        LANE_TABLES,
        chain.TABLES,
        histories.TABLES,
        calls.TABLES,
        accreditations.metadata,
        status_lists.metadata,
    )


@dataclass(frozen=True, slots=True)
class OrganisationSearch:
    """What ListOrganisations looks for. None means: any."""

    role: str | None = None
    country: CountryCode | None = None
    identifier: str | None = None


@dataclass(frozen=True, slots=True)
class CallState:
    """Where a relayed call stands."""

    actor: Address
    call_id: bytes
    stage: int
    """Number of chain.v1.EvidenceStage: 1 accepted here, 3 in a block, 4 in a final block."""
    outcome: str
    """Word of chain.v1.CallOutcome; UNSPECIFIED while there is none."""
    reason: bytes = b""
    """The target's return data, when refused."""
    block: BlockRef | None = None
    tx_hash: bytes = b""


async def taken_claim(connection: AsyncConnection, row: Organisation) -> str | None:
    """The first of the request's fields whose identifier another organisation has."""
    for field, column, value in (
        ("controller_key", organisation.c.did, str(row.did)),
        ("lei", organisation.c.lei, row.lei),
        ("uscc", organisation.c.uscc, row.uscc),
        ("bic", organisation.c.bic, row.bic),
    ):
        if value and (await connection.execute(select(organisation.c.did).where(column == value))).first():
            return field
    return None


async def insert_organisation(
    connection: AsyncConnection, row: Organisation, controller_key: bytes, certificate_chain: str
) -> None:
    """Raises: sqlalchemy.exc.IntegrityError when an identifier was taken since `taken_claim`."""
    await connection.execute(
        insert(organisation),
        {
            "did": str(row.did),
            "name": row.name,
            "country": str(row.country),
            "lei": row.lei or None,
            "uscc": row.uscc or None,
            "bic": row.bic or None,
            "endpoint": row.endpoint,
            "enrolled_ms": row.enrolled_ms,
            "controller_key": controller_key,
            "certificate_chain": certificate_chain,
        },
    )
    roles = [{"did": str(row.did), "role": role} for role in sorted(row.roles)]
    await connection.execute(insert(organisation_role), roles)


async def organisation_of(connection: AsyncConnection, did: Did) -> Organisation | None:
    """The organisation enrolled under this DID."""
    row = (await connection.execute(select(organisation).where(organisation.c.did == str(did)))).one_or_none()
    return None if row is None else (await _with_roles(connection, [row]))[0]


async def search_organisations(
    connection: AsyncConnection, search: OrganisationSearch, after_did: str, limit: int
) -> list[Organisation]:
    """Matches in order of DID, after the given one."""
    query = (
        select(organisation).where(organisation.c.did > after_did).order_by(organisation.c.did).limit(limit)
    )
    if search.country is not None:
        query = query.where(organisation.c.country == str(search.country))
    if search.identifier is not None:
        columns = (organisation.c.lei, organisation.c.uscc, organisation.c.bic)
        query = query.where(or_(*(column == search.identifier for column in columns)))
    if search.role is not None:
        query = query.where(
            organisation.c.did.in_(
                select(organisation_role.c.did).where(organisation_role.c.role == search.role)
            )
        )
    return await _with_roles(connection, list((await connection.execute(query)).all()))


async def _with_roles(connection: AsyncConnection, rows: list[Any]) -> list[Organisation]:
    query = select(organisation_role).where(organisation_role.c.did.in_([row.did for row in rows]))
    roles: dict[str, set[str]] = {}
    for item in (await connection.execute(query)).all():
        roles.setdefault(item.did, set()).add(item.role)
    return [
        Organisation(
            did=Did(row.did),
            name=row.name,
            country=CountryCode(row.country),
            roles=frozenset(roles.get(row.did, ())),
            lei=row.lei or "",
            uscc=row.uscc or "",
            bic=row.bic or "",
            endpoint=row.endpoint,
            enrolled_ms=row.enrolled_ms,
        )
        for row in rows
    ]


async def insert_audit(
    connection: AsyncConnection,
    *,
    at_ms: int,
    caller: Did,
    method: str,
    request_id: str,
    subject: str,
) -> None:
    await connection.execute(
        insert(audit),
        {
            "at_ms": at_ms,
            "organisation": str(caller),
            "method": method,
            "request_id": request_id,
            "subject": subject,
        },
    )


async def relayed_digest(connection: AsyncConnection, actor: bytes, call_id: bytes) -> bytes | None:
    """The EIP-712 digest of the call that was taken under this actor and id."""
    query = select(relayed_call.c.digest).where(
        relayed_call.c.actor == actor, relayed_call.c.call_id == call_id
    )
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else bytes(found)


async def insert_relayed(
    connection: AsyncConnection, *, actor: bytes, call_id: bytes, digest: bytes, caller: Did, at_ms: int
) -> None:
    await connection.execute(
        insert(relayed_call),
        {
            "actor": actor,
            "call_id": call_id,
            "digest": digest,
            "organisation": str(caller),
            "accepted_ms": at_ms,
        },
    )


async def call_state(
    connection: AsyncConnection, actor: Address, call_id: bytes, final_number: int
) -> CallState | None:
    """Where the call stands; None when it is neither queued here nor on chain.

    Anybody can have an event that consumes nothing emitted for anybody's id: such an event counts only when
    it answers a transaction of ours.
    """
    digest = await relayed_digest(connection, actor, call_id)
    events = await call_events(connection, actor, call_id)
    for event in events:
        outcome = _outcome(event, digest)
        if outcome is None or (event.why is not None and not await _is_ours(connection, digest, event)):
            continue
        return CallState(
            actor,
            call_id,
            _FINAL if event.block_number <= final_number else _ANCHORED,
            outcome,
            event.reason,
            await block_at(connection, event.block_number),
            bytes(event.tx_hash),
        )
    return None if digest is None else CallState(actor, call_id, _ACCEPTED, "UNSPECIFIED")


_ACCEPTED: Final = 1
_ANCHORED: Final = 3
_FINAL: Final = 4

_NOT_CONSUMED: Final = {
    NotConsumed.BAD_SIGNATURE: "BAD_SIGNATURE",
    NotConsumed.EXPIRED: "EXPIRED",
    NotConsumed.FORBIDDEN_TARGET: "FORBIDDEN_TARGET",
    NotConsumed.UNDERFUNDED: "UNDERFUNDED",
}


def _outcome(event: CallResult, digest: bytes | None) -> str | None:
    """What the event says about the call with this digest (None: about whichever used the id up)."""
    if event.why is not None:
        return _NOT_CONSUMED.get(event.why)
    if digest is not None and event.digest != digest:
        return None
    words = {CallEvent.EXECUTED: "EXECUTED", CallEvent.REFUSED: "REFUSED", CallEvent.CONFLICT: "CONFLICT"}
    return words.get(event.event)


async def _is_ours(connection: AsyncConnection, digest: bytes | None, event: CallResult) -> bool:
    if digest is None:
        return False
    query = (
        select(ATTEMPT.c.id)
        .join(INTENT, INTENT.c.id == ATTEMPT.c.intent_id)
        .where(
            INTENT.c.kind == RELAY,
            INTENT.c.unique_key == digest.hex(),
            ATTEMPT.c.tx_hash == bytes(event.tx_hash),
        )
    )
    return (await connection.execute(query)).first() is not None
