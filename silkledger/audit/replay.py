"""The replay from end to end: rebuild, compare, report."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.databases import Databases, DatabaseUnreadable, snapshot, tables_of
from silkledger.audit.entries import EntriesSource, anchors_of, audit_source
from silkledger.audit.log_database import LogAudit, audit_log
from silkledger.audit.prepare import COMPARED
from silkledger.audit.rebuild import Advance, rebuild
from silkledger.audit.report import Difference, Report, Total
from silkledger.audit.sealing import Sealing
from silkledger.audit.status_lists import TABLES as LISTS
from silkledger.audit.status_lists import audit_status_lists
from silkledger.audit.summary import Scope, summary
from silkledger.audit.tables import Headers, compare_tables
from silkledger.audit.vault import TABLES as VAULT
from silkledger.audit.vault import TermsReader, audit_vault, opened_payments
from silkledger.audit.work import WorkStore
from silkledger.audit.workers import ALL_CORES, ChainSource, Workers
from silkledger.evidence.bundle import Contract
from silkledger.evidence.reasons import Reason
from silkledger.evidence.registration import readable_keys
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.contracts import Network
from silkledger.evm.engines import EngineProfile
from silkledger.evm.follower import WrongChain
from silkledger.evm.port import NodeUnavailable
from silkledger.evm.tables import CHAIN_CURSOR
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.projections.histories import StoredHistories
from silkledger.registry.histories import origin_id
from silkledger.registry.origins import origin_history
from silkledger.values import BlockRef


@dataclass(frozen=True, slots=True)
class Audited:
    """What is audited: a network, and the log that is anchored on it."""

    network: Network
    profile: EngineProfile
    origin: str
    log_verifier_key: str
    roots: TrustRoots | None = None
    """The auditor's own: whose commit seals count, and pinned blocks. None: no seals are verified, which on
    an engine that has them leaves the report INCOMPLETE.
    """

    def __post_init__(self) -> None:
        """Raises: ValueError: the trust roots are of another network, or of another engine."""
        if self.roots is None:
            return
        network, roots = self.network, self.roots
        told = roots.chain_id, roots.genesis_hash, roots.directory, roots.engine
        if told != (
            network.chain_id,
            network.genesis_hash,
            network.directory,
            self.profile.header_kind,
        ):
            raise ValueError("the trust roots are of another network, or of another engine")


@dataclass(frozen=True, slots=True)
class Means:
    """With what the replay is done. Nothing here changes the report."""

    work: Path | None = None
    """Keeps what was rebuilt, so that the same replay goes on from there. None: a temporary directory."""
    processes: int = ALL_CORES
    """Worker processes; 0 works in a thread of this process."""
    terms: TermsReader | None = None
    """Reads the messages in banks' vaults. None: their details are UNAVAILABLE."""
    agreement: int | None = None
    """Of several nodes, how many must show a block; 0: all that answer; None: all that are named."""


@dataclass(slots=True)
class Findings:
    """What was found so far."""

    totals: list[Total] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    unavailable: list[str] = field(default_factory=list)
    log: LogAudit = field(default_factory=lambda: LogAudit(0, 0, (), ()))
    vaults: int = 0
    held: set[bytes] = field(default_factory=set)
    """Payments whose details are in a vault that was given."""

    def add_log(self, name: str, log: LogAudit, upto: int) -> None:
        self.log = log
        self.totals.append(Total(name, "leaf", log.entries, log.entries, len(log.differences), upto))
        self.differences += log.differences
        self.unavailable += log.unavailable


async def replay_ledger(
    audited: Audited,
    node_url: str,
    databases: Databases,
    advance: Advance,
    source: EntriesSource | None = None,
    upto: int | None = None,
    means: Means = Means(),
) -> Report:
    """Reads the chain from genesis and compares every database up to the block that both have as final.
    `node_url` names one node, or several that are held against each other, as `SILKLEDGER_NODE_URL` does.
    With `source` the log's entries are audited from there as well. With `upto` the report is as of that
    block, if it is final: of the same databases it is the same report again, however far the chain has grown,
    with whatever means, and however often the replay was cut off and gone on with.

    Raises: FollowerHalted, ContractMismatch, NodeError when the chain itself cannot be read or verified, its
    seals included; WorkRefused, DatabaseInUse for the work directory; SettingsError for malformed URLs.
    """
    findings = Findings()
    async with rebuilt(audited, node_url, advance, upto, means) as replay:
        for name, url in databases.urls:
            await replay.compare(name, url, findings)
        if source is not None:
            await replay.audit_source(source, findings)
        elif not any(name == "ledger" for name, _ in databases.urls):
            findings.unavailable.append("the log's entries: no database, log or mirror of them was named")
        return await replay.report(findings)


@asynccontextmanager
async def rebuilt(
    audited: Audited, node_url: str, advance: Advance, upto: int | None = None, means: Means = Means()
) -> AsyncIterator[Replay]:
    """The chain's state rebuilt up to its last final block, to be compared up to `upto`."""
    with tempfile.TemporaryDirectory(prefix="silkledger-replay-") as folder:
        sealing = Sealing.under(audited.roots)
        source = ChainSource(node_url, audited.profile, audited.network, sealing, means.agreement)
        source.check()
        workers = Workers(means.processes, source)
        try:
            store = await WorkStore.open(means.work or Path(folder), audited.network, sealing)
            try:
                await rebuild(source, workers, store, advance)
                await _check_pins(audited, store)
                final = store.head.number if upto is None else min(upto, store.head.number)
                yield Replay(audited, workers, store, await store.block(final), means.terms)
            finally:
                await store.close()
        finally:
            await workers.close()


async def _check_pins(audited: Audited, store: WorkStore) -> None:
    """Raises: WrongChain: a pinned block is another one. NodeUnavailable: the chain does not reach it yet."""
    pinned = {} if audited.roots is None else audited.roots.pinned_blocks
    for number, pin in pinned.items():
        if number > store.head.number:
            raise NodeUnavailable(
                f"the chain is final up to block {store.head.number}, below the pinned block {number}"
            )
        if (await store.block(number)).hash != pin:
            raise WrongChain(f"{Reason.BLOCK_PIN_MISMATCH}: block {number} is not the pinned {pin}")


class Replay:
    """A rebuilt state, and what is compared with it."""

    def __init__(
        self,
        audited: Audited,
        workers: Workers,
        store: WorkStore,
        final: BlockRef,
        terms: TermsReader | None = None,
    ) -> None:
        self.audited = audited
        self._terms = terms
        self.final = final
        """Last block of the report."""
        self._workers = workers
        self._store = store

    async def compare(self, name: str, url: str, findings: Findings) -> None:
        """Adds what one database says otherwise, up to the block that it has as final as well."""
        try:
            async with snapshot(name, url) as live:
                present = await tables_of(live)
                upto = min(self.final.number, await _final_of(live, present))
                if "leaf_run" in present:
                    anchors = await self._anchors(upto)
                    keys = await self._log_keys()
                    log = await audit_log(name, live, anchors, self._workers, keys)
                    findings.add_log(name, log, upto)
                if present.issuperset(VAULT):
                    await self._compare_vault(name, live, upto, findings)
                if present.issuperset(LISTS):
                    await self._compare_lists(name, live, upto, findings)
            tables = [table.name for table in COMPARED if table.name in present]
            headers = Headers(self.audited.profile.header_kind, Sealing.under(self.audited.roots))
            compared = await compare_tables(self._workers, name, url, self._store.url, tables, upto, headers)
        except DatabaseUnreadable as error:
            findings.unavailable.append(str(error))
            return
        for table, one in compared.items():
            findings.totals.append(Total(name, table, one.rows, one.found, len(one.differences), upto))
            findings.differences += one.differences

    async def audit_source(self, source: EntriesSource, findings: Findings) -> None:
        """Adds what is wrong with a log's entries as the log or a mirror gives them."""
        anchors = await self._anchors(self.final.number)
        log = await audit_source(source, anchors, self._workers)
        findings.add_log(source.name, log, self.final.number)

    async def _compare_vault(self, name: str, live: AsyncConnection, upto: int, findings: Findings) -> None:
        if self._terms is None:
            findings.unavailable.append(f"{name}: the details of its payments: nobody reads its messages")
            return
        async with snapshot("replay", self._store.url) as replayed:
            opened = await opened_payments(replayed, upto)
        vault = await audit_vault(name, live, opened, self._terms)
        for table, rows in vault.rows.items():
            differing = sum(difference.table == table for difference in vault.differences)
            findings.totals.append(Total(name, table, rows, rows, differing, upto))
        findings.differences += vault.differences
        findings.unavailable += vault.unavailable
        findings.held |= vault.held
        findings.vaults += 1

    async def _compare_lists(self, name: str, live: AsyncConnection, upto: int, findings: Findings) -> None:
        async with snapshot("replay", self._store.url) as replayed:
            lists = await audit_status_lists(name, live, replayed, upto)
        differing = sum(difference.table == "status_list" for difference in lists.differences)
        findings.totals.append(Total(name, "status_list", lists.recorded, lists.held, differing, upto))
        findings.differences += lists.differences
        findings.unavailable += lists.unavailable

    async def _without_details(self, findings: Findings) -> list[str]:
        """Payments on chain that no vault has. Where no vault was given, none was to be audited."""
        if not findings.vaults:
            return []
        async with snapshot("replay", self._store.url) as replayed:
            opened = await opened_payments(replayed, self.final.number)
        missing = sorted(opened.keys() - findings.held)
        return [f"the details of payment 0x{key.hex()}: in no vault that was given" for key in missing]

    async def report(self, findings: Findings) -> Report:
        """Everything found, with digests, volumes and timeline. The same input gives the same report."""
        audited = self.audited
        unavailable = [*findings.unavailable, *await self._without_details(findings)]
        key = audited.log_verifier_key
        scope = Scope(audited.network, audited.profile, audited.origin, key, self.final, audited.roots)
        whole = await summary(scope, self._store)
        return Report(
            chain_id=audited.network.chain_id,
            genesis_hash=str(audited.network.genesis_hash),
            last=self.final,
            digests=whole.digests,
            volumes=whole.volumes,
            spans=whole.spans,
            entries=findings.log.entries,
            anchors=findings.log.anchors,
            totals=tuple(findings.totals),
            differences=tuple(findings.differences),
            unavailable=(*unavailable, *whole.unavailable),
            assurance=whole.assurance,
            assumptions=whole.assumptions,
            timeline=whole.timeline,
            trust_roots=whole.trust_roots,
        )

    async def _log_keys(self) -> list[LogVerifierKey]:
        """Every key that the log ever had, if the one given is among them; else that one alone."""
        given = LogVerifierKey.parse(self.audited.log_verifier_key)
        origin = self.audited.origin
        async with snapshot("replay", self._store.url) as replayed:
            records = await StoredHistories(replayed).records(
                Contract.LOG_ANCHOR.directory_name, origin_id(origin), self.final.number
            )
        history = origin_history(records)
        known = [] if history is None else [key for key, _ in readable_keys(origin, history)]
        return known if given in known else [given]

    async def _anchors(self, upto: int) -> list[tuple[int, bytes]]:
        async with snapshot("replay", self._store.url) as replayed:
            return await anchors_of(replayed, self.audited.origin, upto)


async def _final_of(live: AsyncConnection, present: set[str]) -> int:
    if CHAIN_CURSOR.name not in present:
        return 0
    return await live.scalar(select(CHAIN_CURSOR.c.final_number)) or 0
