"""A replay that is killed goes on where it was, on any number of cores, and its report is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, Means, replay_ledger
from silkledger.audit.report import Report
from silkledger.audit.work import FILE, WorkRefused
from silkledger.evm.contracts import Network
from silkledger.evm.engines import ANVIL
from silkledger.evm.follower import FinalityViolated, WrongChain
from silkledger.runtime.db import Database, DatabaseInUse
from silkledger.values import BlockHash
from tests.support.archive_chain import NETWORK, ORIGIN

from .conftest import BLOCKS, ROOT, served

AUDITED = Audited(NETWORK, ANVIL, ORIGIN, "silkledger.example/archive+00000000+AQ==")
FINAL = BLOCKS - ANVIL.finality_depth


@pytest.fixture(scope="module")
def node(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(archive, BLOCKS, tmp_path_factory.mktemp("served")) as url:
        yield url


async def replay(node: str, work: Path | None, processes: int, upto: int | None = None) -> tuple[Report, int]:
    """The report, and how many blocks had been read before."""
    steps: list[int] = []
    means = Means(work, processes)
    report = await replay_ledger(
        AUDITED, node, Databases(()), lambda done, _: steps.append(done), None, upto, means
    )
    return report, steps[0]


def job(node: str, work: Path, processes: int) -> dict[str, Any]:
    """What `python -m silkledger.audit` is told."""
    return {
        "network": {
            "chain_id": NETWORK.chain_id,
            "genesis_hash": str(NETWORK.genesis_hash),
            "directory": str(NETWORK.directory),
            "contracts": {name: str(address) for name, address in NETWORK.addresses.items()},
        },
        "engine": "anvil",
        "origin": AUDITED.origin,
        "log_verifier_key": AUDITED.log_verifier_key,
        "node_url": node,
        "databases": [],
        "upto": None,
        "work": str(work),
        "processes": processes,
    }


def start(node: str, work: Path, processes: int) -> subprocess.Popen[bytes]:
    """`python -m silkledger.audit`, told what to do."""
    process = subprocess.Popen(
        [sys.executable, "-m", "silkledger.audit"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(job(node, work, processes)).encode() + b"\n")
    process.stdin.flush()
    return process


def lines(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


@pytest.mark.parametrize("processes", [0, 2])
async def test_killed_again_and_again_it_goes_on_and_reports_the_same(
    node: str, tmp_path: Path, processes: int
) -> None:
    whole, before = await replay(node, None, 0)
    assert before == 0
    work = tmp_path / "work"
    reached = 0
    for _ in range(3):
        process = start(node, work, processes)
        steps = lines(process)
        assert next(steps)["done"] >= reached  # it went on where the one before was killed
        reached = next(steps)["done"]
        process.kill()
        process.wait(20)
        assert 0 < reached < FINAL
    process = start(node, work, processes)
    assert process.stdin is not None
    *_, last = lines(process)
    assert process.wait(60) == 0
    assert last["result"]["digest"] == whole.digest
    assert (work / "report.json").read_text() == whole.to_json()
    assert whole.digests[-1].last == FINAL
    assert whole.events == FINAL * 100


async def test_it_ends_with_its_owner_and_leaves_no_process(node: str, tmp_path: Path) -> None:
    process = start(node, tmp_path, 2)
    steps = lines(process)
    assert [next(steps)["done"] for _ in range(2)][1] > 0
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()  # noqa: ASYNC240
    assert len(children) >= 2
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(20) == 3
    deadline = time.monotonic() + 20
    while any(_runs(int(child)) for child in children):
        assert time.monotonic() < deadline, "workers outlive their replay"
        time.sleep(0.05)  # noqa: ASYNC251 - nothing else runs here


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


async def test_cores_and_directories_change_nothing_in_the_report(node: str, tmp_path: Path) -> None:
    one, _ = await replay(node, tmp_path, 0)
    two, _ = await replay(node, None, 2)
    again, before = await replay(node, tmp_path, 1)
    assert before == FINAL
    assert one.document() == two.document() == again.document()


async def test_a_chain_that_grew_is_read_on(archive: Path, tmp_path: Path) -> None:
    with served(archive, BLOCKS // 2, tmp_path) as node:
        half, _ = await replay(node, tmp_path / "work", 0)
    with served(archive, BLOCKS, tmp_path) as node:
        whole, before = await replay(node, tmp_path / "work", 0)
        as_of, _ = await replay(node, tmp_path / "work", 0, upto=half.last.number)
    assert before == half.last.number == BLOCKS // 2 - ANVIL.finality_depth
    assert whole.last.number == FINAL
    assert as_of.document() == half.document()
    assert (await _other_digest(archive, tmp_path)) == whole.digests[-1].digest


async def _other_digest(archive: Path, folder: Path) -> str:
    with served(archive, BLOCKS, folder) as node:
        return (await replay(node, None, 2))[0].digests[-1].digest


async def test_one_replay_at_a_time_works_in_a_directory(node: str, tmp_path: Path) -> None:
    held = await Database.open(f"sqlite:///{tmp_path / FILE}")
    try:
        with pytest.raises(DatabaseInUse):
            await replay(node, tmp_path, 0)
    finally:
        await held.close()


async def test_another_network_or_another_history_is_refused(node: str, tmp_path: Path) -> None:
    await replay(node, tmp_path, 0)
    fewer = dict(NETWORK.addresses)
    fewer.popitem()
    for network, error in (
        (other_network(addresses=fewer), WorkRefused),
        (other_network(chain_id=NETWORK.chain_id + 1), WorkRefused),
    ):
        audited = Audited(network, ANVIL, ORIGIN, AUDITED.log_verifier_key)
        with pytest.raises(error):
            await replay_ledger(audited, node, Databases(()), lambda *_: None, means=Means(tmp_path, 0))
    wrong = Audited(
        other_network(genesis_hash=BlockHash(b"\1" * 32)), ANVIL, ORIGIN, AUDITED.log_verifier_key
    )
    with pytest.raises(WrongChain):
        await replay_ledger(wrong, node, Databases(()), lambda *_: None, means=Means(None, 0))
    database = await Database.open(f"sqlite:///{tmp_path / FILE}")
    async with database.write() as connection:
        changed = {"hash": b"\2" * 32, "number": FINAL}
        await connection.execute(text("UPDATE chain_block SET hash = :hash WHERE number = :number"), changed)
    await database.close()
    with pytest.raises(FinalityViolated, match=f"block {FINAL} was final"):
        await replay(node, tmp_path, 0)


def other_network(**change: Any) -> Network:
    return replace(NETWORK, **change)


def test_a_bad_job_is_refused(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "silkledger.audit"],
        cwd=ROOT,
        input=b"{}\n",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert process.returncode == 2
    assert json.loads(process.stdout)["error"] == "KeyError"
