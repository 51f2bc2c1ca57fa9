"""The auditor replays from genesis, compares, pins what it verified, and collects evidence."""

from __future__ import annotations

import asyncio
import hashlib

from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, Means, replay_ledger
from silkledger.audit.report import Report
from silkledger.cli.demo.cast import Stage, documents
from silkledger.cli.demo.chapter_trust import final_block
from silkledger.cli.output import block_text
from silkledger.cli.vault_terms import ServiceTerms
from silkledger.evm.engines import profile_named
from silkledger.values import StatementId


async def replay(stage: Stage, databases: Databases | None = None, node_url: str = "") -> Report:
    """The comparison with the live databases, or with the given ones."""
    session = stage.session("")
    file = session.network_file
    audited = Audited(file.to_network(), profile_named(file.engine), file.origin, file.log_verifier_key)
    return await replay_ledger(
        audited,
        node_url or file.node_url,
        databases or Databases.embedded(stage.data),
        lambda _steps, _total: None,
        means=Means(terms=ServiceTerms()),
    )


async def replay_and_pin(stage: Stage) -> None:
    report = await replay(stage)
    totals = [(t.database, t.table, t.rows, t.differences) for t in report.totals if t.rows]
    stage.narrator.table("Control totals", ("database", "projection", "rows", "differences"), totals)
    last = report.last
    stage.narrator.say(f"verified every block up to {block_text(last.number, last.time)}")
    for difference in report.differences[:10]:
        stage.narrator.say(difference.sentence())
    for item in report.unavailable:
        stage.narrator.say(f"UNAVAILABLE: {item}")
    stage.narrator.claim(
        "the auditor replayed the ledger from genesis: every row of every database is what chain and log say",
        report.clean and report.entries > 0 and report.anchors > 0,
        f"report {report.digest[:14]}…",
    )
    stage.evidence.mkdir(parents=True, exist_ok=True)
    stage.trust_roots.write_text(report.trust_roots.to_json(), encoding="utf-8")
    (stage.evidence / "audit.json").write_text(report.to_json(), encoding="utf-8")
    stage.as_of = last.number


async def collect_evidence(stage: Stage) -> None:
    """One file for each document, as of the block that the auditor pinned."""
    while await final_block(stage) < stage.as_of:  # noqa: ASYNC110 - another process's progress
        await asyncio.sleep(0.1)
    found = documents()
    rows = []
    async with stage.session("auditor-sg").ledger() as ledger:
        for name, item in found.items():
            statement_id = StatementId(stage.statements[name])
            bundle = await ledger.evidence(statement_id, item.relying, as_of_block=stage.as_of)
            stage.evidence_of(name).write_bytes(bundle)
            rows.append((name, len(bundle), hashlib.sha256(bundle).hexdigest()[:16] + "…"))
    stage.narrator.table("Evidence files", ("document", "bytes", "SHA-256"), rows)
    stage.narrator.claim("evidence files written for offline verification", len(rows) == len(found))
