"""Processes that end with the one that started them, however that one ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from silkledger.runtime.orphans import ending_with_parent

CHILD = "import os, sys, time; {first}; print(os.getpid(), flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"
BIND = "from silkledger.runtime.orphans import end_with; end_with({parent})"


def _alive(pid: int) -> bool:
    """Whether it runs: not when it is gone, or a zombie that waits for init."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def _orphaned(first: str) -> int:
    """A child whose parent was killed."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(first=first)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    return child


def test_a_bound_child_ends_with_its_killed_parent() -> None:
    child = _orphaned(BIND.format(parent="os.getppid()"))
    deadline = time.monotonic() + 10
    while _alive(child):
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.01)


def test_a_child_that_is_not_bound_lives_on() -> None:
    child = _orphaned("pass")
    time.sleep(0.2)
    assert _alive(child)
    os.kill(child, signal.SIGKILL)


def test_a_child_whose_parent_has_ended_already_ends_at_once() -> None:
    stranger = CHILD.format(first=BIND.format(parent="1 << 30"))
    done = subprocess.run([sys.executable, "-c", stranger], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("own_group", [False, True])
def test_a_child_has_a_process_group_of_its_own_if_told_so(own_group: bool) -> None:
    program = [sys.executable, "-c", "import os; print(os.getpgid(0) == os.getpid())"]
    told = subprocess.run(
        program,
        preexec_fn=ending_with_parent(own_group=own_group),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == f"{own_group}\n"
