"""A deeply nested answer is an error of the call that got it, not the end of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
before = sys.getrecursionlimit()
import {module}
assert "py_ecc" in sys.modules
assert sys.getrecursionlimit() == before, "the limit was raised"
try:
    json.loads("[" * 200_000)
except RecursionError:
    print("refused")
"""


def _run(module: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(module=module)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_deep_json_is_refused_in_a_process_that_talks_to_a_chain() -> None:
    """That the libraries are imported nowhere else, import-linter holds."""
    done = _run("silkledger.evm.node, silkledger.evm.keystore")
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


@pytest.mark.parametrize("module", ["web3", "eth_keyfile"])
def test_why_the_limit_is_put_back(module: str) -> None:
    done = _run(module)
    assert done.returncode != 0
    assert "the limit was raised" in done.stderr, done.stderr
