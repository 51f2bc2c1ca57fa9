"""`log mirror`, `log verify`, `log restore`: the log in anybody's hands, and given back from there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from silkledger.cli import log_key_changes
from silkledger.cli.context import (
    DEFAULT_DATA,
    AsOption,
    CommandFailed,
    DataOption,
    JsonOption,
    Session,
    run,
)
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.log_keys import given_log_keys, known_log_keys
from silkledger.cli.output import Output

app = typer.Typer(help="The log: mirrors of it, verified; restoring it from one.", no_args_is_help=True)

MirrorArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the mirror.")]
LogKeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log-key",
        help="Verifier key of the log; again for each key that it had. Default: the one in network.json and,"
        " where its node answers, those that count on chain.",
    ),
]
OfflineLogKeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--log-key",
        help="Verifier key of the log; again for each key that it had. Default: the one in network.json.",
    ),
]


app.add_typer(log_key_changes.app, name="key")


@app.callback()
def _group() -> None:
    """The log: mirrors of it, verified; restoring it from one."""


@app.command("mirror")
def mirror(
    directory: MirrorArgument,
    every: Annotated[
        float, typer.Option(min=0.0, help="Go on, looking again after so many seconds. 0: once.")
    ] = 0.0,
    log_key: LogKeyOption = None,
    alias: AsOption = "",
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Bring a mirror up to the log's checkpoint, as an auditor (--as) or as the operator.

    Every extension is proven before it is believed; a mirror that was cut off is gone on with. The directory
    can be served by any web server (C2SP tlog-tiles). Exit 1: the log forked, rolled back, or gave entries
    that it did not sign; what it signed instead is kept in DIR/refused.
    """
    output = Output(as_json)
    session = Session(data, alias, output)

    async def work() -> ExitCode:
        with mirror_failures():
            while True:
                await _mirror_once(session, directory, log_key or [], quiet=bool(every))
                if not every:
                    return ExitCode.OK
                await asyncio.sleep(every)

    run(output, work())


async def _mirror_once(session: Session, directory: Path, given: list[str], *, quiet: bool) -> None:
    from silkledger.mirror.directory import MirrorDirectory
    from silkledger.mirror.follow import extend

    output, keys = session.output, await known_log_keys(session, given=given)
    target = MirrorDirectory(directory)
    with target.owned():
        async with session.ledger(operator=not session.alias) as ledger:
            extension = await extend(target, ledger, keys)
    old, new = extension.old_size, extension.checkpoint
    if quiet and old == new.size:
        return
    output.result(
        {"origin": new.origin, "old_size": old, "size": new.size, "root": new.root.hex()},
        lambda: output.say(
            f"mirrored {new.size - old} entries: {new.origin} at {new.size}, root {new.root.hex()}"
        ),
    )


@app.command("verify")
def verify(
    directory: MirrorArgument,
    log_key: OfflineLogKeyOption = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Compute a mirror again from its entries, offline: every tile, the root, the log's signature.

    Exit 1: something in it is not what the log signed, and is named. Exit 7: a file is missing.
    """
    from silkledger.mirror.directory import MirrorDirectory
    from silkledger.mirror.verify import verify_mirror

    output = Output(as_json)
    session = Session(data, "", output)

    async def work() -> ExitCode:
        with mirror_failures():
            found = verify_mirror(MirrorDirectory(directory), given_log_keys(session, log_key or []))
        head = found.checkpoint
        output.result(
            {"origin": head.origin, "size": head.size, "root": head.root.hex(), "tiles": found.tiles},
            lambda: output.say(
                f"{head.origin}: {head.size} entries and {found.tiles} tiles, root {head.root.hex()}"
            ),
        )
        return ExitCode.OK

    run(output, work())


@app.command("restore")
def restore(
    directory: MirrorArgument,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint that somebody else holds; the mirror must hold it too."),
    ] = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Give the ledger's database what an older backup lacks: entries from a mirror, nonces from the chain.

    The stack must be stopped. Nothing is written unless the mirror holds every anchored entry. What was
    accepted and never logged is logged when its holder submits it again with the same request.
    """
    output = Output(as_json)
    session = Session(data, "", output)

    async def work() -> ExitCode:
        answer = _restore(session, directory, checkpoint or [])
        output.result(answer, lambda: output.facts("Restored", answer.items()))
        return ExitCode.OK

    run(output, work())


def _restore(session: Session, directory: Path, checkpoints: list[Path]) -> dict[str, Any]:
    """Runs the ledger service's own restore, on the stack's chain. Raises: CommandFailed."""
    from silkledger.stack.maintenance import SERVICES_ROOT, ledger_stopped

    with ledger_stopped(session.directory) as environment:
        arguments = [str(path.resolve()) for path in (directory, *checkpoints)]
        result = subprocess.run(
            [sys.executable, "-m", "services.ledger.restore", *arguments],
            cwd=SERVICES_ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    answer: dict[str, Any] = json.loads(result.stdout or "{}")
    if result.returncode:
        code = ExitCode.FAILED if result.returncode == 1 else ExitCode.USAGE
        raise CommandFailed(code, f"{answer.get('reason')}: {answer.get('detail')}", answer)
    return answer


@contextmanager
def mirror_failures() -> Iterator[None]:
    """What is wrong with a mirror or its log, as an exit code."""
    from silkledger.mirror.errors import MirrorError

    codes = {
        "MIRROR_EMPTY": ExitCode.INCOMPLETE,
        "MIRROR_INCOMPLETE": ExitCode.INCOMPLETE,
        "MIRROR_IN_USE": ExitCode.USAGE,
    }
    try:
        yield
    except MirrorError as error:
        code = codes.get(error.reason, ExitCode.FAILED)
        raise CommandFailed(code, str(error), {"reason": error.reason}) from None
