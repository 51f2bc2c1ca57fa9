"""The whole path, document → bundle → verdict, under commit seals: blocks of a real node with the real
contracts, sealed by the test validators of tests/support/qbft_chain.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

import pytest

from silkledger.evidence.bundle import Bundle
from silkledger.evidence.header import EngineKind
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, CheckResult, Outcome, Verdict
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.capture import CaptureRequest, capture
from silkledger.evm.deploy import deploy
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.node import JsonRpcNode
from silkledger.values import Digest
from tests.support.anvil import FAST
from tests.support.qbft_chain import QbftChain, SealedNode, Turn, Validator, replacing, validators
from tests.vectors.evidence.scenario import (
    CN,
    DOCUMENT,
    GOVERNANCE,
    LEAF,
    ORIGIN,
    TH,
    NodeHistories,
    Told,
    account,
    reach,
    tell,
)

DIGEST = Digest(sha256(DOCUMENT).digest())
FOUR, NEWCOMERS, FIFTH = validators(4), validators(4, first=50), Validator(90)
EPOCH = 10
STEADY = {
    3: Turn(round=2),
    4: Turn(proposer=FOUR[0], vote=(FIFTH, True)),
    5: Turn(proposer=FOUR[1], vote=(FIFTH, True)),
    6: Turn(proposer=FOUR[2], round=1, vote=(FIFTH, True)),
    # Forgotten at epoch block 10, whose own vote does not count either.
    8: Turn(proposer=FOUR[0], vote=(FIFTH, False)),
    9: Turn(proposer=FOUR[1], vote=(FIFTH, False)),
    10: Turn(proposer=FOUR[2], vote=(FIFTH, False)),
    12: Turn(proposer=FOUR[3], vote=(FIFTH, False)),
}
TURNOVER = replacing(1, FOUR, NEWCOMERS)
"""Every validator is replaced, one after the other."""


@dataclass(frozen=True)
class Sealed:
    """Evidence under the seals of one test chain."""

    chain: QbftChain
    bundle: Bundle
    roots: TrustRoots

    def verify(self, *headers: int, roots: TrustRoots | None = None) -> Verdict:
        """The verdict on the bundle, with just these headers where some are named."""
        raw = tuple(self.chain.headers[number].raw for number in headers) or self.bundle.headers
        return verify_bundle(DIGEST, replace(self.bundle, headers=raw).encode(), roots or self.roots)

    @property
    def numbers(self) -> list[int]:
        known = {header.raw: header.number for header in self.chain.headers}
        return [known[raw] for raw in self.bundle.headers]


async def _seal(told: Told, as_of: int, turns: dict[int, Turn], epoch: int = EPOCH) -> Sealed:
    node = await SealedNode.over(told.node, as_of, FOUR, epoch_length=epoch, turns=turns)
    network = node.network(told.network)
    request = CaptureRequest(
        told.statement, DIGEST, ORIGIN, LEAF, told.log_section(6), told.anchor_block, as_of, (CN, TH)
    )
    bundle = await capture(node, NodeHistories(told), network, EngineKind.QBFT, request)
    roots = replace(
        await told.roots(),
        engine=EngineKind.QBFT,
        rules=node.chain.rules,
        genesis_hash=network.genesis_hash,
    )
    return Sealed(node.chain, bundle, roots)


async def _record(url: str) -> tuple[Sealed, Sealed, str]:
    node = JsonRpcNode(url, FAST)
    try:
        network = await deploy(node, account(100), GOVERNANCE.address, FAST)
        await reach(node, max(TURNOVER))
        told = await tell(node, network)
        as_of = told.anchor_block + 3
        await reach(node, as_of)
        steady, turnover = await _seal(told, as_of, STEADY), await _seal(told, as_of, TURNOVER, 30_000)
        try:
            await _seal(told, as_of, {as_of - 1: Turn(sealers=FOUR[:2])})
            await _seal(told, as_of, {as_of: Turn(sealers=FOUR[:2])})
        except CaptureFailed as error:
            return steady, turnover, error.reasons[0]
        return steady, turnover, ""
    finally:
        await node.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sealed, Sealed, str]]:
    chain = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=0.1)
    chain.start()
    try:
        yield asyncio.run(_record(chain.url))
    finally:
        chain.stop()


@pytest.fixture
def steady(recorded: tuple[Sealed, Sealed, str]) -> Sealed:
    return recorded[0]


@pytest.fixture
def turnover(recorded: tuple[Sealed, Sealed, str]) -> Sealed:
    return recorded[1]


def assert_sealed(verdict: Verdict, mode: str) -> None:
    assert verdict.outcome is Outcome.PASS, verdict.checks
    assert verdict.assurance is Assurance.SEALED_BY_QUORUM
    assert any(mode in sentence for sentence in verdict.assumptions), verdict.assumptions


def test_a_document_passes_under_the_seals_of_a_quorum(steady: Sealed) -> None:
    anchor, as_of = steady.bundle.anchor.block_number, steady.chain.headers[-1].number
    assert steady.numbers == [0, anchor - 1, anchor, as_of]
    assert_sealed(steady.verify(), "skips")
    assert FIFTH in steady.chain.members[-1]


def test_the_same_by_replay_of_every_header_through_votes_rounds_and_epochs(steady: Sealed) -> None:
    assert_sealed(steady.verify(*range(len(steady.chain.headers))), "replay")


def test_by_replay_other_rules_are_another_lineage(steady: Sealed) -> None:
    rules = replace(steady.chain.rules, epoch_length=5)
    verdict = steady.verify(*range(len(steady.chain.headers)), roots=replace(steady.roots, rules=rules))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.check("headers").reason == Reason.QBFT_VALIDATORS


def test_where_most_validators_were_replaced_headers_between_are_put_in(turnover: Sealed) -> None:
    assert turnover.chain.members[0] == FOUR
    assert turnover.chain.members[-1] == NEWCOMERS
    anchor = turnover.bundle.anchor.block_number
    between = [number for number in turnover.numbers if 0 < number < anchor - 1]
    assert 0 < len(between) <= 6
    assert_sealed(turnover.verify(), "skips")
    assert_sealed(turnover.verify(*range(len(turnover.chain.headers))), "replay")
    without = turnover.verify(0, anchor - 1, anchor, turnover.numbers[-1])
    assert without.outcome is Outcome.FAIL
    assert without.check("headers").reason == Reason.LINEAGE_SKIP


def test_a_recent_pin_needs_nothing_older(turnover: Sealed) -> None:
    anchor, as_of = turnover.bundle.anchor.block_number, turnover.numbers[-1]
    pins = {anchor - 1: turnover.chain.headers[anchor - 1].hash}
    roots = replace(turnover.roots, pinned_blocks=pins)
    assert_sealed(turnover.verify(anchor - 1, anchor, as_of, roots=roots), f"pinned block {anchor - 1}")
    unpinned = turnover.verify(anchor - 1, anchor, as_of)
    assert unpinned.outcome is Outcome.INCOMPLETE
    assert unpinned.check("headers").reason == Reason.LINEAGE_NO_START


def test_the_seals_of_another_chain_prove_nothing(steady: Sealed) -> None:
    """Same blocks, contracts and state; another genesis, other validators."""
    chain = QbftChain([header.raw for header in steady.chain.headers], NEWCOMERS)
    raw = tuple(chain.headers[number].raw for number in steady.numbers)
    other = replace(steady.bundle.network, genesis_hash=chain.headers[0].hash)
    forged = replace(steady.bundle, headers=raw, network=other)
    own = replace(steady.roots, genesis_hash=chain.headers[0].hash)
    assert verify_bundle(DIGEST, forged.encode(), own).outcome is Outcome.PASS
    verdict = verify_bundle(DIGEST, forged.encode(), steady.roots)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.check("network").reason == Reason.NETWORK_MISMATCH
    disguised = replace(forged, network=steady.bundle.network)
    verdict = verify_bundle(DIGEST, disguised.encode(), steady.roots)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.check("headers").reason == Reason.BLOCK_PIN_MISMATCH


def test_no_sampled_byte_can_change(steady: Sealed) -> None:
    data = steady.bundle.encode()
    assert verify_bundle(DIGEST, data, steady.roots).outcome is Outcome.PASS
    for position in range(5, len(data), 211):
        changed = bytearray(data)
        changed[position] ^= 0x10
        assert not verify_bundle(DIGEST, bytes(changed), steady.roots).outcome.good, position


def test_a_block_without_a_quorum_is_not_made_into_evidence(recorded: tuple[Sealed, Sealed, str]) -> None:
    """Only at the as-of block: the block before it, which no bundle needs, lacked seals as well."""
    assert recorded[2] == Reason.SEAL_QUORUM


def test_all_checks_are_made_that_somebody_asked_for(steady: Sealed) -> None:
    verdict = steady.verify()
    assert verdict.reasons == (Reason.WITNESSES_NOT_PINNED, Reason.PROMISE_NOT_IN_BUNDLE)
    assert verdict.check("headers").result is CheckResult.PASS
