"""`evidence breach`: prove that a log had not logged a statement by the time it promised to. Offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silkledger.cli.context import JsonOption
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output, local_time

if TYPE_CHECKING:
    from silkledger.evidence.breach import Breach
    from silkledger.log.checkpoint import LogVerifierKey

app = typer.Typer(help="Prove that a log broke a promise.", no_args_is_help=True)

LogKey = Annotated[
    list[str],
    typer.Option(
        help="Verifier key of the log; again for each key that it had. From a source that you trust."
    ),
]
WitnessKey = Annotated[
    str, typer.Option(help="Verifier key of the witness that dated the head. From a source that you trust.")
]


@app.callback()
def _group() -> None:
    """Prove that a log broke a promise."""


@app.command("make")
def make(
    promise: Annotated[Path, typer.Argument(help="The promise, as it was received.")],
    statement: Annotated[str, typer.Argument(help="Statement id, hexadecimal.")],
    checkpoint: Annotated[Path, typer.Option(help="A later checkpoint, cosigned by the witness.")],
    mirror: Annotated[Path, typer.Option(help="A mirror of the log, up to that checkpoint at least.")],
    log_key: LogKey,
    witness_key: WitnessKey,
    out: Annotated[Path, typer.Option(help="Where to write the proof.")],
    as_json: JsonOption = False,
) -> None:
    """Pack a promise, a head dated after its time, and all entries up to that head, into a proof."""
    from silkledger.evidence.breach import prove_breach, verify_breach
    from silkledger.evidence.errors import EvidenceInvalid
    from silkledger.log.checkpoint import NoteError, verify_note
    from silkledger.log.tiles import TileError
    from silkledger.mirror.directory import MirrorDirectory
    from silkledger.mirror.errors import MirrorError
    from silkledger.mirror.follow import held
    from silkledger.mirror.verify import read_entries
    from silkledger.values import StatementId, ValueShapeError

    output = Output(as_json)
    try:
        log, witness = _keys(log_key, witness_key)
        note = checkpoint.read_text(encoding="utf-8")
        directory, size = MirrorDirectory(mirror), verify_note(note, log).size
        entries = list(read_entries(directory, 0, held(directory, log).size))[:size]
        identifier = StatementId.from_hex(statement)
        data = prove_breach(promise.read_bytes(), identifier, note, entries, log, witness).encode()
        found = verify_breach(data, log, witness)
    except (OSError, UnicodeDecodeError, ValueShapeError, NoteError, MirrorError, TileError) as error:
        raise _failed(output, ExitCode.USAGE, "USAGE", str(error)) from None
    except EvidenceInvalid as error:
        raise _failed(output, ExitCode.FAILED, error.reason.value, error.detail) from None
    out.write_bytes(data)
    _result(output, found, str(out))


@app.command("verify")
def verify(
    proof: Annotated[Path, typer.Argument(help="The proof.")],
    log_key: LogKey,
    witness_key: WitnessKey,
    as_json: JsonOption = False,
) -> None:
    """Verify such a proof, with no network at all."""
    from silkledger.evidence.breach import verify_breach
    from silkledger.evidence.errors import EvidenceInvalid
    from silkledger.log.checkpoint import NoteError

    output = Output(as_json)
    try:
        log, witness = _keys(log_key, witness_key)
        found = verify_breach(proof.read_bytes(), log, witness)
    except (OSError, NoteError) as error:
        raise _failed(output, ExitCode.USAGE, "USAGE", str(error)) from None
    except EvidenceInvalid as error:
        raise _failed(output, ExitCode.FAILED, error.reason.value, error.detail) from None
    _result(output, found, str(proof))


def _keys(log_key: list[str], witness_key: str) -> tuple[list[LogVerifierKey], LogVerifierKey]:
    from silkledger.log.checkpoint import LogVerifierKey, log_name

    log = [LogVerifierKey.parse(key) for key in log_key]
    log_name(log)
    return log, LogVerifierKey.parse(witness_key)


def _failed(output: Output, code: ExitCode, reason: str, message: str) -> typer.Exit:
    output.error(f"{reason}: {message}", {"code": reason, "message": message})
    return typer.Exit(int(code))


def _result(output: Output, found: Breach, title: str) -> None:
    log_by_s = found.promise.log_by_ms / 1000
    data = {
        "proof": title,
        "log": found.head.origin,
        "statement": str(found.statement_id),
        "promisedTo": str(found.promise.organisation),
        "logByUnixMs": found.promise.log_by_ms,
        "headSize": found.head.size,
        "headDatedUnixS": found.dated_s,
    }
    rows: list[tuple[str, object]] = [
        ("log", found.head.origin),
        ("statement", found.statement_id),
        ("promised to", found.promise.organisation),
        ("to be logged by", local_time(log_by_s)),
        ("not in the log of", f"{found.head.size} entries at {local_time(found.dated_s)}"),
    ]
    output.result(data, lambda: output.facts(title, rows))
