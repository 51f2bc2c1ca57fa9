"""The stack is stopped. Evidence is verified offline; then one byte of everything is changed."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from silkledger.audit.databases import Databases
from silkledger.cli.demo.cast import Stage, documents
from silkledger.cli.demo.chapter_audit import replay
from silkledger.cli.demo.chapter_documents import CORRECTED, ORIGINAL, REVOKED
from silkledger.cli.offline import verify_files
from silkledger.cli.verdicts import VerdictView, from_evidence
from silkledger.evm.anvil import EmbeddedChain


def verify_offline(stage: Stage) -> None:
    """Document, evidence file, pinned trust roots: nothing else."""
    rows = []
    views: dict[str, VerdictView] = {}
    for name, item in documents().items():
        view = _verify(stage, name, item.file)
        views[name] = view
        reasons = ", ".join(dict.fromkeys(check.reason for check in view.failures))
        rows.append((name, item.relying, view.outcome, reasons or "; ".join(view.notices)))
    stage.narrator.table("Verified offline", ("document", "for", "outcome", ""), rows)
    good = [view for name, view in views.items() if name not in (REVOKED, ORIGINAL)]
    stage.narrator.claim(
        "with the stack stopped, evidence files prove the documents offline",
        all(view.outcome == "PASS_DEVELOPMENT_ONLY" for view in good) and views[CORRECTED] in good,
    )
    stage.narrator.claim(
        "the revoked document fails offline too, and the verdict says why",
        views[REVOKED].outcome == "FAIL" and bool(views[REVOKED].failures),
        ", ".join(check.reason for check in views[REVOKED].failures),
    )
    stage.narrator.claim(
        "no verdict can be taken for a production PASS: this engine has no seals",
        all(view.outcome != "PASS" for view in views.values())
        and all(int(view.exit_code(allow_unsealed=False)) != 0 for view in views.values()),
    )


def _verify(stage: Stage, name: str, document: Path, evidence: Path | None = None) -> VerdictView:
    relying = documents()[name].relying
    bundle = evidence or stage.evidence_of(name)
    return from_evidence(verify_files(document, bundle, stage.trust_roots, relying))


def _flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


def change_a_byte_of_the_document(stage: Stage) -> None:
    original = documents()[CORRECTED].file
    data = original.read_bytes()
    changed = stage.evidence / f"changed-{original.name}"
    changed.write_bytes(_flip(data, data.index(b"18540.5")))
    view = _verify(stage, CORRECTED, changed)
    _caught(stage, "one byte of the document", view)


def change_a_byte_of_the_proof(stage: Stage) -> None:
    bundle = stage.evidence_of(CORRECTED).read_bytes()
    changed = stage.evidence / "changed-proof.evidence"
    changed.write_bytes(_flip(bundle, len(bundle) // 2))
    view = _verify(stage, CORRECTED, documents()[CORRECTED].file, changed)
    _caught(stage, "one byte of the proof", view)


def _caught(stage: Stage, what: str, view: VerdictView) -> None:
    reasons = ", ".join(f"{check.name}: {check.reason}" for check in view.failures)
    stage.narrator.claim(
        f"{what} was changed, and that is caught and named", view.outcome == "FAIL" and bool(reasons), reasons
    )


async def change_a_byte_of_a_database_row(stage: Stage) -> None:
    """In a copy of the ledger's database. The auditor reads the chain from a node of its own."""
    copy = stage.evidence / "changed-ledger.sqlite3"
    _copy_database(stage.data / "services" / "ledger" / "db.sqlite3", copy)
    with sqlite3.connect(copy) as connection:
        query = "SELECT p.rowid, p.entries FROM entry_pack p JOIN leaf_run USING (call) WHERE first_leaf = 0"
        row, entries = connection.execute(query).fetchone()
        update = "UPDATE entry_pack SET entries = ? WHERE rowid = ?"
        connection.execute(update, (_flip(bytes(entries), 120), row))
    connection.close()
    files = stage.data / "auditors-node"
    shutil.copytree(stage.data / "chain", files)
    chain = EmbeddedChain(files)
    chain.start()
    try:
        report = await replay(stage, Databases((("ledger", f"sqlite:///{copy}"),)), chain.url)
    finally:
        chain.stop()
    for difference in report.differences:
        stage.narrator.say(difference.sentence())
    named = [(d.table, d.key, d.field) for d in report.differences]
    stage.narrator.claim(
        "one byte of a database row was changed, and the replay names table, key and field",
        [(table, field) for table, _, field in named] == [("entry_pack", "entries")],
        ", ".join(f"{table}[{key}].{field}" for table, key, field in named),
    )


def _copy_database(source: Path, target: Path) -> None:
    """With whatever its write-ahead log still holds."""
    with sqlite3.connect(source) as origin, sqlite3.connect(target) as copy:
        origin.backup(copy)
    origin.close()
    copy.close()
