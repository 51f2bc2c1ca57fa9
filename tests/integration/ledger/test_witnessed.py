"""A ledger process and two witness processes, one of which is down: readers get cosigned checkpoints."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evidence.bundle import decode_bundle
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.log.checkpoint import LogVerifierKey, verify_cosignature, verify_note
from tests.integration.ledger.conftest import ROOT, Founded, Ledger, id_of, opened, reached, register
from tests.support.anvil import eventually
from tests.support.grpc_clients import channel


def witness(directory: Path, log: Ledger) -> tuple[subprocess.Popen[str], str]:
    """The process, and `URL VERIFIER-KEY`."""
    log_key = LogVerifierKey.of(log.origin, log.log_key.verifying_key)
    name, state = f"witness.example/{directory.name}", directory / "state.sqlite"
    options = ["--name", name, "--key", directory / "key.pem", "--state", state, "--log", log_key]
    process = subprocess.Popen(
        [sys.executable, "-m", "silkledger.witness", *map(str, options)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    vkey, url = process.stdout.readline().strip(), process.stdout.readline().strip()
    return process, f"{url} {vkey}"


@pytest.fixture
def ledger(founded: Founded, tmp_path: Path, database_url: str) -> Iterator[Ledger]:
    """Not started: its witnesses need its key first."""
    (tmp_path / "ledger").mkdir()
    made = Ledger(founded, tmp_path / "ledger", database_url)
    yield made
    made.stop()


def _metric(ledger: Ledger, name: str) -> str:
    port = json.loads((ledger.directory / "ready.json").read_text())["metrics_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next((line for line in lines if line.startswith(name)), "")


async def test_anchored_checkpoints_are_cosigned_while_a_witness_is_down(
    ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "up").mkdir()
    (tmp_path / "down").mkdir()
    up, up_address = witness(tmp_path / "up", ledger)
    down, down_address = witness(tmp_path / "down", ledger)
    down.kill()
    down.wait(10)
    vkey = LogVerifierKey.parse(up_address.partition(" ")[2])
    try:
        await asyncio.to_thread(ledger.start, WITNESSES=f"{up_address}, {down_address}")
        await opened(ledger)
        async with channel(ledger.address, ledger.identity(ledger.founded.agency, "agency")) as connection:
            stub = rpc.LedgerServiceStub(connection)
            raw = ledger.statement(ledger.founded.agency)
            await stub.RegisterStatements(register(raw))
            await reached(stub, id_of(raw), chain.EVIDENCE_STAGE_FINAL)

            async def cosigned() -> bool:
                head = await stub.GetCheckpoint(pb.GetCheckpointRequest())
                return "witness.example/up" in head.checkpoint

            await eventually(cosigned, "the checkpoint has the witness's line")
            receipt = await stub.GetReceipt(pb.GetReceiptRequest(statement_id=id_of(raw)))
            log_key = LogVerifierKey.of(ledger.origin, ledger.log_key.verifying_key)
            assert verify_note(receipt.checkpoint, log_key).size == receipt.tree_size == 1
            assert verify_cosignature(receipt.checkpoint, vkey) > 0
            assert "witness.example/down" not in receipt.checkpoint
            request = pb.GetEvidenceRequest(statement_id=id_of(raw), relying_country="CN")
            bundle = decode_bundle((await stub.GetEvidence(request)).bundle)
            assert bundle.log.cosigners == (str(vkey),)
            assert bundle.log.checkpoint.decode() == receipt.checkpoint
        await opened(ledger)
        assert _metric(ledger, 'silkledger_witness{witness="witness.example/up"}').endswith(" 1.0")
        assert _metric(ledger, 'silkledger_witness{witness="witness.example/down"}').endswith(" 0.0")
        assert "witness_silent" in ledger.log
    finally:
        up.kill()
        up.wait(10)
