"""No process outlives the one that started it, however that one ends.

Linux only (PR_SET_PDEATHSIG, prctl(2)): elsewhere nothing is promised. The kernel counts the *thread* that
started a process as its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
"""linux/prctl.h."""


def end_with(parent: int) -> None:
    """Have the kernel kill (SIGKILL) this process when `parent`, which started it, ends; at once if it has
    ended already.
    """
    prctl = _prctl()
    if prctl is not None:
        _arm(prctl, parent)


def ending_with_parent(*, own_group: bool = False) -> Callable[[], None] | None:
    """`end_with` as a preexec function for a child of this process. None where nothing can be promised.

    With `own_group` a Ctrl-C in the terminal is for the parent alone, who then stops the child in order.
    """
    prctl, parent = _prctl(), os.getpid()  # here: loading a library between fork and exec is not safe
    if prctl is None:
        return None

    def prepare() -> None:
        if own_group:
            os.setpgid(0, 0)
        _arm(prctl, parent)

    return prepare


def _prctl() -> Any:
    return ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _arm(prctl: Any, parent: int) -> None:
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above
        os._exit(1)
