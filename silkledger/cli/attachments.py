"""`evidence attach`: put a promise and cosignatures into an evidence file. Offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silkledger.cli.context import JsonOption
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.evidence.bundle import LogSection


def attach(
    evidence: Annotated[Path, typer.Argument(help="The evidence file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the new evidence file.")],
    promise: Annotated[
        Path | None, typer.Option(help="The log's promise about the statement, as it was received.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The evidence's own checkpoint, with the witnesses' lines.")
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option(help="Verifier key of a witness whose line is to be taken.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Add the log's promise or witnesses' cosignatures to an evidence file. `evidence verify` checks them."""
    output = Output(as_json)
    raise typer.Exit(int(_attach(evidence, out, promise, checkpoint, witness or [], output)))


def _attach(
    evidence: Path,
    out: Path,
    promise: Path | None,
    checkpoint: Path | None,
    witnesses: list[str],
    output: Output,
) -> ExitCode:
    from dataclasses import replace

    from silkledger.evidence.bundle import decode_bundle
    from silkledger.evidence.errors import EvidenceInvalid

    if promise is None and checkpoint is None:
        return _usage(output, "nothing to attach: give --promise, or --checkpoint with --witness")
    if (checkpoint is None) != (not witnesses):
        return _usage(output, "--checkpoint and --witness go together")
    try:
        bundle = decode_bundle(evidence.read_bytes())
        if promise is not None:
            bundle = replace(bundle, promise=promise.read_bytes())
        if checkpoint is not None:
            log = _cosigned(bundle.log, checkpoint.read_text(encoding="utf-8"), witnesses)
            bundle = replace(bundle, log=log)
    except (EvidenceInvalid, ValueError, FileNotFoundError) as error:
        return _usage(output, str(error))
    data = bundle.encode()
    out.write_bytes(data)
    result = {
        "file": str(out),
        "bytes": len(data),
        "promise": bundle.promise is not None,
        "cosigners": list(bundle.log.cosigners),
    }
    output.result(result, lambda: output.say(f"{out}: {len(data)} bytes"))
    return ExitCode.OK


def _cosigned(log: LogSection, note: str, witnesses: list[str]) -> LogSection:
    """Raises: ValueError, NoteError: another checkpoint, or a witness without a line in it."""
    from silkledger.evidence.assemble import cosigned
    from silkledger.log.checkpoint import LogVerifierKey, parse_note

    given, own = parse_note(note), parse_note(log.checkpoint.decode())
    if given.body != own.body:
        raise ValueError("the checkpoint is of another size, root or log than the evidence's")
    lines = {}
    for text in witnesses:
        key = LogVerifierKey.parse(text)
        found = [line for line in given.signatures if (line.name, line.key_id) == (key.name, key.key_id)]
        if not found:
            raise ValueError(f"the checkpoint has no line by {text}")
        lines[text] = found[-1].line()
    return cosigned(log, lines)


def _usage(output: Output, message: str) -> ExitCode:
    output.error(message, {"code": ExitCode.USAGE.name, "message": message})
    return ExitCode.USAGE
