"""The follower in QBFT contract mode: who seals each block is proven at its parent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import rlp

from silkledger.evidence.header import EngineKind, decode_header
from silkledger.evidence.reasons import Reason
from silkledger.evm.crosscheck import CrossCheckedNode
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.seal_refusals import SealsRefused
from silkledger.evm.validator_contract import may_change
from tests.integration.evm.contract_bench import *  # noqa: F403
from tests.integration.evm.contract_bench import BAD, FOUR, HALF, NOBODY, PROFILE, STRANGER, Bench, Rpc
from tests.integration.evm.test_following_seals import seals_of, settle, with_seals
from tests.support.node_proxy import NodeProxy
from tests.support.qbft_chain import QbftChain, Turn


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
