"""`up` and `demo`: the embedded stack in the foreground."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from silkledger.cli.context import DEFAULT_DATA, DataOption, JsonOption, run
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.stack.directory import DataDirectory
    from silkledger.stack.embedded import Part


def add_to(app: typer.Typer) -> None:
    app.command("up")(up)
    app.command("demo")(demo)


def up(data: DataOption = DEFAULT_DATA) -> None:
    """Run the whole stack in the foreground. Ctrl-C stops it cleanly; the next `up` goes on.

    Starts the embedded chain, the ledger and identity services, and one settlement service for each enrolled
    bank. DEVELOPMENT ONLY. If a part dies, the others are stopped and the exit status is 1.
    """
    output = Output(False)
    # Read by grpc when it is loaded: we fork only to exec at once, which needs no help from it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    from silkledger.stack.directory import DataDirectory

    run(output, _up(DataDirectory(data.resolve()), output))


async def _up(directory: DataDirectory, output: Output) -> ExitCode:
    from silkledger.evm.anvil import ChainFailed
    from silkledger.evm.deploy import DeployFailed
    from silkledger.stack.certificates import WARNING
    from silkledger.stack.embedded import Stack
    from silkledger.stack.network import DifferentChain
    from silkledger.stack.supervisor import ChildDied, ChildNotReady

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with directory.run_lock():
        output.errors.print(f"[bold yellow]{WARNING}[/]")
        stack = Stack(directory, lambda text: output.errors.print(f"[dim]{text}[/]"))
        failure = ""
        try:
            stopped = asyncio.ensure_future(stop.wait())
            rising = asyncio.ensure_future(stack.up())
            await asyncio.wait({rising, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if rising.done():
                rising.result()
                _show(output, stack.parts())
                failed = asyncio.ensure_future(stack.failed())
                await asyncio.wait({failed, stopped}, return_when=asyncio.FIRST_COMPLETED)
                failure = failed.result() if failed.done() and not stopped.done() else ""
                failed.cancel()
            else:
                rising.cancel()
        except (ChainFailed, ChildDied, ChildNotReady, DeployFailed, DifferentChain, TimeoutError) as error:
            failure = str(error)
        finally:
            output.errors.print("[dim]stopping[/]")
            killed = await stack.down()
        for name in killed:
            output.errors.print(f"[red]{name} did not stop in time and was killed[/]")
    if failure:
        output.error(failure, {"code": "FAILED", "message": failure})
        return ExitCode.FAILED
    output.errors.print("[dim]stopped; `silkledger up` goes on from here[/]")
    return ExitCode.OK


def _show(output: Output, parts: Sequence[Part]) -> None:
    rows = [(part.name, part.address, part.pid) for part in parts]
    output.table("Silkledger is up (Ctrl-C stops it)", ("part", "address", "process"), rows)
    output.console.file.flush()


def demo(
    as_json: JsonOption = False,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep the stack's data and the evidence in this directory, for looking around."),
    ] = None,
) -> None:
    """Tell the whole story on a real stack in a temporary directory. Exit 0 only if all of it held."""
    from silkledger.cli.demo.story import tell

    output = Output(as_json)
    run(output, tell(output, keep))
