"""The follower in QBFT contract mode: a real node's blocks and state proofs, over HTTP.

The validators stand in a real contract on it; tests/support/qbft_contract_chain.py makes their seals.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rlp
from sqlalchemy import select

from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.reasons import Reason
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contract_seals import ContractSeals
from silkledger.evm.contracts import Network
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import BESU_QBFT
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import Node
from silkledger.evm.seal_refusals import ArchiveUnsealed, SealsRefused, ValidatorsNotProven
from silkledger.evm.tables import CHAIN_BLOCK, METADATA
from silkledger.evm.validator_contract import may_change
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockHash, BlockRef
from tests.integration.evm.test_following_seals import seals_of, settle, with_seals
from tests.support.anvil import FAST, eventually
from tests.support.node_proxy import NodeProxy
from tests.support.qbft_chain import QbftChain, Turn, Validator, validators
from tests.support.qbft_contract_chain import ContractSealedNode, ValidatorContract, raw_headers, seal
from tests.support.sealed_rpc import SealedRpc

PROFILE = dataclasses.replace(BESU_QBFT, block_time_s=FAST.block_time_s, log_range=8)
FOUR, NEWCOMERS, STRANGER = validators(4), validators(5, first=50), Validator(70)
HALF = [*FOUR[:2], *NEWCOMERS[:3]]
NOBODY = Address(b"\x31" * 20)
BEFORE = 12
"""Blocks before the validators change, at least: more than any test names by number."""
QUIET = 4
"""Blocks without a transaction at the end."""


@dataclass(frozen=True)
class Real:
    """A real node, its headers, and who seals: four until block `changed`, then five, of whom two stay."""

    chain: EmbeddedChain
    network: Network
    raw: list[bytes]
    rules: ContractRules
    changed: int
    proofs: list[dict[str, Any]]
    """Of the contract with all slots that anybody asks for, by block: the node forgets its states."""
    proof_of_none: dict[str, Any]
    """Of an account that is not there, at block 0."""

    @property
    def last(self) -> int:
        return len(self.raw) - 1

    def sealed(self, turns: Mapping[int, Turn] | None = None, *, mode_changed: int = 0) -> list[Header]:
        """In contract mode from block `mode_changed` on, before it in header mode."""
        sets: list[Sequence[Validator]] = [FOUR if n < self.changed else HALF for n in range(self.last + 1)]
        begun = QbftChain(self.raw[:mode_changed], FOUR).headers
        return seal(self.raw, sets, turns, begun)


async def reaches(node: JsonRpcNode, number: int) -> None:
    async def long_enough() -> bool:
        return await node.block_number() >= number

    await eventually(long_enough, f"block {number}")


async def record(chain: EmbeddedChain) -> Real:
    node = JsonRpcNode(chain.url, FAST)
    try:
        account = Account.generate()
        contract = await ValidatorContract.create(node, account, FOUR)
        network = await deploy(node, Account.generate(), Account.generate().address, FAST)
        await reaches(node, BEFORE)
        changed = await contract.replace_all(HALF)
        last = changed + QUIET
        await reaches(node, last)
        sealed = await ContractSealedNode.over(node, contract, [*FOUR, *NEWCOMERS], last)
        raw = await raw_headers(node, contract.block, last)
        rules = await contract.rules()
        slots = [0, 1, *(rules.item_slot(index) for index in range(len(HALF)))]

        def proof(address: Address, number: int) -> dict[str, Any]:
            at = hex(max(number, contract.block))
            told: dict[str, Any] = chain.rpc("eth_getProof", str(address), [f"0x{s:064x}" for s in slots], at)
            return told

        proofs = [proof(rules.address, number) for number in range(last + 1)]
        real = Real(chain, sealed.network(network), raw, rules, changed, proofs, proof(NOBODY, 0))
        assert [header.raw for header in real.sealed()] == [header.raw for header in sealed.headers]
        return real
    finally:
        await node.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    chain = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=FAST.block_time_s)
    chain.start()
    try:
        yield asyncio.run(record(chain))
    finally:
        chain.stop()


class Rpc(SealedRpc):
    """A QBFT node in contract mode, that lies about proofs when told to, and counts them."""

    def __init__(self, real: Real) -> None:
        super().__init__(real.sealed())
        self._real = real
        self.instead: dict[int, int] = {}
        """Block to the block whose proof is given in its place."""
        self.pruned_below = 0
        self.lie: Callable[[dict[str, Any]], None] = lambda proof: None
        self.asked: Counter[int] = Counter()
        """Slots proven, by block; an account alone counts as 0 of them."""

    def own(self, call: dict[str, Any]) -> dict[str, Any] | None:
        if call["method"] != "eth_getProof":
            return None
        address, slots, block = call["params"]
        number = int(block, 16)
        self.asked[number] += len(slots)
        if number < self.pruned_below:
            return {"error": {"code": -32000, "message": "World state unavailable"}}
        proof = copy.deepcopy(self._real.proofs[self.instead.get(number, number)])
        if address != str(self._real.rules.address):
            proof = copy.deepcopy(self._real.proof_of_none)
        by_slot = {int(item["key"], 16): item for item in proof["storageProof"]}
        proof["storageProof"] = [by_slot[int(slot, 16)] for slot in slots]
        self.lie(proof)
        return {"result": proof}

    def put_before(self, proxy: NodeProxy) -> None:
        proxy.distort, proxy.own = self.told, self.own


class Bench:
    """A QBFT node over HTTP, and a database that followers of it share, one after the other."""

    def __init__(self, real: Real, proxy: NodeProxy, database: Database) -> None:
        self.real, self.proxy, self.database = real, proxy, database
        self.rpc = Rpc(real)
        self.rpc.put_before(proxy)
        self.node = JsonRpcNode(proxy.url, PROFILE, 5.0)

    async def follower(
        self,
        rules: ContractRules | None = None,
        pins: dict[int, BlockHash] | None = None,
        node: Node | None = None,
    ) -> Follower:
        network, node = self.real.network, node or self.node
        seals = ContractSeals(self.database, node, network.genesis_hash, rules or self.real.rules, pins)
        follower = Follower(self.database, node, PROFILE, network, seals=seals)
        await follower.start()
        return follower

    async def archived(self) -> list[bytes]:
        query = select(CHAIN_BLOCK.c.header).order_by(CHAIN_BLOCK.c.number)
        async with self.database.read() as conn:
            return [bytes(row.header) for row in await conn.execute(query)]

    async def refused(
        self, error: type[Exception], text: str, first_bad: int, follower: Follower | None = None
    ) -> Exception:
        """Nothing from block `first_bad` on is applied."""
        follower = follower or await self.follower()
        with pytest.raises(error, match=text) as refusal:
            await settle(follower)
        assert follower.head.number < first_bad
        assert len(await self.archived()) == follower.head.number
        return refusal.value

    async def recovers(self) -> None:
        """The truth is followed afterwards."""
        self.rpc = Rpc(self.real)
        self.rpc.put_before(self.proxy)
        follower = await self.follower()
        await settle(follower)
        assert follower.head.number == self.real.last


@pytest.fixture
async def bench(real: Real, tmp_path: Path) -> AsyncIterator[Bench]:
    proxy = NodeProxy(real.chain.url)
    await proxy.start()
    database = await Database.open(f"sqlite:///{tmp_path}/follower.sqlite")
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    made = Bench(real, proxy, database)
    yield made
    await made.node.close()
    await database.close()
    await proxy.stop()


async def test_the_validators_of_the_contract_are_followed_through_a_change(bench: Bench) -> None:
    follower = await bench.follower()
    await settle(follower)
    real = bench.real
    assert (follower.head.number, follower.final.number) == (real.last, real.last)
    headers = real.sealed()
    assert await bench.archived() == [header.raw for header in headers[1:]]
    # What it cost: every slot at genesis and where the set changed, the account alone after other
    # transactions, nothing after a block without any.
    asked = bench.rpc.asked
    assert {number for number, slots in asked.items() if slots} == {0, real.changed}
    assert asked[0] == 1 + len(FOUR) and asked[real.changed] == 1 + len(HALF)
    assert {n for n in asked if n} == {h.number for h in headers[1:-1] if may_change(h)}
    assert not may_change(headers[-1])


async def test_a_restart_proves_the_validators_again(bench: Bench) -> None:
    for stop in (5, bench.real.changed - 1, bench.real.changed, bench.real.changed + 1):
        bench.rpc.headers = bench.real.sealed()[: stop + 1]
        follower = await bench.follower()
        await settle(follower)
        assert follower.head.number == stop
    await bench.recovers()


async def test_two_processes_follow_into_one_database(bench: Bench) -> None:
    headers = bench.real.sealed()
    bench.rpc.headers = headers[:6]
    one, other = await bench.follower(), await bench.follower()
    await settle(one)
    bench.rpc.headers = headers
    await settle(other)
    await settle(one)
    assert (one.head, one.head.number) == (other.head, bench.real.last)


BAD = 9
"""A block before the change."""


@pytest.mark.parametrize(
    ("seals", "reason"),
    [
        (lambda seals, _: seals[:2], Reason.SEAL_QUORUM),
        (lambda seals, _: [], Reason.SEAL_QUORUM),
        (lambda seals, _: [seals[0], *seals[:2]], Reason.SEAL_DUPLICATE),
        (lambda seals, digest: [STRANGER.seal(digest), *seals[1:]], Reason.SEAL_NOT_VALIDATOR),
        (lambda seals, _: [seals[0][:64] + b"\x07", *seals[1:]], Reason.SEAL_MALFORMED),
    ],
    ids=["too_few", "none", "one_twice", "a_strangers", "malformed"],
)
async def test_bad_seals_are_refused_by_their_reason(
    bench: Bench, seals: Callable[[Sequence[bytes], bytes], Sequence[bytes]], reason: Reason
) -> None:
    headers = bench.real.sealed()
    headers[BAD] = with_seals(headers[BAD], seals(seals_of(headers[BAD]), headers[BAD].seal_digest))
    bench.rpc.headers = headers
    refusal = await bench.refused(SealsRefused, f"block {BAD}: {reason}", BAD)
    assert isinstance(refusal, SealsRefused) and refusal.reason is reason
    await bench.recovers()


async def test_the_old_set_does_not_seal_after_a_change_nor_the_new_one_before(bench: Bench) -> None:
    """All four of the old set, which would be a quorum of it; then five of the new one, a block early."""
    changed = bench.real.changed
    for number, sealers in ((changed + 1, FOUR), (changed, HALF)):
        proposer = FOUR[0]
        bench.rpc.headers = bench.real.sealed({number: Turn(proposer=proposer, sealers=sealers)})
        await bench.refused(SealsRefused, f"block {number}: SEAL_NOT_VALIDATOR", number)
    await bench.recovers()


def _altered(proof: dict[str, Any]) -> None:
    proof["accountProof"][-1] = proof["accountProof"][-1][:-2] + "00"


def _shortened(proof: dict[str, Any]) -> None:
    proof["accountProof"].pop()


def _slots_left_out(proof: dict[str, Any]) -> None:
    for slot in proof["storageProof"]:
        slot["proof"] = slot["proof"][:-1]


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (_altered, Reason.PROOF_NODE_HASH),
        (_shortened, Reason.PROOF_LENGTH),
        (_slots_left_out, Reason.PROOF_LENGTH),
    ],
)
async def test_a_lying_proof_is_refused_by_its_reason(
    bench: Bench, lie: Callable[[dict[str, Any]], None], reason: Reason
) -> None:
    bench.rpc.lie = lie
    await bench.refused(SealsRefused, f"block 0: {reason}", 1)
    await bench.recovers()


async def test_proofs_of_another_block_hide_no_change(bench: Bench) -> None:
    """The node shows the old set's state in the place of the new one's, and the old set goes on sealing."""
    changed = bench.real.changed
    turns = {n: Turn(proposer=FOUR[0], sealers=FOUR) for n in range(changed + 1, bench.real.last + 1)}
    bench.rpc.headers = bench.real.sealed(turns)
    bench.rpc.instead = dict.fromkeys(range(changed, bench.real.last + 1), changed - 1)
    await bench.refused(SealsRefused, f"block {changed}: PROOF_NODE_HASH", changed + 1)
    await bench.recovers()


async def test_a_node_that_pruned_the_state_proves_nothing(bench: Bench) -> None:
    bench.rpc.pruned_below = bench.real.last
    refusal = await bench.refused(ValidatorsNotProven, "block 0: VALIDATORS_NOT_PROVEN", 1)
    assert isinstance(refusal, ValidatorsNotProven) and refusal.reason is Reason.VALIDATORS_NOT_PROVEN
    await bench.recovers()


async def test_a_pinned_block_helps_where_the_state_is_pruned(bench: Bench) -> None:
    """Up to it the blocks are its ancestors; none of another chain passes on the way."""
    headers, pin = bench.real.sealed(), bench.real.changed - 2
    bench.rpc.pruned_below = pin
    follower = await bench.follower(pins={pin: headers[pin].hash, 3: headers[3].hash})
    await settle(follower)
    assert follower.head.number == bench.real.last
    assert min(bench.rpc.asked) == pin


async def test_below_a_pinned_block_nothing_else_passes(bench: Bench) -> None:
    headers, pin = bench.real.sealed(), bench.real.changed - 2
    for pins in ({pin: headers[pin - 1].hash}, {pin: headers[pin].hash, 3: headers[4].hash}):
        await bench.refused(SealsRefused, "BLOCK_PIN_MISMATCH", 1, await bench.follower(pins=pins))
    # Not even blocks that a quorum sealed, while the pinned one is not there yet.
    bench.rpc.headers = headers[:pin]
    waiting = await bench.follower(pins={pin: headers[pin].hash})
    await bench.refused(Exception, f"no block {pin}", 1, waiting)
    await bench.recovers()


async def test_what_was_the_way_to_a_pinned_block_stays_it(bench: Bench) -> None:
    """The node shows the pinned way first, and another chain that a quorum sealed afterwards."""
    headers, pin = bench.real.sealed(), bench.real.changed - 2
    network = bench.real.network
    pins = {pin: headers[pin].hash}
    seals = ContractSeals(bench.database, bench.node, network.genesis_hash, bench.real.rules, pins)
    genesis = BlockRef(0, network.genesis_hash, 0)
    await seals.check(genesis, await bench.node.full_blocks(1, 3))
    bench.rpc.headers = bench.real.sealed({2: Turn(proposer=FOUR[1])})
    with pytest.raises(SealsRefused, match="block 2: BLOCK_PIN_MISMATCH"):
        await seals.check(genesis, await bench.node.full_blocks(1, 3))


async def test_a_network_that_changed_to_contract_mode_is_followed_from_a_pinned_block(bench: Bench) -> None:
    """Besu's `transitions.qbft[].validatorSelectionMode`: block 7 is the first whose validators the contract
    holds. Whoever pins the block before it, or a later one, follows it under the contract's rules."""
    changed = 7
    headers = bench.real.sealed(mode_changed=changed)
    assert headers[0].extra and headers[0].extra.validators and headers[changed - 1].extra
    bench.rpc.headers = headers
    network = dataclasses.replace(bench.real.network, genesis_hash=headers[0].hash)

    def follower(pins: dict[int, BlockHash]) -> Follower:
        seals = ContractSeals(bench.database, bench.node, network.genesis_hash, bench.real.rules, pins)
        return Follower(bench.database, bench.node, PROFILE, network, seals=seals)

    for pins in ({}, {changed - 2: headers[changed - 2].hash}):
        early = follower(pins)
        await early.start()
        await bench.refused(SealsRefused, "QBFT_NOT_EMPTY", changed - 1, early)
    pinned = follower({changed - 1: headers[changed - 1].hash})
    await pinned.start()
    await settle(pinned)
    assert pinned.head.number == bench.real.last


async def test_an_archive_that_contradicts_a_pinned_block_halts(bench: Bench) -> None:
    headers = bench.real.sealed()
    bench.rpc.headers = headers[:-1]
    await settle(await bench.follower())
    bench.rpc.headers = headers
    follower = await bench.follower(pins={BAD: headers[BAD - 1].hash})
    await asyncio.wait_for(follower.run(asyncio.Event()), 20)
    assert isinstance(follower.halted, ArchiveUnsealed)
    assert f"BLOCK_PIN_MISMATCH: block {BAD}" in (await follower.health() or "")
    assert follower.head.number == bench.real.last - 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code_hash": bytes(32)}, Reason.VALIDATOR_CONTRACT),
        ({"address": NOBODY}, Reason.VALIDATOR_CONTRACT),
        ({"slot": 1}, Reason.VALIDATOR_SET),
    ],
    ids=["other_code", "no_contract", "no_array"],
)
async def test_other_rules_are_another_contract(bench: Bench, change: dict[str, Any], reason: Reason) -> None:
    follower = await bench.follower(dataclasses.replace(bench.real.rules, **change))
    await bench.refused(SealsRefused, f"block 0: {reason}", 1, follower)


async def test_headers_that_name_validators_are_refused(bench: Bench) -> None:
    """A block of header mode is none of contract mode."""
    first = bench.real.sealed()[0]
    items = rlp.decode(QbftChain(bench.real.raw, FOUR).headers[1].raw)
    items[0] = bytes(first.hash)
    bench.rpc.headers = [first, decode_header(rlp.encode(items), EngineKind.QBFT)]
    await bench.refused(SealsRefused, "block 1: QBFT_NOT_EMPTY", 1)


async def test_of_two_nodes_the_one_that_lies_about_a_proof_is_named(bench: Bench) -> None:
    honest = NodeProxy(bench.real.chain.url)
    Rpc(bench.real).put_before(honest)
    await honest.start()
    network = bench.real.network
    both = CrossCheckedNode(
        [("liar", bench.node), ("honest", JsonRpcNode(honest.url, PROFILE, 5.0))],
        network.chain_id,
        network.genesis_hash,
        block_time_s=PROFILE.block_time_s,
    )
    bench.rpc.lie = _altered
    follower = await bench.follower(node=both)
    await bench.refused(SealsRefused, "block 0 of node liar: PROOF_NODE_HASH", 1, follower)
    # One that pruned its state is passed over for the other, which still has it.
    bench.rpc.lie = lambda proof: None
    bench.rpc.pruned_below = 10**9
    await settle(follower)
    assert follower.head.number == bench.real.last
    await both.close()
    await honest.stop()


async def test_without_the_check_the_same_blocks_would_pass(bench: Bench) -> None:
    """The negative twin: it is the seals that stop the follower, and nothing else."""
    headers = bench.real.sealed()
    headers[BAD] = with_seals(headers[BAD], [])
    bench.rpc.headers = headers
    follower = Follower(bench.database, bench.node, PROFILE, bench.real.network)
    await follower.start()
    await settle(follower)
    assert follower.head.number == bench.real.last
