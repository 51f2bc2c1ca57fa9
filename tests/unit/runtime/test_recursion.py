"""A deeply nested answer is an error of the call that got it, not the end of the process."""

from __future__ import annotations

import subprocess
import sys

from silkledger.runtime.server import RECURSION_LIMIT

PROGRAM = """
import json, sys
import silkledger.evm.node
from silkledger.runtime import server
print(sys.getrecursionlimit())

async def main():
    try:
        json.loads("[" * 200_000)
    except RecursionError:
        print("refused", sys.getrecursionlimit())

server.run(main)
"""


def test_deep_json_is_refused_in_a_service_that_talks_to_a_chain() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    raised, refused = done.stdout.splitlines()
    assert int(raised) > RECURSION_LIMIT  # why it has to be set at all
    assert refused == f"refused {RECURSION_LIMIT}"
