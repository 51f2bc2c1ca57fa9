"""The `silkledger` command. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import typer

from silkledger.cli import (
    audits,
    documents,
    events,
    evidence,
    identities,
    logs,
    manifests,
    reconciliations,
    settlements,
    stacks,
    status_lists,
)
from silkledger.cli.exit_codes import MEANINGS

_EPILOG = "Exit status: " + "; ".join(f"{int(code)} {meaning}" for code, meaning in MEANINGS) + "."

app = typer.Typer(
    name="silkledger",
    help="A trade ledger that agencies, banks and auditors share without trusting whoever runs it.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
stacks.add_to(app)
app.add_typer(identities.organisations, name="org")
app.add_typer(identities.authorities, name="authority")
app.add_typer(status_lists.app, name="status-list")
app.add_typer(documents.app, name="document")
app.add_typer(manifests.app, name="manifest")
app.add_typer(evidence.app, name="evidence")
app.add_typer(settlements.app, name="settlement")
app.add_typer(reconciliations.statements, name="statement")
reconciliations.add_to(app)
app.add_typer(audits.app, name="audit")
app.add_typer(logs.app, name="log")
app.add_typer(events.app, name="events")


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
