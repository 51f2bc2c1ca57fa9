"""Which list is in force, at a block or a time, and the lists that are held. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.errors import FieldRefused, IdentityError
from services.identity.reading.pages import page_limit, position_of, token_of
from services.identity.reading.questions import IDENTITY, Questions
from services.identity.status_lists import rows
from services.identity.status_lists.rows import Held, Number
from silkledger.projections.chain import block_at, newest_at_time
from silkledger.projections.histories import StoredHistories
from silkledger.registry.histories import status_list_key
from silkledger.registry.status_lists import ListRecord, decode_list_record
from silkledger.runtime.db import Database
from silkledger.status_list import MAX_SEQUENCE
from silkledger.values import BlockRef, Did

ACCEPTED: Final = 1
ANCHORED: Final = 3
FINAL: Final = 4
"""Numbers of chain.v1.EvidenceStage. A list is not logged."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A list, and what the chain says about its number."""

    held: Held
    record: ListRecord | None
    """None: no applied block records the number."""
    block: BlockRef | None
    stage: int


@dataclass(frozen=True, slots=True)
class Found:
    """A list with its bytes, as of a block."""

    content: bytes
    standing: Standing
    as_of: BlockRef


@dataclass(frozen=True, slots=True)
class Which:
    """Which list of a series is wanted; all None: the one in force now."""

    sequence: int | None = None
    as_of_block: int | None = None
    as_of_time: int | None = None
    """Unix seconds."""


class StatusListNotFound(IdentityError):
    """No such list: none of this number is held, or none was in force then."""

    def __init__(self, what: str) -> None:
        super().__init__("STATUS_LIST_NOT_FOUND", what)


class StatusListReads:
    """Every answer is one reading transaction and names its block."""

    def __init__(self, database: Database, questions: Questions) -> None:
        self._database = database
        self._questions = questions

    async def get(self, issuer: Did, list_id: str, which: Which) -> Found:
        """One list of a series.

        Raises: StatusListNotFound; BlockNotFinal; ChainNotFollowed; IdentityError STATUS_LIST_UNAVAILABLE
        when the chain records a list that was never handed in here.
        """
        async with self._database.read() as connection:
            if which.sequence is not None:
                return await self._numbered(connection, Number(issuer, list_id, which.sequence))
            if which.as_of_time is not None:
                as_of = await self._block_at_time(connection, which.as_of_time)
            else:
                as_of = await self._questions.as_of(connection, "as_of_block", which.as_of_block)
            return await self._in_force(connection, issuer, list_id, as_of)

    async def page(
        self, issuer: Did, list_id: str, page_size: int, page_token: str
    ) -> tuple[list[Standing], str]:
        """Lists that are held, in order of id and sequence, and the token of the next page."""
        question = ("status lists", issuer, list_id)
        number, _, after = position_of(question, page_token).partition(":")
        limit = page_limit(page_size)
        async with self._database.read() as connection:
            start = (after, int(number or -1))
            found = await rows.page(connection, issuer, list_id, start, limit + 1)
            page = [await self.standing(connection, item) for item in found[:limit]]
        if len(found) <= limit:
            return page, ""
        last = page[-1].held.number
        return page, token_of(question, f"{last.sequence}:{last.list_id}")

    async def equivocation(self, number: Number) -> bytes:
        """The proof that the issuer signed two lists under this number. Raises: StatusListNotFound."""
        _check_number(number)
        async with self._database.read() as connection:
            proof = await rows.equivocation_of(connection, number)
        if proof is None:
            raise StatusListNotFound("no second list of this number was seen")
        return proof

    async def standing(self, connection: AsyncConnection, held: Held) -> Standing:
        """What the chain says about the number of a list, as far as blocks are applied."""
        record = await record_of(connection, held.number)
        if record is None:
            return Standing(held, None, None, ACCEPTED)
        stage = FINAL if record.recorded_at <= self._questions.final_number else ANCHORED
        if record.digest != held.digest:
            stage = ACCEPTED
        return Standing(held, record, await block_at(connection, record.recorded_at), stage)

    async def _numbered(self, connection: AsyncConnection, number: Number) -> Found:
        _check_number(number)
        as_of = await self._questions.as_of(connection, "", None)
        held, signed = await rows.held(connection, number), await rows.list_of(connection, number)
        if held is None or signed is None:
            raise StatusListNotFound(f"number {number.sequence} of the series is not held")
        return Found(signed.raw, await self.standing(connection, held), as_of)

    async def _in_force(
        self, connection: AsyncConnection, issuer: Did, list_id: str, as_of: BlockRef
    ) -> Found:
        key = status_list_key(issuer.address, list_id)
        item = await StoredHistories(connection).last(IDENTITY, key, as_of.number)
        if item is None:
            raise StatusListNotFound(f"no list of the series was recorded by block {as_of.number}")
        record = decode_list_record(item)
        number = Number(issuer, list_id, record.sequence)
        held, signed = await rows.held(connection, number), await rows.list_of(connection, number)
        if held is not None and signed is not None and signed.digest != record.digest:
            other = await rows.other_list_of(connection, number)
            signed = other[0] if other is not None else signed
            held = replace(held, digest=signed.digest, entries=signed.bits().entries, purpose=signed.purpose)
        if held is None or signed is None or signed.digest != record.digest:
            raise IdentityError(
                "STATUS_LIST_UNAVAILABLE",
                f"number {record.sequence} was in force at block {as_of.number}, and the list with the digest"
                f" {record.digest} that the chain records was not handed in",
            )
        return Found(signed.raw, await self.standing(connection, held), as_of)

    async def _block_at_time(self, connection: AsyncConnection, unix_s: int) -> BlockRef:
        """The last block not later than the time; it must be final, and so must what could come after it."""
        final = await self._questions.as_of(connection, "", None)
        if unix_s > final.time:
            raise FieldRefused(
                "BLOCK_NOT_FINAL", "as_of_time", f"is later than the last final block, of {final.time}"
            )
        found = await newest_at_time(connection, unix_s)
        if found is None:
            raise FieldRefused("BLOCK_NOT_FINAL", "as_of_time", "is before the first block followed")
        return found if found.number <= final.number else final


def _check_number(number: Number) -> None:
    """Raises: StatusListNotFound, for a number that no list can have, nor a database hold."""
    if number.sequence > MAX_SEQUENCE:
        raise StatusListNotFound(f"number {number.sequence} of the series is not held")


async def record_of(connection: AsyncConnection, number: Number) -> ListRecord | None:
    """What applied blocks record under a number."""
    key = status_list_key(number.issuer.address, number.list_id)
    item = await StoredHistories(connection).nth(IDENTITY, key, number.sequence)
    return None if item is None else decode_list_record(item)
