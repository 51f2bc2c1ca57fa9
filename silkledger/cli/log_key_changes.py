"""`log key new|add|end|list`: the operator changes the key that signs for the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from silkledger.cli.context import DEFAULT_DATA, CommandFailed, DataOption, JsonOption, Session, run
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.client.ledger import LedgerClient
    from silkledger.ledger.v1 import ledger_pb2 as pb

app = typer.Typer(
    help="The keys that sign for the log: add one on chain, end one (docs/formats/checkpoint.md).",
    no_args_is_help=True,
)

PATIENCE_S: Final = 60.0
"""How long a change may take to become final, before the command gives up waiting. It goes on all the same.
"""
LOOK_S: Final = 0.2

KeyArgument = Annotated[str, typer.Argument(metavar="VERIFIER-KEY", help="C2SP verifier key of the log.")]


@app.callback()
def _group() -> None:
    """The keys that sign for the log."""


@app.command("new")
def new(
    file: Annotated[Path, typer.Argument(metavar="PEM", help="File to write; there must be none.")],
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Make a key for the log and write it to a file that only its owner may read. Nothing is added on chain.

    In an embedded stack it signs from the next start on if it lies beside `services/ledger/log.pem` as
    `log-*.pem`.
    """
    from silkledger.keys import KeyFileError, Suite, generate, save_key
    from silkledger.log.checkpoint import LogVerifierKey

    output = Output(as_json)
    session = Session(data, "", output)

    async def work() -> ExitCode:
        key = generate(Suite.EDDSA)
        verifier_key = str(LogVerifierKey.of(session.network_file.origin, key.verifying_key))
        try:
            save_key(file, key)
        except (KeyFileError, OSError) as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from None
        output.result({"file": str(file), "verifier_key": verifier_key}, lambda: output.say(verifier_key))
        return ExitCode.OK

    run(output, work())


@app.command("add")
def add(key: KeyArgument, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Let another key sign for the log, beside those that count. Waits until that is final on chain."""
    _change(data, as_json, key, lambda ledger: ledger.add_log_key(key), lambda it: it.added_block)


@app.command("end")
def end(key: KeyArgument, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """End a key for ever. Waits until that is final on chain. Nothing that it signs counts for later anchors:
    end it when all that it promised is anchored, and no service signs with it first any more.
    """

    def ended(it: pb.LogKey) -> int | None:
        return it.ended_block if it.HasField("ended_block") else None

    _change(data, as_json, key, lambda ledger: ledger.end_log_key(key), ended)


@app.command("list")
def listed(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Every key that the log ever had, with the blocks between which it counts."""
    output = Output(as_json)
    session = Session(data, "", output)

    async def work() -> ExitCode:
        async with session.ledger(operator=True) as ledger:
            answer = await ledger.log_keys()
        keys = [_facts(it) for it in answer.keys]
        rows = [
            (it["verifier_key"] or "(another kind)", it["added_block"], it["ended_block"] or "", it["signs"])
            for it in keys
        ]
        output.result(
            {"keys": keys, "final_block": answer.final_block},
            lambda: output.table("Keys of the log", ("key", "added in", "ended in", "signs here"), rows),
        )
        return ExitCode.OK

    run(output, work())


def _facts(key: pb.LogKey) -> dict[str, str | int | bool | None]:
    return {
        "verifier_key": key.verifier_key,
        "added_block": key.added_block,
        "ended_block": key.ended_block if key.HasField("ended_block") else None,
        "signs": key.signs,
    }


def _change(
    data: Path,
    as_json: bool,
    key: str,
    ask: Callable[[LedgerClient], Awaitable[None]],
    block_of: Callable[[pb.LogKey], int | None],
) -> None:
    """Ask for the change, and wait until the block of it is final."""
    output = Output(as_json)
    session = Session(data, "", output)

    async def work() -> ExitCode:
        async with session.ledger(operator=True) as ledger:
            await ask(ledger)
            deadline = time.monotonic() + PATIENCE_S
            while True:
                answer = await ledger.log_keys()
                mine = [it for it in answer.keys if it.verifier_key == key]
                block = block_of(mine[0]) if mine else None
                if block is not None and block <= answer.final_block:
                    break
                if time.monotonic() > deadline:
                    raise CommandFailed(
                        ExitCode.TIMEOUT,
                        f"not final after {PATIENCE_S:.0f} s; see: silkledger log key list",
                    )
                await asyncio.sleep(LOOK_S)
        output.result(_facts(mine[0]), lambda: output.say(f"final in block {block}: {key}"))
        return ExitCode.OK

    run(output, work())
