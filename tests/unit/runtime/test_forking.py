"""A service that starts another program does not stand still while somebody connects."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from silkledger.ledger.v1 import ledger_pb2
from silkledger.runtime import server as serving
from silkledger.runtime.orphans import ending_with_parent
from tests.support.pki import TestCa

from .serving import DID, Probe, running, stub

GREETING_S = 0.5
WITHIN_S = 10.0
"""gRPC's handlers would wait for a minute."""


async def test_a_program_is_started_while_somebody_connects(
    tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeting = threading.Event()

    def slowly(_: object) -> None:
        """In a thread of gRPC's: it needs the interpreter lock again when it wakes."""
        greeting.set()
        time.sleep(GREETING_S)

    monkeypatch.setattr(serving._Certificates, "changed", slowly)
    ca = TestCa()
    async with running(ca, tmp_path, probe) as server:
        opened, service = stub(server, ca.organisation(DID, "agency"))
        call = asyncio.ensure_future(service.GetCheckpoint(ledger_pb2.GetCheckpointRequest()))
        assert await asyncio.to_thread(greeting.wait, WITHIN_S)
        began = time.monotonic()
        subprocess.Popen(["true"], preexec_fn=ending_with_parent()).wait()  # noqa: ASYNC220
        assert time.monotonic() - began < WITHIN_S
        assert DID in (await call).checkpoint
        await opened.close(None)


ENTRIES = [
    "services.identity.__main__",
    "services.ledger.__main__",
    "services.settlement.__main__",
    "silkledger.witness.__main__",
    "silkledger.cli",
    "silkledger.client",
    "bench.rig",
]
TOLD_AT_IMPORT = """
import importlib, os, sys

class Told:
    def find_spec(self, name, *_):
        if name == "grpc":
            print(os.environ.get("GRPC_ENABLE_FORK_SUPPORT"))

sys.meta_path.insert(0, Told())
importlib.import_module(sys.argv[1])
import grpc
"""


@pytest.mark.parametrize("entry", ENTRIES)
def test_grpc_is_told_before_it_is_imported(entry: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", TOLD_AT_IMPORT, entry],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin"},
        cwd=Path(__file__).resolve().parents[3],
    )
    assert run.stdout.split() == ["0"]
