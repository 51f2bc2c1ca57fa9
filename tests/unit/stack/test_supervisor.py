"""Children live and die together: with real processes, no fakes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from silkledger.stack.supervisor import ChildDied, ChildNotReady, ChildSpec, Supervisor

_STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("on", flush=True)
time.sleep(60)
"""
_NOTING = """
import pathlib, signal, sys, time
def note(*_):
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, note)
print("on", flush=True)
time.sleep(60)
"""


def _python(
    name: str, code: str, *arguments: str, log: Path | None = None, ready: bool = True, wave: int = 0
) -> ChildSpec:
    def said_on() -> bool:
        return log is not None and log.exists() and b"on" in log.read_bytes()

    async def is_on() -> None:
        async with asyncio.timeout(20):
            while not said_on():  # noqa: ASYNC110 - another process's file has no event
                await asyncio.sleep(0.01)

    argv = (sys.executable, "-c", code, *arguments)
    return ChildSpec(name, argv, log=log, ready=is_on if ready and log is not None else None, wave=wave)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_stops_in_reverse_order(tmp_path: Path) -> None:
    supervisor = Supervisor()
    notes = tmp_path / "notes"
    for wave, name in enumerate(("first", "second", "third")):
        await supervisor.start(_python(name, _NOTING, str(notes), name, log=tmp_path / name, wave=wave))
    assert await supervisor.stop_all() == []
    assert notes.read_text().split() == ["third", "second", "first"]


async def test_a_child_that_ignores_sigterm_is_killed_and_named(tmp_path: Path) -> None:
    supervisor = Supervisor()
    await supervisor.start(_python("stubborn", _STUBBORN, log=tmp_path / "log"))
    pid = supervisor.pids["stubborn"]
    assert await supervisor.stop_all(stop_seconds=0.2) == ["stubborn"]
    assert not _alive(pid)


async def test_an_unexpected_death_is_named_with_its_status_and_last_words(tmp_path: Path) -> None:
    supervisor = Supervisor()
    code = "print('out of cheese'); raise SystemExit(7)"
    await supervisor.start(_python("frail", code, log=tmp_path / "log", ready=False))
    death = await asyncio.wait_for(supervisor.failure(), 20)
    assert (death.name, death.status) == ("frail", 7)
    assert "frail died (exit status 7)" in str(death)
    assert "out of cheese" in str(death)
    await supervisor.stop_all()


async def test_a_killed_child_is_told_by_signal(tmp_path: Path) -> None:
    supervisor = Supervisor()
    await supervisor.start(_python("victim", _NOTING, str(tmp_path / "n"), "v", log=tmp_path / "log"))
    os.kill(supervisor.pids["victim"], signal.SIGKILL)
    death = await asyncio.wait_for(supervisor.failure(), 20)
    assert "victim died (killed by SIGKILL)" in str(death)
    await supervisor.stop_all()


async def test_stopping_on_purpose_is_no_failure(tmp_path: Path) -> None:
    supervisor = Supervisor()
    await supervisor.start(_python("good", _NOTING, str(tmp_path / "n"), "g", log=tmp_path / "log"))
    await supervisor.stop_all()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(supervisor.failure(), 0.05)


async def test_death_before_ready_fails_the_start(tmp_path: Path) -> None:
    supervisor = Supervisor()
    with pytest.raises(ChildDied, match="stillborn died"):
        await supervisor.start(_python("stillborn", "raise SystemExit(3)", log=tmp_path / "log"))
    await supervisor.stop_all()


async def test_never_ready_fails_the_start(tmp_path: Path) -> None:
    supervisor = Supervisor()
    spec = _python("slow", "import time; time.sleep(60)", log=tmp_path / "log")
    with pytest.raises(ChildNotReady, match="slow"):
        await supervisor.start(spec, ready_seconds=0.2)
    await supervisor.stop_all()


@pytest.mark.parametrize("how", [signal.SIGKILL])
def test_no_child_outlives_a_killed_parent(how: signal.Signals, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.fail("this guarantee is for Linux; run the suite there")
    code = textwrap.dedent(
        """
        import asyncio, sys
        from silkledger.stack.supervisor import ChildSpec, Supervisor
        async def main():
            supervisor = Supervisor()
            argv = (sys.executable, "-c", "import time; time.sleep(60)")
            await supervisor.start(ChildSpec("child", argv))
            print(supervisor.pids["child"], flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _alive(child)
    os.kill(parent.pid, how)
    parent.wait(20)
    # A zombie may remain until init reaps it: it runs no more, which is what counts.
    deadline = 200
    while _alive(child) and deadline:
        deadline -= 1
        signal.sigtimedwait([], 0.05)
    assert not _alive(child)
    parent.stdout.close()
