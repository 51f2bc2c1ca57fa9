"""Identities, authorisations and accreditations as of a block: the pure folds over stored histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import storage
from services.identity.errors import BlockNotFinal, ChainNotFollowed
from services.identity.reading.pages import page_limit, position_of, token_of
from silkledger.projections.accreditations import list_grants
from silkledger.projections.chain import blocks_at
from silkledger.projections.histories import StoredHistories
from silkledger.registry import histories as h
from silkledger.registry.histories import HistoryMissing, HistoryRecord
from silkledger.registry.identity import IdentityState, did_document, identity_state
from silkledger.registry.trust import Authorisation, AuthorisationStep, MappingTrustView, authorised
from silkledger.registry.trust_records import AccreditationStatus, Grant, status_at
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockRef, CountryCode, Did, DocumentType

IDENTITY = "IdentityRegistry"
TRUST = "TrustRegistry"


class FinalBlocks(Protocol):
    """What the answers need of the follower."""

    @property
    def final(self) -> BlockRef:
        """Newest applied final block; number 0 stands for none."""
        ...


@dataclass(frozen=True, slots=True)
class Resolution:
    """A DID document with its metadata."""

    document: dict[str, object]
    metadata: dict[str, object]
    as_of: BlockRef


@dataclass(frozen=True, slots=True)
class Explained:
    """An authorisation with the blocks that its steps speak of."""

    answer: Authorisation
    blocks: dict[int, BlockRef]
    as_of: BlockRef


@dataclass(frozen=True, slots=True)
class Listed:
    """An accreditation with its status as of the block asked for."""

    grant: Grant
    status: AccreditationStatus
    recorded_at: BlockRef


class Questions:
    """Every answer is one reading transaction and names its block. Nothing here writes."""

    def __init__(self, database: Database, follower: FinalBlocks) -> None:
        self._database = database
        self._follower = follower

    @property
    def final_number(self) -> int:
        """Number of the last final block; 0 when there is none yet."""
        return self._follower.final.number

    async def health(self) -> str | None:
        """None when questions can be answered, else why not."""
        return None if self.final_number else "the follower has not reached a final block"

    async def as_of(self, connection: AsyncConnection, field: str, number: int | None) -> BlockRef:
        """Block `number`; None: the last final one.

        Raises: ChainNotFollowed; BlockNotFinal when the block is above the last final one, or not held.
        """
        final = self._follower.final
        if final.number == 0:
            raise ChainNotFollowed
        if number is None or number == final.number:
            return final
        if number > final.number:
            raise BlockNotFinal(field, number, final.number)
        found = await blocks_at(connection, [number])
        if number not in found:
            raise BlockNotFinal(field, number, final.number)
        return found[number]

    async def resolve(self, did: Did, as_of_block: int | None) -> Resolution:
        """The DID document as of a block. Every DID of this chain has one, also if nothing was recorded."""
        async with self._database.read() as connection:
            as_of = await self.as_of(connection, "as_of_block", as_of_block)
            final = self._follower.final
            records = await StoredHistories(connection).records(
                IDENTITY, h.identity_key(did.address), final.number
            )
            state = identity_state(did, records, as_of.time, as_of.number)
            later = next((r.block_number for r in records if r.block_number > as_of.number), None)
            wanted = [number for number in (state.last_change, later) if number is not None]
            blocks = await blocks_at(connection, wanted)
        metadata: dict[str, object] = {"deactivated": state.deactivated}
        if state.last_change is not None:
            metadata |= {"versionId": str(state.last_change), "updated": _iso(blocks[state.last_change])}
        if later is not None:
            metadata |= {"nextVersionId": str(later), "nextUpdate": _iso(blocks[later])}
        return Resolution(did_document(state), metadata, as_of)

    async def identity(self, did: Did) -> IdentityState:
        """The identity's state at the last final block."""
        async with self._database.read() as connection:
            final = await self.as_of(connection, "", None)
            records = await StoredHistories(connection).records(
                IDENTITY, h.identity_key(did.address), final.number
            )
        return identity_state(did, records, final.time)

    async def check_authorisation(
        self,
        issuer: Did,
        document_type: DocumentType,
        relying: CountryCode,
        as_of_block: int | None,
        known_at_block: int | None,
    ) -> Explained:
        """Whether the issuer was authorised at a block, by what was known at another, and why."""
        async with self._database.read() as connection:
            as_of = await self.as_of(connection, "as_of_block", as_of_block)
            known = as_of
            if known_at_block is not None:
                known = await self.as_of(connection, "known_at_block", known_at_block)
            records = await StoredHistories(connection).records(
                IDENTITY, h.identity_key(issuer.address), known.number
            )
            state = identity_state(issuer, records, as_of.time, as_of.number)
            stored, loaded = StoredHistories(connection), dict[bytes, Sequence[HistoryRecord]]()
            while True:
                try:
                    answer = authorised(
                        MappingTrustView(loaded),
                        issuer.address,
                        document_type,
                        relying,
                        as_of.number,
                        known.number,
                    )
                    break
                except HistoryMissing as missing:
                    loaded[missing.key] = await stored.records(TRUST, missing.key, known.number)
            answer = _of_living(answer, state)
            numbers = [step.recorded_at for step in answer.steps if step.recorded_at is not None]
            blocks = await blocks_at(connection, numbers)
        return Explained(answer, blocks, as_of)

    async def list_accreditations(
        self,
        issuer: Did | None,
        country: CountryCode | None,
        as_of_block: int | None,
        page_size: int,
        page_token: str,
    ) -> tuple[list[Listed], str]:
        """What was accredited up to a block, in order of recording, with its status then; and the next token.

        A list that was begun without a block goes on as of the block it was begun at.
        """
        question = ("accreditations", issuer, country, as_of_block)
        position = [int(part) for part in position_of(question, page_token).split(":") if part]
        limit = page_limit(page_size)
        async with self._database.read() as connection:
            wanted = position[0] if position else as_of_block
            as_of = await self.as_of(connection, "as_of_block", wanted)
            found = await list_grants(
                connection,
                issuer=None if issuer is None else issuer.address,
                country=country,
                until_block=as_of.number,
                after=(position[1], position[2]) if position else (-1, -1),
                limit=limit + 1,
            )
            page = found[:limit]
            blocks = await blocks_at(connection, [item.grant.recorded_at for item in page])
            listed = [
                Listed(
                    item.grant,
                    await self._status(connection, item.grant, as_of.number),
                    blocks[item.grant.recorded_at],
                )
                for item in page
            ]
        if len(found) <= limit:
            return listed, ""
        last = page[-1]
        return listed, token_of(question, f"{as_of.number}:{last.grant.recorded_at}:{last.log_index}")

    async def _status(self, connection: AsyncConnection, grant: Grant, at: int) -> AccreditationStatus:
        records = await StoredHistories(connection).records(TRUST, h.accreditation_status_key(grant.id), at)
        change = status_at(records, grant.id, at, at)
        return AccreditationStatus.ACTIVE if change is None else change.status

    async def call(self, actor: Address, call_id: bytes) -> storage.CallState | None:
        """Where a relayed call stands; None when it is neither queued here nor on chain."""
        async with self._database.read() as connection:
            return await storage.call_state(connection, actor, call_id, self._follower.final.number)


async def _identity_records(connection: AsyncConnection, did: Did, known_at: int) -> list[HistoryRecord]:
    return await StoredHistories(connection).records(IDENTITY, h.identity_key(did.address), known_at)


def _of_living(answer: Authorisation, state: IdentityState) -> Authorisation:
    """A deactivated identity is authorised for nothing. The contract does not look at identities."""
    if not state.deactivated:
        return answer
    step = AuthorisationStep(
        f"the identity {state.did} is deactivated", b"", state.last_change, False, "ISSUER_DEACTIVATED"
    )
    return replace(
        answer,
        authorised=False,
        reason=step.reason,
        steps=(step, *answer.steps),
        explanation=f"Not authorised ({step.reason}): {step.statement}.",
        chain=(),
    )


def _iso(block: BlockRef) -> str:
    return datetime.fromtimestamp(block.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
