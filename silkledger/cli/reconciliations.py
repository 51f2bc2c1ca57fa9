"""`statement import`, `reconcile`, `breaks`: the acting bank's reconciliation desk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silkledger.cli.context import DEFAULT_DATA, AsOption, DataOption, JsonOption, Session, run
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output
from silkledger.cli.settlements import money_text

if TYPE_CHECKING:
    from silkledger.settlement.v1 import settlement_pb2 as pb

statements = typer.Typer(help="Account statements of the acting bank.", no_args_is_help=True)


@statements.callback()
def _group() -> None:
    """Account statements of the acting bank."""


def add_to(app: typer.Typer) -> None:
    app.command("reconcile")(reconcile)
    app.command("breaks")(breaks)


@statements.command("import")
def import_statement(
    file: Annotated[Path, typer.Argument(help="camt.053, XML.")],
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Load an account statement. One that does not add up is quarantined: kept and shown, not matched."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            response = await settlement.import_statement(file.read_bytes())
        found = [
            {
                "statementId": s.statement_id,
                "account": s.account,
                "sequence": s.electronic_sequence_number,
                "entries": s.entries,
                "quarantined": s.quarantined,
                "reasons": list(s.reasons),
            }
            for s in response.statements
        ]
        rows = [
            (
                s.statement_id,
                s.account,
                s.entries,
                "; ".join(s.reasons) or ("quarantined" if s.quarantined else "loaded"),
            )
            for s in response.statements
        ]
        output.result(
            {"digest": "0x" + response.digest.hex(), "statements": found},
            lambda: output.table("Imported", ("statement", "account", "entries", ""), rows),
        )
        return ExitCode.OK

    run(output, work())


def reconcile(data: DataOption = DEFAULT_DATA, alias: AsOption = "", as_json: JsonOption = False) -> None:
    """Match payments and statement entries; explain every break in a sentence."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            run_ = await settlement.reconcile()
        data_ = {
            "runId": run_.run_id,
            "ruleVersion": run_.rule_version,
            "resultsDigest": "0x" + run_.results_digest.hex(),
            "matches": [
                {
                    "uetr": m.leg.uetr,
                    "entry": m.entry_reference,
                    "rule": m.rule,
                    "strength": m.strength,
                    "explanation": m.explanation,
                }
                for m in run_.matches
            ],
            "breaks": [break_json(item) for item in run_.breaks],
        }

        def show() -> None:
            rows = [(m.rule, m.strength, m.leg.uetr, m.entry_reference, m.explanation) for m in run_.matches]
            output.table("Matched", ("rule", "", "UETR", "entry", "why"), rows)
            show_breaks(output, list(run_.breaks))

        output.result(data_, show)
        return ExitCode.OK

    run(output, work())


def breaks(
    category: Annotated[str, typer.Option(help="e.g. AMOUNT; none lists all.")] = "",
    data: DataOption = DEFAULT_DATA,
    alias: AsOption = "",
    as_json: JsonOption = False,
) -> None:
    """List open breaks. Exit 0 whether there are any or not."""
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        async with session.settlement() as settlement:
            found = [item async for item in settlement.list_breaks(category)]
        output.result({"breaks": [break_json(item) for item in found]}, lambda: show_breaks(output, found))
        return ExitCode.OK

    run(output, work())


def break_json(item: pb.Break) -> dict[str, Any]:
    return {
        "breakId": item.break_id,
        "category": item.category,
        "uetr": item.leg.uetr,
        "entry": item.entry_reference,
        "oursMinor": item.ours.amount_minor if item.HasField("ours") else None,
        "theirsMinor": item.theirs.amount_minor if item.HasField("theirs") else None,
        "explanation": item.explanation,
        "age": item.age,
    }


def show_breaks(output: Output, found: list[pb.Break]) -> None:
    rows = [
        (b.category, b.leg.uetr, money_text(b.ours), money_text(b.theirs), b.age, b.explanation)
        for b in found
    ]
    output.table("Breaks", ("category", "UETR", "ours", "theirs", "age", "explanation"), rows)
