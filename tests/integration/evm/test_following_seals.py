"""The follower on a chain with commit seals: a real node's blocks, sealed by test validators, over HTTP.

What a QBFT node would answer is made of a real node's answers by tests/support/sealed_rpc.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import rlp
from sqlalchemy import select, update

from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.lineage import ValidatorRules
from silkledger.evidence.reasons import Reason
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import BESU_QBFT
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.seals import ArchiveUnsealed, SealedLineage, SealsRefused
from silkledger.evm.tables import CHAIN_BLOCK, METADATA
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import BlockHash
from tests.support.anvil import FAST, eventually
from tests.support.node_proxy import NodeProxy
from tests.support.qbft_chain import EXTRA_DATA, QbftChain, SealedNode, Turn, Validator, validators
from tests.support.sealed_rpc import SealedRpc

PROFILE = dataclasses.replace(BESU_QBFT, block_time_s=FAST.block_time_s, log_range=6)
FOUR, FIFTH, STRANGER = validators(4), Validator(90), Validator(70)
EPOCH, LAST, BAD = 10, 24, 15
STEADY = {
    3: Turn(round=2),
    4: Turn(proposer=FOUR[0], vote=(FIFTH, True)),
    5: Turn(proposer=FOUR[1], vote=(FIFTH, True)),
    6: Turn(proposer=FOUR[2], round=1, vote=(FIFTH, True)),
    # Forgotten at the epoch block, whose own vote does not count either.
    8: Turn(proposer=FOUR[0], vote=(FIFTH, False)),
    9: Turn(proposer=FOUR[1], vote=(FIFTH, False)),
    10: Turn(proposer=FOUR[2], vote=(FIFTH, False)),
}
"""Four validators add a fifth at block 6; two votes to drop it do not outlive the epoch."""


@dataclass(frozen=True)
class Real:
    """A real node and the headers of its blocks under seals."""

    chain: EmbeddedChain
    network: Network
    raw: list[bytes]

    def sealed(self, turns: dict[int, Turn] | None = None) -> QbftChain:
        return QbftChain(self.raw, FOUR, epoch_length=EPOCH, turns=STEADY | (turns or {}))


async def _record(chain: EmbeddedChain) -> Real:
    node = JsonRpcNode(chain.url, FAST)
    try:
        network = await deploy(node, Account.generate(), Account.generate().address, FAST)

        async def long_enough() -> bool:
            return await node.block_number() >= LAST

        await eventually(long_enough, "the chain is long enough")
        sealed = await SealedNode.over(node, LAST, FOUR, epoch_length=EPOCH, turns=STEADY)
        raw = [header.raw for header in sealed.chain.headers]
        return Real(chain, sealed.network(network), raw)
    finally:
        await node.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    chain = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=FAST.block_time_s)
    chain.start()
    try:
        yield asyncio.run(_record(chain))
    finally:
        chain.stop()


class Bench:
    """A QBFT node over HTTP, and a database that followers of it share, one after the other."""

    def __init__(self, real: Real, proxy: NodeProxy, database: Database) -> None:
        self.real, self.proxy, self.database = real, proxy, database
        self.rpc = SealedRpc(real.sealed().headers)
        proxy.distort = self.rpc.told
        self.node = JsonRpcNode(proxy.url, PROFILE, 5.0)

    async def follower(
        self, rules: ValidatorRules | None = None, pins: dict[int, BlockHash] | None = None
    ) -> Follower:
        rules = rules or ValidatorRules(EPOCH)
        network = self.real.network
        seals = SealedLineage(self.database, self.node, network.genesis_hash, rules, pins)
        follower = Follower(self.database, self.node, PROFILE, network, seals=seals)
        await follower.start()
        return follower

    async def archived(self) -> list[bytes]:
        query = select(CHAIN_BLOCK.c.header).order_by(CHAIN_BLOCK.c.number)
        async with self.database.read() as conn:
            return [bytes(row.header) for row in await conn.execute(query)]

    def serve(self, headers: Sequence[Header]) -> None:
        self.rpc.headers = list(headers)


@pytest.fixture
async def bench(real: Real, database_url: str) -> AsyncIterator[Bench]:
    proxy = NodeProxy(real.chain.url)
    await proxy.start()
    database = await Database.open(database_url)
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    made = Bench(real, proxy, database)
    yield made
    await made.node.close()
    await database.close()
    await proxy.stop()


async def settle(follower: Follower) -> None:
    while await follower.step():
        continue


def with_seals(header: Header, seals: Sequence[bytes]) -> Header:
    """The same block with other seals: its hash is the same."""
    items = rlp.decode(header.raw)
    extra = rlp.decode(items[EXTRA_DATA])
    items[EXTRA_DATA] = rlp.encode([*extra[:4], list(seals)])
    return decode_header(rlp.encode(items), EngineKind.QBFT)


def seals_of(header: Header) -> tuple[bytes, ...]:
    assert header.extra is not None
    return header.extra.seals


async def test_every_block_is_followed_through_votes_rounds_and_epochs(bench: Bench) -> None:
    follower = await bench.follower()
    await settle(follower)
    assert (follower.head.number, follower.final.number) == (LAST, LAST)
    chain = bench.real.sealed()
    assert FIFTH in chain.members[-1]
    assert await bench.archived() == [header.raw for header in chain.headers[1:]], "raw, with their seals"


@pytest.mark.parametrize("stop", [3, 5, 9, 10, 17], ids=lambda n: f"after_{n}")
async def test_a_restart_counts_the_votes_again(bench: Bench, stop: int) -> None:
    chain = bench.real.sealed()
    bench.serve(chain.headers[: stop + 1])
    await settle(await bench.follower())
    bench.serve(chain.headers)
    restarted = await bench.follower()
    assert restarted.head.number == stop
    await settle(restarted)
    assert restarted.head.number == LAST


async def test_another_process_may_have_gone_on_meanwhile(bench: Bench) -> None:
    chain = bench.real.sealed()
    bench.serve(chain.headers[:5])
    one, other = await bench.follower(), await bench.follower()
    await settle(one)
    bench.serve(chain.headers)
    await settle(other)
    await settle(one)
    assert (one.head, one.head.number) == (other.head, LAST)


def _two_of_four(header: Header, members: list[Validator]) -> Header:
    return with_seals(header, seals_of(header)[:2])


def _twice(header: Header, members: list[Validator]) -> Header:
    first, *rest = seals_of(header)
    return with_seals(header, [first, first, *rest[1:]])


def _by_a_stranger(header: Header, members: list[Validator]) -> Header:
    _, *rest = seals_of(header)
    return with_seals(header, [STRANGER.seal(header.seal_digest), *rest])


def _none(header: Header, members: list[Validator]) -> Header:
    return with_seals(header, [])


def _malformed(header: Header, members: list[Validator]) -> Header:
    first, *rest = seals_of(header)
    return with_seals(header, [first[:64] + b"\x07", *rest])


BROKEN: dict[str, tuple[Callable[[Header, list[Validator]], Header], Reason]] = {
    "too few": (_two_of_four, Reason.SEAL_QUORUM),
    "none": (_none, Reason.SEAL_QUORUM),
    "one twice": (_twice, Reason.SEAL_DUPLICATE),
    "a stranger's": (_by_a_stranger, Reason.SEAL_NOT_VALIDATOR),
    "malformed": (_malformed, Reason.SEAL_MALFORMED),
}


async def refused(bench: Bench, reason: Reason, follower: Follower | None = None) -> None:
    """Nothing from block BAD on is applied, the reason is told, and the truth is followed afterwards."""
    follower = follower or await bench.follower()
    with pytest.raises(SealsRefused, match=rf"block \d+: {reason}") as refusal:
        await settle(follower)
    assert refusal.value.reason is reason
    assert follower.head.number < BAD
    assert len(await bench.archived()) == follower.head.number
    bench.serve(bench.real.sealed().headers)
    await settle(follower)
    assert follower.head.number == LAST


@pytest.mark.parametrize("how", BROKEN)
async def test_a_block_with_bad_seals_is_refused_by_its_reason(bench: Bench, how: str) -> None:
    """The block hash is the right one throughout: it says nothing about seals."""
    breaking, reason = BROKEN[how]
    chain = bench.real.sealed()
    broken = breaking(chain.headers[BAD], chain.members[BAD])
    assert broken.hash == chain.headers[BAD].hash
    bench.serve([*chain.headers[:BAD], broken, *chain.headers[BAD + 1 :]])
    await refused(bench, reason)


async def test_seals_over_another_round_are_refused(bench: Bench) -> None:
    """One block, sealed in round 1 and then shown as of round 2: its hash is the same in both."""
    first, second = (bench.real.sealed({BAD: Turn(round=number)}) for number in (1, 2))
    mixed = with_seals(second.headers[BAD], seals_of(first.headers[BAD]))
    assert mixed.hash == first.headers[BAD].hash
    bench.serve([*first.headers[:BAD], mixed, *first.headers[BAD + 1 :]])
    await refused(bench, Reason.SEAL_OTHER_ROUND)


async def test_a_proposer_that_is_no_validator_is_refused(bench: Bench) -> None:
    bench.serve(bench.real.sealed({BAD: Turn(proposer=STRANGER, sealers=FOUR)}).headers)
    follower = await bench.follower()
    with pytest.raises(SealsRefused, match="QBFT_PROPOSER"):
        await settle(follower)
    assert follower.head.number < BAD


async def test_other_rules_are_another_lineage(bench: Bench) -> None:
    """With epochs of 5 blocks the votes that add the fifth validator do not come together."""
    follower = await bench.follower(ValidatorRules(5))
    with pytest.raises(SealsRefused, match="QBFT_VALIDATORS"):
        await settle(follower)
    assert follower.head.number < 7


async def test_a_chain_of_other_validators_is_refused_from_its_first_block_on(bench: Bench) -> None:
    """Everything but the genesis is as their own quorum sealed it."""
    others = QbftChain(bench.real.raw, validators(4, first=30), epoch_length=EPOCH)
    headers = bench.real.sealed().headers
    items = rlp.decode(others.headers[1].raw)
    items[0] = bytes(headers[0].hash)
    bench.serve([headers[0], decode_header(rlp.encode(items), EngineKind.QBFT)])
    follower = await bench.follower()
    with pytest.raises(SealsRefused, match="block 1: QBFT_VALIDATORS"):
        await settle(follower)
    assert await bench.archived() == []


async def test_a_pinned_block_must_be_the_pinned_one(bench: Bench) -> None:
    headers = bench.real.sealed().headers
    good = await bench.follower(pins={BAD: headers[BAD].hash})
    wrong = await bench.follower(pins={BAD: headers[BAD - 1].hash})
    with pytest.raises(SealsRefused, match="BLOCK_PIN_MISMATCH"):
        await settle(wrong)
    assert wrong.head.number < BAD
    await settle(good)
    assert good.head.number == LAST


async def test_an_archive_whose_seals_were_altered_halts(bench: Bench) -> None:
    headers = bench.real.sealed().headers
    bench.serve(headers[:18])
    await settle(await bench.follower())
    stripped = with_seals(headers[16], [])
    async with bench.database.write() as conn:
        await conn.execute(update(CHAIN_BLOCK).where(CHAIN_BLOCK.c.number == 16).values(header=stripped.raw))
    bench.serve(headers)
    follower = await bench.follower()
    await asyncio.wait_for(follower.run(asyncio.Event()), 20)
    assert isinstance(follower.halted, ArchiveUnsealed)
    assert "block 16: SEAL_QUORUM" in (await follower.health() or "")
    assert follower.head.number == 17


async def test_of_two_nodes_the_one_that_leaves_seals_out_is_named(bench: Bench) -> None:
    """Both show the same block hashes; only one of them shows seals."""
    headers = bench.real.sealed().headers
    honest = NodeProxy(bench.real.chain.url)
    honest.distort = SealedRpc(headers).told
    await honest.start()
    network = bench.real.network
    both = CrossCheckedNode(
        [("stripped", bench.node), ("honest", JsonRpcNode(honest.url, PROFILE, 5.0))],
        network.chain_id,
        network.genesis_hash,
        block_time_s=PROFILE.block_time_s,
    )
    bench.serve([*headers[:BAD], with_seals(headers[BAD], []), *headers[BAD + 1 :]])
    seals = SealedLineage(bench.database, both, network.genesis_hash, ValidatorRules(EPOCH))
    follower = Follower(bench.database, both, PROFILE, network, seals=seals)
    await follower.start()
    with pytest.raises(SealsRefused, match=f"block {BAD} of node stripped: SEAL_QUORUM"):
        await settle(follower)
    assert follower.head.number < BAD
    bench.serve(headers)
    await settle(follower)
    assert follower.head.number == LAST
    await both.close()
    await honest.stop()


async def test_without_the_check_the_same_bad_seals_would_pass(bench: Bench, tmp_path: Path) -> None:
    """The negative twin: it is the seals that stop the follower, and nothing else."""
    headers = bench.real.sealed().headers
    bench.serve([*headers[:BAD], with_seals(headers[BAD], []), *headers[BAD + 1 :]])
    follower = Follower(bench.database, bench.node, PROFILE, bench.real.network)
    await follower.start()
    await settle(follower)
    assert follower.head.number == LAST
