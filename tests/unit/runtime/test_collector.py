"""Python's cycle collector in a service: it looks less often, and still frees cycles."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, weakref
from silkledger.runtime import server

class Node:
    pass

server.calm_collector()
assert gc.isenabled() and gc.get_freeze_count() > 10_000, gc.get_freeze_count()
first = Node()
first.itself, gone = first, weakref.ref(first)
del first
kept = [Node() for _ in range(server.COLLECT_AFTER // 4)]
assert gone() is not None, "looked before there was reason to"
kept += [Node() for _ in range(server.COLLECT_AFTER)]
assert gone() is None, "a cycle is never freed"
"""


def test_cycles_are_freed_though_later() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
