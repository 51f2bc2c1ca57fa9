"""`evidence`: offline verification. Needs no service, no network and none of the service dependencies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silkledger.cli import attachments, breaches, completeness, equivocations, genesis
from silkledger.cli.context import AllowUnsealed, JsonOption
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

app = typer.Typer(help="Evidence files: verify offline.", no_args_is_help=True)
app.add_typer(equivocations.app, name="equivocation")
app.add_typer(breaches.app, name="breach")
app.add_typer(completeness.app, name="completeness")
app.command("trust-roots")(genesis.trust_roots)


app.command("attach")(attachments.attach)


@app.callback()
def _group() -> None:
    """Evidence files: verify offline."""


@app.command("verify")
def verify(
    document: Annotated[Path, typer.Argument(help="The document, exactly as it was registered.")],
    evidence: Annotated[Path, typer.Argument(help="The evidence file.")],
    trust_roots: Annotated[
        Path, typer.Option(help="What you pin: chain, contracts, log. From a source that you trust.")
    ],
    relying: Annotated[
        str, typer.Option(help="Country on whose behalf; default: that of the trust roots.")
    ] = "",
    as_of: Annotated[
        int | None, typer.Option(help="Block whose header is in the evidence; default: its newest one.")
    ] = None,
    allow_unsealed: AllowUnsealed = False,
    as_json: JsonOption = False,
) -> None:
    """Verify a document against an evidence file and pinned trust roots, with no network at all."""
    output = Output(as_json)
    raise typer.Exit(int(_verify(document, evidence, trust_roots, relying, as_of, allow_unsealed, output)))


def _verify(
    document: Path,
    evidence: Path,
    trust_roots: Path,
    relying: str,
    as_of: int | None,
    allow_unsealed: bool,
    output: Output,
) -> ExitCode:
    from silkledger.cli.offline import TrustRootsUnreadable, verify_files
    from silkledger.cli.verdicts import from_evidence

    try:
        verdict = from_evidence(verify_files(document, evidence, trust_roots, relying, as_of))
    except FileNotFoundError as error:
        output.error(str(error), {"code": "USAGE", "message": str(error)})
        return ExitCode.USAGE
    except TrustRootsUnreadable as error:
        output.error(f"{trust_roots}: {error}", {"code": "USAGE", "message": str(error)})
        return ExitCode.USAGE
    code = verdict.exit_code(allow_unsealed=allow_unsealed)
    data = {"document": str(document), "evidence": str(evidence), **verdict.to_json(), "exitCode": int(code)}
    output.result(data, lambda: verdict.show(output, str(document)))
    return code
