"""The tables of one live database against the rebuilt ones, in worker processes."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import Compared, Same, block_column, compare_table
from silkledger.audit.databases import snapshot
from silkledger.audit.prepare import COMPARED
from silkledger.audit.sealing import Sealing
from silkledger.audit.work import VALIDATORS, members_of
from silkledger.audit.workers import Workers
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.qbft import verify_contract_seals, verify_seals
from silkledger.evm.tables import CHAIN_BLOCK
from silkledger.values import Address


@dataclass(frozen=True, slots=True)
class Headers:
    """How the headers of two databases are compared."""

    kind: EngineKind
    sealing: Sealing | None = None
    """By which rules their seals are verified; None: they are not."""


class Sealers:
    """Who seals each block, as the replay found it."""

    def __init__(self, sets: Sequence[tuple[int, frozenset[Address]]], *, contract: bool) -> None:
        self._firsts = [first for first, _ in sets]
        self._sets = [members for _, members in sets]
        self._contract = contract

    def sealed(self, header: Header) -> bool:
        """Whether a quorum sealed it. In contract mode a pinned block vouches for all before it instead."""
        index = bisect_right(self._firsts, header.number) - 1
        if index < 0:
            return True
        members = self._sets[index]
        try:
            if self._contract:
                verify_contract_seals(header, members)
            else:
                verify_seals(header, tuple(members))
        except EvidenceInvalid:
            return False
        return True


async def _sealers(replayed: AsyncConnection, headers: Headers) -> Sealers | None:
    if headers.sealing is None:
        return None
    rows = await replayed.execute(select(VALIDATORS).order_by(VALIDATORS.c.number))
    sets = [(row.number, members_of(bytes(row.members))) for row in rows]
    return Sealers(sets, contract=isinstance(headers.sealing.rules, ContractRules))


_BY_NAME: Final = {table.name: table for table in COMPARED}


async def compare_tables(
    workers: Workers, name: str, url: str, replay_url: str, tables: Sequence[str], upto: int, headers: Headers
) -> dict[str, Compared]:
    """Each named projection of the live database `url`, compared up to block `upto`.

    Workers read in transactions of their own. Up to a final block that is one state: what is written later
    is of later blocks, unless somebody alters what is final, which is what is looked for.
    """
    shares = await _shares(replay_url, tables, upto, workers.parallel)
    job = partial(compare_in_worker, name, url, replay_url, upto=upto, headers=headers)
    answers = await asyncio.gather(*(workers.run(job, share) for share in shares))
    return {table: compared for answer in answers for table, compared in answer.items()}


async def _shares(replay_url: str, tables: Sequence[str], upto: int, count: int) -> list[list[str]]:
    """The tables in about equal parts by their numbers of rows, at most `count`, none of them empty."""
    async with snapshot("replay", replay_url) as replayed:
        sizes = {name: await _size(replayed, name, upto) for name in tables}
    shares: list[list[str]] = [[] for _ in range(count)]
    load = [0] * count
    for name in sorted(tables, key=lambda name: (-sizes[name], name)):
        lightest = load.index(min(load))
        shares[lightest].append(name)
        load[lightest] += sizes[name] + 1
    return [share for share in shares if share]


async def _size(replayed: AsyncConnection, name: str, upto: int) -> int:
    table = _BY_NAME[name]
    query = select(func.count()).select_from(table).where(block_column(table) <= upto)
    return int(await replayed.scalar(query) or 0)


def compare_in_worker(
    name: str, url: str, replay_url: str, tables: Sequence[str], upto: int, headers: Headers
) -> dict[str, Compared]:
    """In a worker: compare some tables one after the other. Raises: DatabaseUnreadable."""
    return asyncio.run(_compare(name, url, replay_url, tables, upto, headers))


async def _compare(
    name: str, url: str, replay_url: str, tables: Sequence[str], upto: int, headers: Headers
) -> dict[str, Compared]:
    found = {}
    async with snapshot("replay", replay_url) as replayed, snapshot(name, url) as live:
        sealers = await _sealers(replayed, headers)
        for table in tables:
            same = same_headers(headers.kind, sealers) if table == CHAIN_BLOCK.name else None
            found[table] = await compare_table(name, _BY_NAME[table], replayed, live, upto, same)
    return found


def same_headers(kind: EngineKind, sealers: Sealers | None = None) -> Mapping[str, Same]:
    """Two nodes may hold one block with other rounds and seals (QBFT); its hash covers all the rest. With
    `sealers` the other seals must be a quorum's as well: what is archived is tomorrow's evidence.
    """

    def same(one: bytes, other: bytes) -> bool:
        try:
            found = decode_header(other, kind)
            return decode_header(one, kind).hash == found.hash and (sealers is None or sealers.sealed(found))
        except EvidenceInvalid:
            return False

    return {"header": same}
