"""`up` and `demo`: the embedded stack in the foreground."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from silkledger.cli.context import DEFAULT_DATA, DataOption, JsonOption, run
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output

if TYPE_CHECKING:
    from silkledger.stack.directory import DataDirectory
    from silkledger.stack.embedded import Part, Stack


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
    from silkledger.stack.certificates import WARNING
    from silkledger.stack.embedded import Stack

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with directory.run_lock():
        output.errors.print(f"[bold yellow]{WARNING}[/]")
        stack = Stack(directory, lambda text: output.errors.print(text, style="dim", markup=False))
        try:
            failure = await _run_until(stack, stop, output)
        finally:
            output.errors.print("[dim]stopping[/]")
            killed = await stack.down()
        for name in killed:
            output.errors.print(f"{name} did not stop in time and was killed", style="red", markup=False)
    if failure:
        output.error(failure, {"code": "FAILED", "message": failure})
        return ExitCode.FAILED
    output.errors.print("[dim]stopped; `silkledger up` goes on from here[/]")
    return ExitCode.OK


async def _run_until(stack: Stack, stop: asyncio.Event, output: Output) -> str:
    """Why the stack failed; empty when it was told to stop, also while it was still starting."""
    from silkledger.evm.anvil import ChainFailed
    from silkledger.evm.deploy import DeployFailed
    from silkledger.evm.port import NodeError
    from silkledger.stack.network import DifferentChain
    from silkledger.stack.supervisor import ChildDied, ChildNotReady

    stopped = asyncio.ensure_future(stop.wait())
    try:
        if not await _first(asyncio.ensure_future(stack.up()), stopped):
            return ""
        _show(output, stack.parts())
        failed = asyncio.ensure_future(stack.failed())
        return failed.result() if await _first(failed, stopped) else ""
    except (
        ChainFailed,
        ChildDied,
        ChildNotReady,
        DeployFailed,
        DifferentChain,
        NodeError,
        TimeoutError,
    ) as error:
        return str(error)
    finally:
        stopped.cancel()


async def _first(work: asyncio.Future[Any], stopped: asyncio.Future[Any]) -> bool:
    """Waits for either. True when the work came to its end (its error is raised), False when told to stop."""
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
        return True
    work.cancel()
    await asyncio.wait({work})
    return False


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
    if keep is not None and keep.exists() and any(keep.iterdir()):
        message = f"{keep} is not empty; the story begins on an empty directory"
        output.error(message, {"code": ExitCode.USAGE.name, "message": message})
        raise typer.Exit(int(ExitCode.USAGE))
    run(output, tell(output, None if keep is None else keep.resolve()))
