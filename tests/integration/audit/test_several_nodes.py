"""A replay from several nodes: whichever of them lies, it is named, and nothing is reported."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rlp

from silkledger.audit import rebuild
from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, Means, replay_ledger
from silkledger.audit.report import Report
from silkledger.evidence.bundle import Contract
from silkledger.evidence.header import EngineKind
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance
from silkledger.evm.engines import ANVIL
from silkledger.evm.follower import WrongChain
from silkledger.evm.port import NodesDisagree, NodeUnavailable
from silkledger.runtime.settings import SettingsError
from silkledger.values import BlockHash
from tests.support.archive_chain import NETWORK, ORIGIN
from tests.support.node_proxy import NodeProxy
from tests.support.sealed_rpc import FIELDS, NUMBERS

from .conftest import ROOT, served
from .test_resume import AUDITED, job

BLOCKS = 16
FINAL = BLOCKS - ANVIL.finality_depth
NONE = Databases(())


@pytest.fixture(scope="module")
def url(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(archive, BLOCKS, tmp_path_factory.mktemp("served")) as found:
        yield found


@dataclass
class Two:
    """Two nodes, one of which may lie."""

    honest: str
    other: NodeProxy

    @property
    def urls(self) -> str:
        return f"port-authority={self.honest}, other-bank={self.other.url}"

    async def replay(self, work: Path | None = None, processes: int = 0, **means: Any) -> Report:
        told = Means(work, processes, **means)
        return await replay_ledger(AUDITED, self.urls, NONE, lambda *_: None, means=told)


@pytest.fixture
async def two(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    monkeypatch.setattr(rebuild, "PATIENCE", 1)
    proxy = NodeProxy(url)
    await proxy.start()
    yield Two(url, proxy)
    await proxy.stop()


async def alone(url: str) -> Report:
    return await replay_ledger(AUDITED, url, NONE, lambda *_: None, means=Means(processes=0))


@pytest.mark.parametrize("processes", [0, 2])
async def test_nodes_that_agree_give_the_report_of_one(two: Two, processes: int) -> None:
    report = await two.replay(processes=processes)
    assert report.document() == (await alone(two.honest)).document()
    assert report.last.number == FINAL
    assert report.document()["assurance"] == "ENGINE_WITHOUT_SEALS"
    assert report.assurance is Assurance.ENGINE_WITHOUT_SEALS


def altered_receipt(method: str, result: Any) -> Any:
    """A log of block FINAL says something else."""
    if method == "eth_getBlockReceipts" and result and int(result[0]["blockNumber"], 16) == FINAL:
        result[0]["logs"][0]["data"] = "0x" + "11" * 32
    return result


def other_block(method: str, result: Any) -> Any:
    """Block FINAL is another one, whole and verified."""
    if method == "eth_getBlockByNumber" and result and result.get("number") == hex(FINAL):
        return _other(result)
    if method == "eth_getBlockReceipts" and result and int(result[0]["blockNumber"], 16) == FINAL:
        for receipt in result:
            receipt["blockHash"] = OTHER[0]
    return result


OTHER: list[str] = []
"""Hash of the other block."""


def _other(fields: dict[str, Any]) -> dict[str, Any]:
    changed = fields | {"extraData": "0x01"}
    items = [_octets(name, changed[name]) for name in FIELDS if name in changed]
    OTHER[:] = ["0x" + keccak256(rlp.encode(items)).hex()]
    return changed | {"hash": OTHER[0]}


def _octets(name: str, text: str) -> bytes:
    if name in NUMBERS:
        return bytes(rlp.sedes.big_endian_int.serialize(int(text, 16)))
    return bytes.fromhex(text[2:])


def other_chain(method: str, result: Any) -> Any:
    return hex(1) if method == "eth_chainId" else result


LIES: dict[str, tuple[Callable[[str, Any], Any], str]] = {
    "altered_receipt": (altered_receipt, "node other-bank: NODE_LIED"),
    "other_block": (other_block, rf"block {FINAL} is 0x\w+ at port-authority, 0x\w+ at other-bank"),
    "other_chain": (other_chain, "node other-bank: NODE_OTHER_CHAIN"),
}


@pytest.mark.parametrize(("lie", "processes"), [*((lie, 0) for lie in LIES), ("other_block", 1)])
async def test_a_lie_ends_the_replay_by_the_nodes_name(
    two: Two, tmp_path: Path, lie: str, processes: int
) -> None:
    two.other.distort, told = LIES[lie]
    with pytest.raises(NodesDisagree, match=told):
        await two.replay(tmp_path, processes)
    two.other.distort = lambda _, result: result
    assert (await two.replay(tmp_path)).document() == (await alone(two.honest)).document()


async def test_one_node_alone_would_have_been_believed(two: Two) -> None:
    """The negative twin: whoever asks the liar only gets another history, and cannot tell."""
    two.other.distort = other_block
    lied = await alone(two.other.url)
    assert lied.last.number == FINAL
    assert str(lied.last.hash) == OTHER[0]
    assert lied.digests != (await alone(two.honest)).digests


async def test_a_silent_node_ends_it_unless_fewer_are_enough(two: Two) -> None:
    await two.other.stop()
    with pytest.raises(NodeUnavailable, match="1 of 2 nodes answer: node other-bank: NODE_SILENT"):
        await two.replay()
    for enough in (0, 1):
        assert (await two.replay(agreement=enough)).last.number == FINAL


async def test_a_node_that_is_behind_is_named(two: Two) -> None:
    two.other.lag = 5
    with pytest.raises(NodeUnavailable, match=f"other-bank ends at {BLOCKS - 5}"):
        await two.replay()


@pytest.mark.parametrize("urls", ["no url", "a=http://one, a=http://two"])
async def test_what_is_no_list_of_nodes_is_refused(urls: str) -> None:
    with pytest.raises(SettingsError):
        await replay_ledger(AUDITED, urls, NONE, lambda *_: None)


async def test_a_pinned_block_must_be_the_pinned_one(two: Two) -> None:
    """On an engine without seals as well."""
    last = (await alone(two.honest)).last
    names = {contract.directory_name for contract in Contract}
    told = (NETWORK.chain_id, NETWORK.genesis_hash, EngineKind.NO_SEALS, None, NETWORK.directory)
    contracts = {name: NETWORK.address(name) for name in names}
    for pin, good in ((last.hash, True), (BlockHash(b"\1" * 32), False)):
        roots = TrustRoots(*told, contracts, {FINAL: pin})
        audited = Audited(NETWORK, ANVIL, ORIGIN, AUDITED.log_verifier_key, roots)
        replay = replay_ledger(audited, two.honest, NONE, lambda *_: None, means=Means(processes=0))
        if good:
            assert (await replay).assurance is Assurance.ENGINE_WITHOUT_SEALS
        else:
            with pytest.raises(WrongChain, match=f"BLOCK_PIN_MISMATCH: block {FINAL}"):
                await replay


async def test_a_job_is_told_of_several_nodes(two: Two, tmp_path: Path) -> None:
    """As a service starts it."""

    async def told(**change: Any) -> dict[str, Any]:
        text = json.dumps(job(two.urls, tmp_path, 0) | change).encode() + b"\n"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "silkledger.audit",
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(text)  # left open: it ends with its owner
        lines = (await process.stdout.read()).splitlines()
        await process.wait()
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    assert (await told(node_agreement=0))["result"]["block"] == FINAL
    await two.other.stop()
    silent = await told(node_agreement=2)
    assert silent["error"] == "NodeUnavailable"
    assert "node other-bank: NODE_SILENT" in silent["detail"]
    assert (await told(trust_roots="{}"))["error"] == "TrustRootsError"
