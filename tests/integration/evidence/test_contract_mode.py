"""The whole path, document → bundle → verdict, in QBFT contract mode: blocks of a real node, validators in a
real contract on it, their seals made by the test validators of tests/support/qbft_contract_chain.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from silkledger.evidence.bundle import Bundle
from silkledger.evidence.completeness import EventQuestion
from silkledger.evidence.completeness_verdict import verify_completeness
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.header import EngineKind, decode_header, encode_proven
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, CheckResult, Outcome, Verdict
from silkledger.evidence.verify import verify_bundle
from silkledger.evm.capture import CaptureRequest, capture
from silkledger.evm.contract_headers import ContractMode
from silkledger.evm.contracts import artifact
from silkledger.evm.deploy import deploy
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.gather_events import gather_events
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import AccountProof, Block, FullBlock, NodeUnavailable
from silkledger.values import Address, Digest
from tests.integration.verifier_ts.node import run
from tests.support.anvil import FAST
from tests.support.qbft_chain import Turn, validators
from tests.support.qbft_contract_chain import ContractSealedNode, ValidatorContract
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
FOUR, NEWCOMERS, LAST = validators(4), validators(5, first=50), validators(5, first=80)
HALF = [*FOUR[:2], *NEWCOMERS[:3]]
EVERYBODY = [*FOUR, *NEWCOMERS, *LAST]


@dataclass(frozen=True)
class Sealed:
    """The story, sealed: first four validators, then five of whom two stay, then five others."""

    told: Told
    contract: ValidatorContract
    node: ContractSealedNode
    rules: ContractRules
    as_of: int

    @property
    def mode(self) -> ContractMode:
        return ContractMode(self.rules, self.contract.block)

    async def roots(self) -> TrustRoots:
        return replace(
            await self.told.roots(),
            engine=EngineKind.QBFT,
            rules=self.rules,
            genesis_hash=self.node.headers[0].hash,
            pinned_blocks={self.contract.block: self.node.headers[self.contract.block].hash},
        )

    async def capture(self, keeps: frozenset[int] | None = None, steps: Sequence[int] = ()) -> Bundle:
        """From a node that has the states of the blocks `keeps` alone; None: of all."""
        request = CaptureRequest(
            self.told.statement,
            DIGEST,
            ORIGIN,
            LEAF,
            self.told.log_section(6),
            self.told.anchor_block,
            self.as_of,
            (CN, TH),
        )
        network = self.node.network(self.told.network)
        return await capture(
            self.node if keeps is None else Pruned(self.node, keeps),
            NodeHistories(self.told),
            network,
            EngineKind.QBFT,
            request,
            self.mode,
            steps,
        )


@dataclass(frozen=True)
class Pruned:
    """A node that has forgotten most states."""

    node: ContractSealedNode
    keeps: frozenset[int]

    async def block(self, number: int) -> Block:
        return await self.node.block(number)

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        return await self.node.full_blocks(first, last)

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        if block not in self.keeps:
            raise NodeUnavailable(f"the state of block {block} was pruned")
        return await self.node.get_proof(address, slots, block)


@pytest.fixture
async def sealed(node: JsonRpcNode) -> Sealed:
    return await seal_story(node)


async def seal_story(node: JsonRpcNode, turns: dict[int, Turn] | None = None) -> Sealed:
    contract = await ValidatorContract.create(node, account(99), FOUR)
    network = await deploy(node, account(100), GOVERNANCE.address, FAST)
    await contract.replace_all(HALF)
    told = await tell(node, network)
    changed = await contract.replace_all(LAST)
    as_of = changed + 3
    await reach(node, as_of)
    late = {as_of + offset: turn for offset, turn in (turns or {}).items()}
    over = await ContractSealedNode.over(node, contract, EVERYBODY, as_of, late)
    return Sealed(told, contract, over, await contract.rules(), as_of)


def assert_sealed(verdict: Verdict, mode: str) -> None:
    assert verdict.outcome is Outcome.PASS, verdict.checks
    assert verdict.assurance is Assurance.SEALED_BY_QUORUM
    text = " ".join(verdict.assumptions)
    assert "contract mode" in text and mode in text


async def test_a_document_passes_under_seals_of_validators_in_a_contract(
    sealed: Sealed, tmp_path: Path
) -> None:
    bundle, roots = await sealed.capture(), await sealed.roots()
    data = bundle.encode()
    verdict = verify_bundle(DIGEST, data, roots)
    assert_sealed(verdict, "skips")
    assert {check.result for check in verdict.checks if check.reason} <= {CheckResult.NOT_CHECKED}
    second_verifier_agrees(tmp_path, roots, data)

    headers = [decode_header(raw, EngineKind.QBFT) for raw in bundle.headers]
    anchor = sealed.told.anchor_block
    assert {anchor - 1, anchor, sealed.as_of - 1, sealed.as_of} < {header.number for header in headers}
    assert headers[0].number == sealed.contract.block
    # What changes the set cannot be left out, nor can a set be claimed that the contract does not hold.
    first = [raw for raw, h in zip(bundle.headers, headers, strict=True) if h.number in (anchor - 1, anchor)]
    ends = [bundle.headers[0], *first, *bundle.headers[-2:]]
    short = verify_bundle(DIGEST, replace(bundle, headers=tuple(ends)).encode(), roots)
    assert short.outcome is not Outcome.PASS
    assert short.check("headers").reason == Reason.LINEAGE_SKIP
    early = headers[0].validators_proof
    assert early is not None
    forged = encode_proven(headers[-2], early)
    lied = verify_bundle(
        DIGEST, replace(bundle, headers=(*bundle.headers[:-2], forged, bundle.headers[-1])).encode(), roots
    )
    assert lied.check("headers").result is CheckResult.FAIL


def second_verifier_agrees(folder: Path, roots: TrustRoots, data: bytes) -> None:
    paths = [folder / name for name in ("roots.json", "document", "bundle")]
    for path, content in zip(paths, (roots.to_json().encode(), DOCUMENT, data), strict=True):
        path.write_bytes(content)
    done = run("--trust-roots", paths[0], "--document", paths[1], paths[2], "--json")
    assert done.returncode == 0, done.stdout
    assert "contract mode" in " ".join(json.loads(done.stdout)["assumptions"])


async def test_a_registration_block_whose_state_is_gone_is_linked_to_a_later_one(
    sealed: Sealed, tmp_path: Path
) -> None:
    """Every validator was replaced since: a step in between is needed, and without it nothing is had."""
    anchor, pinned, as_of = sealed.told.anchor_block, sealed.contract.block, sealed.as_of
    changed = as_of - 3
    ends, step = frozenset({pinned, as_of - 1, as_of}), frozenset({changed - 1, changed})
    bundle, roots = await sealed.capture(ends | step, [changed]), await sealed.roots()
    assert_sealed(verify_bundle(DIGEST, bundle.encode(), roots), "skips")
    second_verifier_agrees(tmp_path, roots, bundle.encode())
    headers = [decode_header(raw, EngineKind.QBFT) for raw in bundle.headers]
    proven = {header.number for header in headers if header.validators_proof is not None}
    assert proven == ends | step
    assert {header.number for header in headers} == proven | set(range(anchor - 1, changed))
    for position, header in enumerate(headers):
        if header.number in range(anchor, changed - 1):
            less = replace(bundle, headers=bundle.headers[:position] + bundle.headers[position + 1 :])
            assert not verify_bundle(DIGEST, less.encode(), roots).outcome.good
    with pytest.raises((CaptureFailed, NodeUnavailable)):
        await sealed.capture(ends | step)
    with pytest.raises((CaptureFailed, NodeUnavailable)):
        await sealed.capture(ends, [changed])


async def test_no_sampled_byte_can_change(sealed: Sealed) -> None:
    data, roots = (await sealed.capture()).encode(), await sealed.roots()
    for position in range(5, len(data), 397):
        changed = bytearray(data)
        changed[position] ^= 0x10
        assert not verify_bundle(DIGEST, bytes(changed), roots).outcome.good, position


async def test_all_events_by_replay_while_the_contract_replaces_every_validator(sealed: Sealed) -> None:
    roots = await sealed.roots()
    topic = next(t for t, entry in artifact("LogAnchor").events.items() if entry.name == "Anchored")
    asked = EventQuestion(
        sealed.told.network.address("LogAnchor"), topic, sealed.contract.block + 1, sealed.as_of
    )
    proof = await gather_events(sealed.node, roots, asked)
    answer = verify_completeness(proof.encode(), roots, asked)
    assert_sealed(answer.verdict, "replay")
    assert len(answer.events) == 2


async def test_what_cannot_be_gathered(node: JsonRpcNode) -> None:
    """Two seals are no quorum of five; and an archive has no state to prove validators with."""
    story = await seal_story(node, {0: Turn(sealers=LAST[:2])})
    with pytest.raises(CaptureFailed) as caught:
        await story.capture()
    assert caught.value.reasons == (Reason.SEAL_QUORUM,)
    other = replace(story.rules, slot=1)
    with pytest.raises(CaptureFailed) as caught:
        await replace(story, rules=other).capture()
    assert caught.value.reasons == (Reason.VALIDATOR_SET,)
    story.contract.block = story.told.anchor_block
    with pytest.raises(CaptureFailed):
        await story.capture()
