"""`audit replay`: rebuild everything from the chain and compare it with the live databases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from silkledger.cli.context import (
    DEFAULT_DATA,
    AsOption,
    CommandFailed,
    DataOption,
    JsonOption,
    Session,
    run,
)
from silkledger.cli.entry_sources import source_of
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, block_text

if TYPE_CHECKING:
    from silkledger.audit.replay import Means
    from silkledger.audit.report import Report
    from silkledger.evidence.trust_roots import TrustRoots

app = typer.Typer(help="Audit: replay and compare.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Audit: replay and compare."""


@app.command("replay")
def replay(
    node: Annotated[
        list[str] | None,
        typer.Option(
            help="URL or NAME=URL of a node. Given several times, all must show the same blocks. "
            "Default: from network.json."
        ),
    ] = None,
    under: Annotated[
        Path | None,
        typer.Option(
            help="Trust roots of the network: whose commit seals count on an engine that has them, "
            "and pinned blocks."
        ),
    ] = None,
    database: Annotated[
        list[str] | None,
        typer.Option(help="NAME=URL of a database to compare; default: those of the embedded stack."),
    ] = None,
    mirror: Annotated[
        Path | None, typer.Option(help="Audit the log's entries from this mirror of it as well.")
    ] = None,
    upto_block: Annotated[
        int | None, typer.Option(min=0, help="Report as of this block. Default: the last final one.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report here (JSON).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report here as a web page (HTML).")] = None,
    trust_roots: Annotated[
        Path | None,
        typer.Option(
            help="Write trust roots here that pin the last final block and every block with an anchor."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Keep what was rebuilt in this directory: a replay that was cut off goes on from there. "
            "Default: a temporary one."
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=-1, help="Worker processes; -1 starts one per core, 0 none.")
    ] = -1,
    remote: Annotated[
        bool,
        typer.Option(
            "--remote",
            help="Have the ledger service replay its own database, as an auditor (--as) or operator.",
        ),
    ] = False,
    alias: AsOption = "",
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Replay the chain from genesis, verify every block, and compare every projection row.

    On an engine with commit seals give your trust roots (--under): every block's seals are verified,
    and one without a quorum ends the replay. Of several nodes (--node more than once), one that shows
    another block, lies or does not answer ends it, by its name.

    The log's entries are read from the ledger's database; without one, from a mirror, or from the log itself
    as an auditor (--as).

    With --remote the service does it, and what it reports is its word: compare its state digests with your
    own. Interrupting the command cancels the replay.

    Exit 0: no difference. Exit 1: each difference is named by database, table, key, field and both values.
    Exit 7: no difference found, but something could not be had (UNAVAILABLE, counted and listed).
    """
    output = Output(as_json)
    session = Session(data, alias, output)

    async def audit() -> ExitCode:
        from silkledger.audit.page import page
        from silkledger.audit.replay import Means
        from silkledger.cli.remote_audits import remote_replay
        from silkledger.cli.vault_terms import ServiceTerms

        if remote:
            here = node or under or database or mirror or trust_roots or work
            if here:
                raise CommandFailed(
                    ExitCode.USAGE, "--remote goes with --upto-block, --report and --html only"
                )
            return await remote_replay(session, upto_block, report, html)
        means = Means(work, processes, ServiceTerms())
        roots = None if under is None else _roots(under)
        if trust_roots is not None:
            _check_can_be_written(session, roots)
        result = await _replay(session, node or [], roots, database or [], mirror, upto_block, means)
        if report is not None:
            report.write_text(result.to_json(), encoding="utf-8")
        if html is not None:
            html.write_text(page(result), encoding="utf-8")
        if trust_roots is not None:
            trust_roots.write_text(result.trust_roots.to_json(), encoding="utf-8")
        output.result(result.document(), lambda: show_report(output, result))
        if result.differences:
            return ExitCode.FAILED
        return ExitCode.INCOMPLETE if result.unavailable else ExitCode.OK

    run(output, audit())


async def _replay(
    session: Session,
    node: list[str],
    roots: TrustRoots | None,
    database: list[str],
    mirror: Path | None,
    upto: int | None,
    means: Means,
) -> Report:
    """Raises: `CommandFailed` when the chain cannot be read, or does not verify."""
    from silkledger.audit.databases import Databases
    from silkledger.audit.replay import Audited, replay_ledger
    from silkledger.audit.work import WorkRefused
    from silkledger.evm.contracts import ContractMismatch
    from silkledger.evm.engines import profile_named
    from silkledger.evm.follower import FollowerHalted
    from silkledger.evm.port import NodeLied, NodeUnavailable
    from silkledger.runtime.db import DatabaseInUse
    from silkledger.runtime.settings import SettingsError

    try:
        named = Databases.named(database)
    except ValueError as error:
        raise CommandFailed(ExitCode.USAGE, str(error)) from error
    databases = named if database else Databases.embedded(session.directory.root)
    file = session.network_file
    profile = profile_named(file.engine)
    try:
        audited = Audited(file.to_network(), profile, file.origin, file.log_verifier_key, roots)
    except ValueError as error:
        raise CommandFailed(ExitCode.USAGE, f"--under: {error}") from error
    try:
        with session.output.progress("replaying blocks", None) as advance:
            url = ", ".join(node) or file.node_url
            source = await source_of(session, mirror, url)
            return await replay_ledger(audited, url, databases, advance, source, upto, means)
    except NodeUnavailable as error:
        raise CommandFailed(ExitCode.UNAVAILABLE, str(error)) from error
    except SettingsError as error:
        raise CommandFailed(ExitCode.USAGE, f"--node: {'; '.join(error.problems.values())}") from error
    except (WorkRefused, DatabaseInUse) as error:
        raise CommandFailed(ExitCode.USAGE, f"--work: {error}") from error
    except (FollowerHalted, ContractMismatch, NodeLied) as error:
        raise CommandFailed(ExitCode.FAILED, f"the chain does not verify: {error}") from error


def _check_can_be_written(session: Session, roots: TrustRoots | None) -> None:
    """Raises: `CommandFailed`: new trust roots lack the rules of the engine's seals."""
    from silkledger.evidence.header import EngineKind
    from silkledger.evm.engines import profile_named

    profile = profile_named(session.network_file.engine)
    if roots is None and profile.header_kind is EngineKind.QBFT:
        message = "--trust-roots: on an engine with commit seals they are made under others (--under)"
        raise CommandFailed(ExitCode.USAGE, message)


def _roots(path: Path) -> TrustRoots:
    from silkledger.cli.offline import TrustRootsUnreadable, read_trust_roots

    try:
        return read_trust_roots(path)
    except (TrustRootsUnreadable, OSError) as error:
        raise CommandFailed(ExitCode.USAGE, f"--under: {path}: {error}") from error


_VERDICTS = {
    "CLEAN": "[bold green]CLEAN[/]",
    "DIFFERENT": "[bold red]DIFFERENT[/]",
    "INCOMPLETE": "[bold yellow]INCOMPLETE[/]",
}


def show_report(output: Output, report: Report) -> None:
    from silkledger.audit.page import ASSURANCES

    last = report.last
    output.say(
        f"replayed blocks 0 to {block_text(last.number, last.time)}; {report.events} events, "
        f"{report.entries} log entries, {report.anchors} anchors; {ASSURANCES[report.assurance]}"
    )
    rows = [(t.database, t.table, t.rows, t.found, t.differences) for t in sorted(report.totals)]
    output.table("Control totals", ("database", "projection", "replayed", "found", "differences"), rows)
    if report.volumes:
        output.table("Volumes", ("event", "events"), [(v.kind, v.events) for v in report.volumes])
    if report.differences:
        output.table(
            "Differences",
            ("database", "table", "key", "field", "replayed", "found"),
            [(d.database, d.table, d.key, d.field, d.replayed, d.found) for d in report.differences],
        )
    for item in report.unavailable:
        output.say(f"[yellow]UNAVAILABLE:[/] {escape(item)}")
    if report.digests:
        output.say(f"state digest at block {last.number}: {report.digests[-1].digest}")
    output.say(f"{_VERDICTS[report.verdict]}; report digest {report.digest}")
