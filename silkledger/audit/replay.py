"""The replay from end to end: rebuild, compare, report."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import compare_table
from silkledger.audit.databases import Databases, DatabaseUnreadable, snapshot
from silkledger.audit.entries import EntriesSource, LogAudit, anchors_of, audit_log, audit_source
from silkledger.audit.rebuild import Advance, compared_tables, projectors, rebuilt
from silkledger.audit.report import Anchoring, Difference, Report, Total
from silkledger.client.roots import unsealed_trust_roots
from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.tables import CHAIN_BLOCK, CHAIN_CURSOR
from silkledger.projections.anchors import anchor
from silkledger.registry.histories import origin_id
from silkledger.values import BlockHash, BlockRef


@dataclass(frozen=True, slots=True)
class Audited:
    """What is audited: a network, and the log that is anchored on it."""

    network: Network
    profile: EngineProfile
    origin: str
    log_verifier_key: str


@dataclass(slots=True)
class Findings:
    """What was found so far."""

    totals: list[Total]
    differences: list[Difference]
    unavailable: list[str]
    log: LogAudit

    @classmethod
    def none(cls) -> Self:
        return cls([], [], [], LogAudit(0, 0, (), ()))


async def replay_ledger(
    audited: Audited,
    node_url: str,
    databases: Databases,
    advance: Advance,
    source: EntriesSource | None = None,
    upto: int | None = None,
) -> Report:
    """Reads the chain from genesis and compares every database up to the block that both have as final. With
    `source` the log's entries are audited from there as well. With `upto` the report is as of that block, if
    it is final: of the same databases it is the same report again, however far the chain has grown.

    Raises: FollowerHalted, ContractMismatch, NodeError when the chain itself cannot be read or verified.
    """
    findings = Findings.none()
    with tempfile.TemporaryDirectory(prefix="silkledger-replay-") as folder:
        arguments = (audited.network, audited.profile, node_url, Path(folder), advance)
        async with rebuilt(*arguments) as (database, newest), database.read() as replayed:
            final = await _as_of(replayed, newest, upto)
            for name, url in databases.urls:
                await compare_database(audited, name, url, replayed, final, findings)
            if source is not None:
                await _audit_source(audited, source, replayed, final, findings)
            elif not any(name == "ledger" for name, _ in databases.urls):
                findings.unavailable.append("the log's entries: no database, log or mirror of them was named")
            events = await _count_events(replayed, final.number)
            anchors = await _anchors(replayed, audited.origin, final)
    return _report(audited, final, events, findings, anchors)


async def _as_of(replayed: AsyncConnection, newest: BlockRef, upto: int | None) -> BlockRef:
    if upto is None or upto >= newest.number:
        return newest
    query = select(CHAIN_BLOCK.c.hash, CHAIN_BLOCK.c.time).where(CHAIN_BLOCK.c.number == upto)
    row = (await replayed.execute(query)).one()
    return BlockRef(upto, BlockHash(bytes(row.hash)), row.time)


async def _audit_source(
    audited: Audited,
    source: EntriesSource,
    replayed: AsyncConnection,
    final: BlockRef,
    findings: Findings,
) -> None:
    log = await audit_source(source, await anchors_of(replayed, audited.origin, final.number))
    findings.log = log
    findings.totals.append(Total(source.name, "leaf", log.entries, len(log.differences), final.number))
    findings.differences += log.differences
    findings.unavailable += log.unavailable


@dataclass(frozen=True, slots=True)
class _Anchors:
    """The log's anchors: what was registered when, and the blocks to pin."""

    timeline: tuple[Anchoring, ...]
    blocks: dict[int, BlockHash]


async def _anchors(replayed: AsyncConnection, origin: str, final: BlockRef) -> _Anchors:
    block = CHAIN_BLOCK.c
    query = (
        select(block.number, block.hash, block.time, anchor.c.size, anchor.c.prev_size)
        .join(anchor, anchor.c.block_number == block.number)
        .where(anchor.c.origin_id == origin_id(origin), block.number <= final.number)
        .order_by(anchor.c.size)
    )
    rows = (await replayed.execute(query)).all()
    return _Anchors(
        tuple(Anchoring(row.number, row.time, row.size, row.size - row.prev_size) for row in rows),
        {row.number: BlockHash(bytes(row.hash)) for row in rows},
    )


async def compare_database(
    audited: Audited,
    name: str,
    url: str,
    replayed: AsyncConnection,
    final: BlockRef,
    findings: Findings,
) -> None:
    """Adds what one database says otherwise than `replayed`, up to the block that both have as final."""
    try:
        async with snapshot(name, url) as live:
            upto = min(final.number, await live.scalar(select(CHAIN_CURSOR.c.final_number)) or 0)
            present = set(await live.run_sync(lambda sync: inspect(sync).get_table_names()))
            for table in compared_tables():
                if table.name not in present:
                    continue
                rows, differences = await compare_table(name, table, replayed, live, upto)
                findings.totals.append(Total(name, table.name, rows, len(differences), upto))
                findings.differences += differences
            if "leaf" in present:
                log = await audit_log(name, live, await anchors_of(replayed, audited.origin, upto))
                findings.log = log
                findings.totals.append(Total(name, "leaf", log.entries, len(log.differences), upto))
                findings.differences += log.differences
                findings.unavailable += log.unavailable
    except DatabaseUnreadable as error:
        findings.unavailable.append(str(error))


async def _count_events(replayed: AsyncConnection, upto: int) -> int:
    total = 0
    for table in (table for projector in projectors() for table in projector.tables):
        query = select(func.count()).select_from(table).where(table.c.block_number <= upto)
        total += int(await replayed.scalar(query) or 0)
    return total


def _report(audited: Audited, final: BlockRef, events: int, findings: Findings, anchors: _Anchors) -> Report:
    network = audited.network
    log = PinnedLog(audited.origin, audited.log_verifier_key)
    roots = unsealed_trust_roots(network, audited.profile, log, {**anchors.blocks, final.number: final.hash})
    assumptions: tuple[str, ...] = ()
    if audited.profile.header_kind is EngineKind.NO_SEALS:
        assumptions = (
            "The engine has no commit seals: that these blocks are the network's rests on the node alone.",
        )
    return Report(
        chain_id=network.chain_id,
        genesis_hash=str(network.genesis_hash),
        last=final,
        events=events,
        entries=findings.log.entries,
        anchors=findings.log.anchors,
        totals=tuple(findings.totals),
        differences=tuple(findings.differences),
        unavailable=tuple(findings.unavailable),
        assumptions=assumptions,
        timeline=anchors.timeline,
        trust_roots=roots,
    )
