"""Commit seals in a replay: in both modes, on any number of cores, cut off and gone on with.

A real node's blocks over HTTP, sealed by the test validators of tests/support/qbft_chain.py and
tests/support/qbft_contract_chain.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from silkledger.audit import rebuild
from silkledger.audit.databases import Databases
from silkledger.audit.page import page
from silkledger.audit.replay import Audited, Means, replay_ledger
from silkledger.audit.report import Report
from silkledger.audit.work import WorkRefused
from silkledger.evidence.bundle import Contract
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind, Header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network
from silkledger.evm.engines import BESU_QBFT
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import NodeUnavailable
from silkledger.evm.seal_refusals import SealsRefused, ValidatorsNotProven
from silkledger.evm.tables import CHAIN_BLOCK, METADATA
from silkledger.runtime.db import Database
from silkledger.values import BlockHash
from tests.integration.evm.contract_bench import FOUR, HALF, Real, Rpc, record
from tests.integration.evm.test_following_seals import seals_of, settle, with_seals
from tests.support.anvil import FAST
from tests.support.node_proxy import NodeProxy
from tests.support.qbft_chain import QbftChain, Turn, Validator

PROFILE = dataclasses.replace(BESU_QBFT, block_time_s=FAST.block_time_s, log_range=4)
FIFTH = Validator(90)
EPOCH, BAD = 10, 11
VOTES = {
    3: Turn(round=2),
    4: Turn(proposer=FOUR[0], vote=(FIFTH, True)),
    5: Turn(proposer=FOUR[1], vote=(FIFTH, True)),
    6: Turn(proposer=FOUR[2], round=1, vote=(FIFTH, True)),
    8: Turn(proposer=FOUR[0], vote=(FIFTH, False)),
}
"""Four validators add a fifth at block 6; a vote to drop it is forgotten at the epoch block."""


NONE = Databases(())
VKEY = "silkledger.example/a+00000000+AQ=="


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    chain = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=FAST.block_time_s)
    chain.start()
    try:
        yield asyncio.run(record(chain))
    finally:
        chain.stop()


@dataclass
class Sealed:
    """The chain in one of the two modes, served over HTTP."""

    real: Real
    rules: ValidatorRules | ContractRules
    proxy: NodeProxy
    rpc: Rpc
    folder: Path
    started: BlockHash | None = None
    """Genesis hash, where it is not that of `headers`."""

    def headers(self, turns: Mapping[int, Turn] | None = None) -> list[Header]:
        if isinstance(self.rules, ContractRules):
            return self.real.sealed(turns)
        turns = VOTES | dict(turns or {})
        return QbftChain(self.real.raw, FOUR, epoch_length=EPOCH, turns=turns).headers

    @property
    def last(self) -> int:
        return self.real.last

    @property
    def network(self) -> Network:
        return dataclasses.replace(self.real.network, genesis_hash=self.started or self.headers()[0].hash)

    def roots(self, pins: dict[int, BlockHash] | None = None) -> TrustRoots:
        network = self.network
        names = {contract.directory_name for contract in Contract}
        contracts = {name: network.address(name) for name in names}
        told = (network.chain_id, network.genesis_hash, EngineKind.QBFT, self.rules, network.directory)
        return TrustRoots(*told, contracts, pins or {})

    async def replay(
        self,
        work: str = "",
        processes: int = 0,
        databases: Databases = NONE,
        roots: TrustRoots | None = None,
        under: bool = True,
        upto: int | None = None,
        node: str = "",
    ) -> Report:
        roots = (roots or self.roots()) if under else None
        audited = Audited(self.network, PROFILE, "silkledger.example/a", VKEY, roots)
        means = Means(self.folder / work if work else None, processes)
        url = node or self.proxy.url
        return await replay_ledger(audited, url, databases, lambda *_: None, None, upto, means)

    async def followed(self) -> str:
        """A service's database of this chain: its URL."""
        url = f"sqlite:///{self.folder}/live.sqlite"
        database = await Database.open(url)
        async with database.write() as conn:
            await conn.run_sync(METADATA.create_all)
        node = JsonRpcNode(self.proxy.url, PROFILE)
        follower = Follower(database, node, PROFILE, self.network)
        await follower.start()
        await settle(follower)
        await node.close()
        await database.close()
        return url


@asynccontextmanager
async def served(
    real: Real, rules: ValidatorRules | ContractRules, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Sealed]:
    monkeypatch.setattr(rebuild, "PATIENCE", 1)
    proxy = NodeProxy(real.chain.url)
    await proxy.start()
    rpc = Rpc(real)
    rpc.put_before(proxy)
    made = Sealed(real, rules, proxy, rpc, folder)
    rpc.headers = made.headers()
    yield made
    await proxy.stop()


@pytest.fixture(params=["headers", "contract"])
async def sealed(
    request: pytest.FixtureRequest, real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Sealed]:
    rules = ValidatorRules(EPOCH) if request.param == "headers" else real.rules
    async with served(real, rules, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
async def contract(real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sealed]:
    async with served(real, real.rules, tmp_path, monkeypatch) as made:
        yield made


async def test_every_seal_is_verified_and_the_report_says_so(sealed: Sealed) -> None:
    report = await sealed.replay()
    assert report.last.number == sealed.last
    assert report.assurance is Assurance.SEALED_BY_QUORUM
    assert report.document()["assurance"] == "SEALED_BY_QUORUM"
    assert "SEALED_BY_QUORUM" in page(report)
    assert "by replay of every header" in " ".join(report.assumptions)
    other = dataclasses.replace(report, assurance=Assurance.ENGINE_WITHOUT_SEALS)
    assert other.digest != report.digest
    written = TrustRoots.from_json(report.trust_roots.to_json())
    assert written.rules == sealed.rules and sealed.last in written.pinned_blocks


async def test_cores_and_interruptions_change_nothing(sealed: Sealed) -> None:
    whole = await sealed.replay(processes=2)
    for stop in (5, sealed.real.changed):
        sealed.rpc.headers = sealed.headers()[: stop + 1]
        assert (await sealed.replay("work")).last.number == stop
    sealed.rpc.headers = sealed.headers()
    again = await sealed.replay("work")
    assert again.document() == whole.document()
    as_of = await sealed.replay("work", upto=BAD)
    assert as_of.last.number == BAD and as_of.assurance is Assurance.SEALED_BY_QUORUM


BROKEN: dict[str, tuple[Callable[[Sequence[bytes]], Sequence[bytes]], Reason]] = {
    "too_few": (lambda seals: seals[:2], Reason.SEAL_QUORUM),
    "one_twice": (lambda seals: [seals[0], *seals[:-1]], Reason.SEAL_DUPLICATE),
    "a_strangers": (lambda seals: [bytes([1]) * 64 + b"\x01", *seals[1:]], Reason.SEAL_NOT_VALIDATOR),
    "malformed": (lambda seals: [seals[0][:64] + b"\x07", *seals[1:]], Reason.SEAL_MALFORMED),
}


@pytest.mark.parametrize(("how", "processes"), [*((how, 0) for how in BROKEN), ("malformed", 1)])
async def test_a_block_with_bad_seals_ends_the_replay_by_its_reason(
    sealed: Sealed, how: str, processes: int
) -> None:
    breaking, reason = BROKEN[how]
    headers = sealed.headers()
    headers[BAD] = with_seals(headers[BAD], breaking(seals_of(headers[BAD])))
    sealed.rpc.headers = headers
    with pytest.raises(SealsRefused, match=f"block {BAD}: {reason}"):
        await sealed.replay("work", processes)
    sealed.rpc.headers = sealed.headers()
    assert (await sealed.replay("work")).last.number == sealed.last


async def test_a_database_whose_archived_seals_were_altered_differs(sealed: Sealed) -> None:
    """Another quorum's seals are no difference: honest nodes hold such."""
    url = await sealed.followed()
    databases = Databases((("ledger", url),))
    assert (await sealed.replay("work", databases=databases)).differences == ()
    header = sealed.headers()[BAD]
    members = FOUR if isinstance(sealed.rules, ContractRules) else [*FOUR, FIFTH]
    others = [member.seal(header.seal_digest) for member in reversed(members)]
    for seals, differs in ((others, False), (others[:2], True), ([], True)):
        database = await Database.open(url)
        async with database.write() as conn:
            raw = with_seals(header, seals).raw
            await conn.execute(update(CHAIN_BLOCK).where(CHAIN_BLOCK.c.number == BAD).values(header=raw))
        await database.close()
        report = await sealed.replay("work", databases=databases)
        found = [(one.table, one.key, one.field) for one in report.differences]
        assert found == ([("chain_block", f"number={BAD}", "header")] if differs else [])


async def test_without_trust_roots_the_report_is_incomplete(sealed: Sealed) -> None:
    """The negative twin: without them the same bad seals pass, and the report says that nobody looked."""
    headers = sealed.headers()
    headers[BAD] = with_seals(headers[BAD], [])
    sealed.rpc.headers = headers
    report = await sealed.replay(under=False)
    assert (report.assurance, report.verdict) == (Assurance.UNSPECIFIED, "INCOMPLETE")
    assert "the commit seals: no trust roots say whose count" in report.unavailable
    sealed.rpc.headers = sealed.headers()
    under = await sealed.replay()
    assert (under.digests, under.last) == (report.digests, report.last)


async def test_other_rules_are_refused(sealed: Sealed) -> None:
    await sealed.replay("work")
    with pytest.raises(WorkRefused):
        await sealed.replay("work", under=False)
    with pytest.raises(WorkRefused):
        await sealed.replay("work", roots=sealed.roots({3: sealed.headers()[3].hash}))
    with pytest.raises(ValueError, match="another network"):
        await sealed.replay(roots=dataclasses.replace(sealed.roots(), chain_id=1))
    headers = sealed.headers()
    with pytest.raises(SealsRefused, match="block 3: BLOCK_PIN_MISMATCH"):
        await sealed.replay(roots=sealed.roots({3: headers[4].hash}))


async def test_a_set_that_the_chain_left_seals_nothing(sealed: Sealed) -> None:
    number = sealed.real.changed + 1
    old = FOUR
    if isinstance(sealed.rules, ValidatorRules):
        number, old = 8, [Validator(number) for number in range(30, 34)]
    turns = {number: Turn(proposer=FOUR[0], sealers=old)}
    sealed.rpc.headers = sealed.headers(turns)
    with pytest.raises(SealsRefused, match=f"block {number}: SEAL_NOT_VALIDATOR"):
        await sealed.replay()


async def test_a_proof_that_lies_ends_the_replay_by_its_reason(contract: Sealed) -> None:
    def altered(proof: dict[str, Any]) -> None:
        proof["accountProof"][-1] = proof["accountProof"][-1][:-2] + "00"

    contract.rpc.lie = altered
    with pytest.raises(SealsRefused, match=f"block 0: {Reason.PROOF_NODE_HASH}"):
        await contract.replay()
    changed = contract.real.changed
    contract.rpc.lie = lambda _: None
    contract.rpc.instead = {changed: changed - 1}
    with pytest.raises(SealsRefused, match=f"block {changed}: {Reason.PROOF_NODE_HASH}"):
        await contract.replay(processes=1)


async def test_pruned_states_end_the_replay_unless_a_block_is_pinned(contract: Sealed) -> None:
    pin = contract.real.changed - 2
    contract.rpc.pruned_below = pin
    with pytest.raises(ValidatorsNotProven):
        await contract.replay()
    roots = contract.roots({pin: contract.headers()[pin].hash})
    report = await contract.replay("work", roots=roots)
    assert report.last.number == contract.last
    assert f"followed from pinned block {pin} by" in " ".join(report.assumptions)
    contract.rpc.headers = contract.headers()[:pin]
    with pytest.raises(NodeUnavailable, match="below the pinned block"):
        await contract.replay(roots=roots)


async def test_a_network_that_changed_to_contract_mode_is_replayed_from_a_pinned_block(
    contract: Sealed,
) -> None:
    headers = contract.real.sealed(mode_changed=7)
    contract.rpc.headers = headers
    contract.started = headers[0].hash
    with pytest.raises(SealsRefused, match="QBFT_NOT_EMPTY"):
        await contract.replay()
    report = await contract.replay(roots=contract.roots({6: headers[6].hash}))
    assert report.last.number == contract.last
    assert report.assurance is Assurance.SEALED_BY_QUORUM
    assert "followed from pinned block 6 by" in " ".join(report.assumptions)


async def test_the_new_set_seals_after_the_change(contract: Sealed) -> None:
    """And would not before it."""
    changed = contract.real.changed
    turns = {changed: Turn(proposer=FOUR[0], sealers=HALF)}
    contract.rpc.headers = contract.headers(turns)
    with pytest.raises(SealsRefused, match=f"block {changed}: SEAL_NOT_VALIDATOR"):
        await contract.replay()
