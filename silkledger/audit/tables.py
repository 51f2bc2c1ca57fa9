"""The tables of one live database against the rebuilt ones, in worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import Compared, Same, block_column, compare_table
from silkledger.audit.databases import snapshot
from silkledger.audit.prepare import COMPARED
from silkledger.audit.workers import Workers
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, decode_header

_BY_NAME: Final = {table.name: table for table in COMPARED}


async def compare_tables(
    workers: Workers, name: str, url: str, replay_url: str, tables: Sequence[str], upto: int, kind: EngineKind
) -> dict[str, Compared]:
    """Each named projection of the live database `url`, compared up to block `upto`.

    Workers read in transactions of their own. Up to a final block that is one state: what is written later
    is of later blocks, unless somebody alters what is final, which is what is looked for.
    """
    shares = await _shares(replay_url, tables, upto, workers.parallel)
    job = partial(compare_in_worker, name, url, replay_url, upto=upto, kind=kind)
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
    name: str, url: str, replay_url: str, tables: Sequence[str], upto: int, kind: EngineKind
) -> dict[str, Compared]:
    """In a worker: compare some tables one after the other. Raises: DatabaseUnreadable."""
    return asyncio.run(_compare(name, url, replay_url, tables, upto, kind))


async def _compare(
    name: str, url: str, replay_url: str, tables: Sequence[str], upto: int, kind: EngineKind
) -> dict[str, Compared]:
    found = {}
    async with snapshot("replay", replay_url) as replayed, snapshot(name, url) as live:
        for table in tables:
            same = same_headers(kind) if table == "chain_block" else None
            found[table] = await compare_table(name, _BY_NAME[table], replayed, live, upto, same)
    return found


def same_headers(kind: EngineKind) -> Mapping[str, Same]:
    """Two nodes may hold one block with other rounds and seals (QBFT); its hash covers all the rest."""

    def same(one: bytes, other: bytes) -> bool:
        try:
            return decode_header(one, kind).hash == decode_header(other, kind).hash
        except EvidenceInvalid:
            return False

    return {"header": same}
