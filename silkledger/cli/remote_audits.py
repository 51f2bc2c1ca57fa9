"""`audit replay --remote`: the ledger service's own replay, asked for, waited for, and its report fetched."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silkledger.cli.context import CommandFailed, Session
from silkledger.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from silkledger.client import AuditClient


async def remote_replay(
    session: Session, upto: int | None, report: Path | None, html: Path | None
) -> ExitCode:
    """Raises: `CommandFailed` when the operation failed, `RpcFailed`."""
    from silkledger.ledger.v1 import audit_pb2 as pb

    output = session.output
    async with session.audits(operator=not session.alias) as audits:
        started = await audits.start(upto=upto)
        output.say(f"{started.name} is under way")
        done = await _waited(session, audits, started.name)
        if done.HasField("error"):
            message = f"{done.error.reason}: {done.error.message}"
            raise CommandFailed(ExitCode.FAILED, message, {"reason": done.error.reason})
        content = await audits.report(started.name)
        if report is not None:
            await asyncio.to_thread(report.write_bytes, content)
        if html is not None:
            page = await audits.report(started.name, pb.REPORT_FORMAT_HTML)
            await asyncio.to_thread(html.write_bytes, page)
    document: dict[str, Any] = json.loads(content)
    output.result(document, lambda: output.facts("The service's replay", _facts(document)))
    if document["differences"]:
        return ExitCode.FAILED
    return ExitCode.INCOMPLETE if document["unavailable"] else ExitCode.OK


async def _waited(session: Session, audits: AuditClient, name: str) -> Any:
    """The operation when it is done. Who interrupts the command cancels the operation."""
    seen = 0

    try:
        with session.output.progress("the service replays blocks", None) as advance:

            def progress(done: int, total: int) -> None:
                nonlocal seen
                advance(done - seen, total or None)
                seen = done

            return await audits.wait(name, progress)
    except asyncio.CancelledError:
        await audits.cancel(name)
        raise


def _facts(document: dict[str, Any]) -> list[tuple[str, object]]:
    digests = document["rangeDigests"]
    differences = [f"{d['database']}: {d['table']}[{d['key']}].{d['field']}" for d in document["differences"]]
    return [
        ("verdict", document["verdict"]),
        ("assurance", document["assurance"]),
        ("last final block", document["lastFinalBlock"]["number"]),
        ("events", document["events"]),
        ("log entries", document["entries"]),
        ("differences", "\n".join(differences)),
        ("unavailable", "\n".join(document["unavailable"])),
        ("state digest", digests[-1]["digest"] if digests else ""),
        ("report digest", document["reportDigest"]),
    ]
