"""What the chain says about an issuer as of a final block: its keys, and what it is accredited for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.domain import IssuerKeys, issuer_keys
from silkledger.projections.histories import HISTORY, StoredHistories
from silkledger.registry.histories import (
    HistoryMissing,
    HistoryRecord,
    accreditation_key,
    identity_key,
    visible,
)
from silkledger.registry.identity import identity_state
from silkledger.registry.trust import MappingTrustView, TrustView, authorised
from silkledger.registry.trust_records import decode_grant
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockRef, Did, DocumentType

K = TypeVar("K")
T = TypeVar("T")

CACHED: Final = 10_000
"""Answers kept. Keys name the block, so an answer never becomes wrong; it only becomes useless."""


_GRANT_KIND: Final = (2).to_bytes(32, "big")
"""First word of an accreditation record; its third word is the issuer (docs/formats/contracts.md)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What admission needs to know of an issuer beside its keys."""

    keys: IssuerKeys
    recorded: bool
    """Whether the identity registry holds anything about it."""


async def with_trust(
    load: Callable[[bytes], Awaitable[Sequence[HistoryRecord]]], ask: Callable[[TrustView], T]
) -> T:
    """Answer a pure question over histories, loading each one when the question first needs it."""
    histories: dict[bytes, Sequence[HistoryRecord]] = {}
    while True:
        try:
            return ask(MappingTrustView(histories))
        except HistoryMissing as missing:
            histories[missing.key] = await load(missing.key)


class Issuers:
    """Reads and remembers: one answer per (issuer, block). Whoever finds it there asks no database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._standing: OrderedDict[tuple[Did, bytes], Standing] = OrderedDict()
        self._accredited: OrderedDict[tuple[Address, str, bytes], bool] = OrderedDict()
        self._asking = asyncio.Lock()
        """Calls that wait for the same answer at a new final block: one asks, the others read it."""

    async def standing(self, did: Did, at: BlockRef) -> Standing:
        """Keys in force at the end of block `at`, by what was on chain then."""
        key = (did, bytes(at.hash))
        found = self._standing.get(key)
        if found is None:
            history = identity_key(did.address)
            async with self._database.read() as connection:
                records = await StoredHistories(connection).records("IdentityRegistry", history)
            state = identity_state(did, records, at.time, at.number)
            found = Standing(issuer_keys(state), bool(visible(records, at.number)))
            _keep(self._standing, key, found)
        return found

    async def accredited(self, issuer: Address, document_type: DocumentType, at: BlockRef) -> bool:
        """Whether any country's chain of accreditations lets the issuer issue this type at block `at`."""
        key = (issuer, str(document_type), bytes(at.hash))
        found = self._accredited.get(key)
        if found is not None:
            return found
        async with self._asking:
            found = self._accredited.get(key)
            if found is None:
                async with self._database.read() as connection:
                    found = await _accredited(connection, issuer, document_type, at)
                _keep(self._accredited, key, found)
        return found

    async def ever_accredited(self, issuer: Address, at: BlockRef) -> bool:
        """Whether any accreditation of the issuer, of any type and in force or not, was on chain at block
        `at`. Reads through the registry's records: for naming a refusal only.
        """
        record = HISTORY.c.record
        query = (
            select(HISTORY.c.block_number)
            .where(
                HISTORY.c.contract == "TrustRegistry",
                HISTORY.c.block_number <= at.number,
                func.substr(record, 1, 32) == _GRANT_KIND,
                func.substr(record, 65, 32) == bytes(12) + bytes(issuer),
            )
            .limit(1)
        )
        async with self._database.read() as connection:
            return await connection.scalar(query) is not None


async def _accredited(
    connection: AsyncConnection, issuer: Address, document_type: DocumentType, at: BlockRef
) -> bool:
    async def load(key: bytes) -> Sequence[HistoryRecord]:
        return await StoredHistories(connection).records("TrustRegistry", key)

    grants = await load(accreditation_key(issuer, document_type))
    countries = {decode_grant(item).country for item in visible(grants, at.number)}
    for country in sorted(countries):
        ask = partial(
            authorised,
            issuer=issuer,
            doc_type=document_type,
            relying=country,
            at_block=at.number,
            known_at=at.number,
        )
        if (await with_trust(load, ask)).authorised:
            return True
    return False


def _keep(cache: OrderedDict[K, T], key: K, value: T) -> None:
    cache[key] = value
    if len(cache) > CACHED:
        cache.popitem(last=False)
