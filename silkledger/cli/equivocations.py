"""`evidence equivocation`: prove that somebody signed two things that contradict each other. Offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silkledger.cli.context import JsonOption
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.evidence.equivocation import Equivocation

app = typer.Typer(help="Prove who signed twice: blocks, checkpoints, or status lists.", no_args_is_help=True)

LogKey = Annotated[
    list[str] | None,
    typer.Option(help="Verifier key of the log, for checkpoints; again for each that it had."),
]


@app.callback()
def _group() -> None:
    """Prove who signed twice: blocks, checkpoints, or status lists."""


@app.command("make")
def make(
    one: Annotated[
        Path, typer.Argument(help="An evidence file, a raw QBFT header, a checkpoint, or a status list.")
    ],
    other: Annotated[Path, typer.Argument(help="Another of the same kind, that contradicts it.")],
    out: Annotated[Path, typer.Option(help="Where to write the proof.")],
    log_key: LogKey = None,
    issuer_key: Annotated[str, typer.Option(help="Issuer's key as Multikey, for status lists.")] = "",
    evidence: Annotated[
        Path | None,
        typer.Option(
            help="To show whose key it is: for status lists, evidence of a statement by the issuer; for"
            " checkpoints, of one in the log."
        ),
    ] = None,
    trust_roots: Annotated[
        Path | None, typer.Option(help="Of a QBFT network in contract mode: needed to read who seals.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Pack two blocks of one height, two checkpoints of one size, or two status lists of one sequence, into a
    proof that names the signers.

    Of two evidence files the lowest height is taken at which they have different blocks, with the headers
    below it as lineage; otherwise their checkpoints.
    """
    from silkledger.cli.offline import TrustRootsUnreadable, read_trust_roots
    from silkledger.evidence.contradiction import contradicting_lists, find_contradiction
    from silkledger.evidence.equivocation import verify_equivocation
    from silkledger.evidence.errors import EvidenceInvalid

    output = Output(as_json)
    try:
        pair = one.read_bytes(), other.read_bytes()
        shown = evidence.read_bytes() if evidence is not None else None
        if issuer_key:
            data = contradicting_lists(*pair, issuer_key, shown).encode()
        else:
            data = find_contradiction(*pair, log_key or (), shown).encode()
        found = verify_equivocation(data, read_trust_roots(trust_roots) if trust_roots is not None else None)
    except (FileNotFoundError, TrustRootsUnreadable) as error:
        raise _failed(output, ExitCode.USAGE, "USAGE", str(error)) from None
    except EvidenceInvalid as error:
        raise _failed(output, ExitCode.FAILED, error.reason.value, error.detail) from None
    out.write_bytes(data)
    output.result({"proof": str(out), **_facts(found)}, lambda: _show(output, found, str(out)))


@app.command("verify")
def verify(
    proof: Annotated[Path, typer.Argument(help="The proof.")],
    trust_roots: Annotated[
        Path | None, typer.Option(help="What you pin. Without it, whose keys these are is not known.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify such a proof. Exit 7: it is proven, but your trust roots do not say whose keys these are."""
    from silkledger.cli.offline import TrustRootsUnreadable, read_trust_roots
    from silkledger.evidence.equivocation import verify_equivocation
    from silkledger.evidence.errors import EvidenceInvalid

    output = Output(as_json)
    try:
        roots = read_trust_roots(trust_roots) if trust_roots is not None else None
        found = verify_equivocation(proof.read_bytes(), roots)
    except (FileNotFoundError, TrustRootsUnreadable) as error:
        raise _failed(output, ExitCode.USAGE, "USAGE", str(error)) from None
    except EvidenceInvalid as error:
        raise _failed(output, ExitCode.FAILED, error.reason.value, error.detail) from None
    output.result({"proof": str(proof), **_facts(found)}, lambda: _show(output, found, str(proof)))
    if not found.pinned:
        raise typer.Exit(int(ExitCode.INCOMPLETE))


def _failed(output: Output, code: ExitCode, reason: str, message: str) -> typer.Exit:
    output.error(f"{reason}: {message}", {"code": reason, "message": message})
    return typer.Exit(int(code))


def _facts(found: Equivocation) -> dict[str, object]:
    return {
        "kind": found.kind.name.lower(),
        "subject": found.subject,
        "values": list(found.values),
        "signedBoth": list(found.signers),
        "eachAtFault": found.each_at_fault,
        "pinned": found.pinned,
    }


def _show(output: Output, found: Equivocation, title: str) -> None:
    fault = "yes" if found.each_at_fault else "not proven of each: the seals are of different rounds"
    known = "as your trust roots say" if found.pinned else "not known: no trust roots say so"
    rows: list[tuple[str, object]] = [("about", found.subject)]
    rows += [("signed", value) for value in found.values]
    rows += [("signed both", signer) for signer in found.signers]
    output.facts(title, [*rows, ("each at fault", fault), ("whose keys", known)])
