"""The order of the story, and the stack that it runs on: a real `silkledger up` in another process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from silkledger.cli.context import CommandFailed
from silkledger.cli.demo import (
    chapter_audit,
    chapter_documents,
    chapter_offline,
    chapter_payments,
    chapter_trust,
)
from silkledger.cli.demo.cast import Stage
from silkledger.cli.demo.narrator import Narrator
from silkledger.cli.exit_codes import ExitCode
from silkledger.cli.output import Output
from silkledger.runtime.orphans import ending_with_parent

_READY_SECONDS = 120.0
_STOP_SECONDS = 60.0


async def tell(output: Output, keep: Path | None) -> ExitCode:
    """All chapters. Exit 0 only if every claim held."""
    narrator = Narrator(output)
    if keep is not None:
        return await _tell(narrator, keep)
    with tempfile.TemporaryDirectory(prefix="silkledger-demo-") as folder:
        return await _tell(narrator, Path(folder))


async def _tell(narrator: Narrator, data: Path) -> ExitCode:
    stage = Stage(data, narrator)
    async with _stack(stage) as stop:
        narrator.chapter("2. Who is who")
        await chapter_trust.enrol_everybody(stage)
        await chapter_trust.accredit_and_recognise(stage)
        await _documents_and_payments(stage)
        narrator.chapter("5. Audit")
        await chapter_audit.replay_and_pin(stage)
        await chapter_audit.collect_evidence(stage)
        narrator.chapter("6. The stack is stopped")
        code = await stop()
        narrator.claim("Ctrl-C stops every part of the stack cleanly", code == 0, f"exit status {code}")
    chapter_offline.verify_offline(stage)
    narrator.chapter("7. Tampering")
    chapter_offline.change_a_byte_of_the_document(stage)
    chapter_offline.change_a_byte_of_the_proof(stage)
    await chapter_offline.change_a_byte_of_a_database_row(stage)
    narrator.finish()
    return ExitCode.OK if narrator.all_held else ExitCode.FAILED


async def _documents_and_payments(stage: Stage) -> None:
    narrator = stage.narrator
    narrator.chapter("3. Documents")
    await chapter_documents.register_documents(stage)
    await chapter_documents.refuse_what_is_not_accredited(stage)
    await chapter_documents.revoke_and_supersede(stage)
    await chapter_documents.ask_for_verdicts(stage)
    narrator.chapter("4. Payments")
    await chapter_payments.banks_serve(stage)
    await chapter_payments.pay(stage)


@asynccontextmanager
async def _stack(stage: Stage) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """`silkledger up` in a process of its own. Yields the function that stops it as Ctrl-C does."""
    stage.narrator.chapter("1. One command starts everything")
    stage.data.mkdir(parents=True, exist_ok=True)
    log = stage.data / "up.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "silkledger.cli",
            "up",
            "--data",
            str(stage.data),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=ending_with_parent(),
        )

    async def stop() -> int:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGINT)
        return await asyncio.wait_for(process.wait(), _STOP_SECONDS)

    try:
        await _until_up(process, log)
        file_ = stage.session("").network_file
        rows = [("chain (anvil)", file_.node_url), *sorted(file_.endpoints.items())]
        stage.narrator.table("Silkledger is up", ("part", "address"), rows)
        yield stop
    finally:
        if process.returncode is None:
            await stop()


async def _until_up(process: asyncio.subprocess.Process, log: Path) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + _READY_SECONDS
    while "Silkledger is up" not in _text(log):
        if process.returncode is not None or loop.time() > give_up:
            raise CommandFailed(ExitCode.FAILED, f"the stack did not start:\n{_text(log)[-4000:]}")
        await asyncio.sleep(0.1)


def _text(log: Path) -> str:
    return log.read_text("utf-8", "replace")
