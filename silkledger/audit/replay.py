"""The replay from end to end: rebuild, compare, report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import compare_table
from silkledger.audit.databases import Databases, DatabaseUnreadable, snapshot
from silkledger.audit.entries import LogAudit, anchors_of, audit_log
from silkledger.audit.rebuild import compared_tables, projectors, rebuilt
from silkledger.audit.report import Difference, Report, Total
from silkledger.client.roots import unsealed_trust_roots
from silkledger.evidence.header import EngineKind
from silkledger.evidence.trust_roots import PinnedLog
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.tables import CHAIN_CURSOR
from silkledger.values import BlockRef


@dataclass(frozen=True, slots=True)
class Audited:
    """What is audited: a network, and the log that is anchored on it."""

    network: Network
    profile: EngineProfile
    origin: str
    log_verifier_key: str


@dataclass(slots=True)
class _Findings:
    totals: list[Total]
    differences: list[Difference]
    unavailable: list[str]
    log: LogAudit


async def replay_ledger(
    audited: Audited, node_url: str, databases: Databases, advance: Callable[[int], None]
) -> Report:
    """Reads the chain from genesis and compares every database up to the block that both have as final.

    Raises: FollowerHalted, ContractMismatch, NodeError when the chain itself cannot be read or verified.
    """
    findings = _Findings([], [], [], LogAudit(0, 0, (), ()))
    with tempfile.TemporaryDirectory(prefix="silkledger-replay-") as folder:
        arguments = (audited.network, audited.profile, node_url, Path(folder), advance)
        async with rebuilt(*arguments) as (database, final), database.read() as replayed:
            for name, url in databases.urls:
                await _compare(audited, name, url, replayed, final, findings)
            if not any(name == "ledger" for name, _ in databases.urls):
                findings.unavailable.append("the log's entries: no ledger database was named")
            events = await _count_events(replayed, final.number)
    return _report(audited, final, events, findings)


async def _compare(
    audited: Audited,
    name: str,
    url: str,
    replayed: AsyncConnection,
    final: BlockRef,
    findings: _Findings,
) -> None:
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


def _report(audited: Audited, final: BlockRef, events: int, findings: _Findings) -> Report:
    network = audited.network
    log = PinnedLog(audited.origin, audited.log_verifier_key)
    roots = unsealed_trust_roots(network, audited.profile, log, {final.number: final.hash})
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
        trust_roots=roots,
    )
