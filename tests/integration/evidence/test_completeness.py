"""All anchor events of a real chain, proven from the node and from an archive, with and without seals."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from silkledger.cli.__main__ import app
from silkledger.cli.exit_codes import ExitCode
from silkledger.evidence.completeness import EventQuestion
from silkledger.evidence.completeness_verdict import verify_completeness
from silkledger.evidence.header import EngineKind
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Assurance, Outcome
from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.archive import Archive
from silkledger.evm.contracts import artifact, events_of
from silkledger.evm.deploy import deploy
from silkledger.evm.failure import CaptureFailed
from silkledger.evm.follower import Follower
from silkledger.evm.gather_events import gather_events
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import NodeUnavailable
from silkledger.evm.tables import METADATA
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from tests.support.anvil import FAST
from tests.support.qbft_chain import QbftChain, SealedNode, Turn, replacing, validators
from tests.vectors.evidence.scenario import GOVERNANCE, ORIGIN, Told, account, reach, tell

ANCHORED = next(topic for topic, entry in artifact("LogAnchor").events.items() if entry.name == "Anchored")
FOUR = validators(4)


@pytest.fixture
async def told(node: JsonRpcNode) -> Told:
    network = await deploy(node, account(100), GOVERNANCE.address, FAST)
    story = await tell(node, network)
    await reach(node, story.anchor_block + 4)
    return story


def question(told: Told, first: int = 1) -> EventQuestion:
    return EventQuestion(told.network.address("LogAnchor"), ANCHORED, first, told.anchor_block + 2)


async def archived(told: Told, folder: Path, last: int) -> Database:
    """A follower's database that has blocks up to `last` at least."""
    database = await Database.open(f"sqlite:///{folder / 'follower.sqlite3'}")
    async with database.write() as conn:
        await conn.run_sync(METADATA.create_all)
    follower = Follower(database, told.node, FAST, told.network)
    await follower.start()
    while follower.head.number < last:
        await follower.step()
    return database


async def test_the_same_proof_from_the_node_and_from_the_archive(told: Told, tmp_path: Path) -> None:
    asked, pin = question(told), told.anchor_block + 3
    roots = await told.roots(pin)
    from_node = await gather_events(told.node, roots, asked)
    answer = verify_completeness(from_node.encode(), roots, asked)
    assert answer.verdict.outcome is Outcome.PASS_DEVELOPMENT_ONLY, answer.verdict.checks
    blocks = await told.node.full_blocks(1, asked.last)
    emitted = [
        (event.block_number, event.tx_index, event.log_index)
        for block in blocks
        for event in events_of(
            told.network, block.header.number, block.tx_hashes, [r.logs for r in block.receipts]
        )
        if (event.contract, event.name) == ("LogAnchor", "Anchored")
    ]
    assert len(emitted) == 2
    assert [(e.block.number, e.transaction_index, e.log_index) for e in answer.events] == emitted
    assert {event.log.topics[1] for event in answer.events} == {origin_id(ORIGIN)}

    database = await archived(told, tmp_path, pin)
    try:
        async with database.read() as conn:
            archive = Archive(conn, EngineKind.NO_SEALS)
            assert (await gather_events(archive, roots, asked)).encode() == from_node.encode()
            with pytest.raises(NodeUnavailable):
                await archive.full_blocks(1, pin + 1000)
            with pytest.raises(NodeUnavailable):
                await archive.block(0)
    finally:
        await database.close()


async def test_without_a_pinned_block_after_the_range_nothing_is_handed_out(told: Told) -> None:
    with pytest.raises(CaptureFailed) as caught:
        await gather_events(told.node, await told.roots(told.anchor_block), question(told))
    assert caught.value.reasons == (Reason.BLOCK_NOT_PINNED,)


async def sealed(told: Told, last: int, turns: dict[int, Turn]) -> tuple[SealedNode, TrustRoots]:
    node = await SealedNode.over(told.node, last, FOUR, turns=turns)
    network = node.network(told.network)
    roots = replace(
        await told.roots(),
        engine=EngineKind.QBFT,
        rules=node.chain.rules,
        genesis_hash=network.genesis_hash,
    )
    return node, roots


async def test_under_seals_while_and_after_every_validator_is_replaced(told: Told) -> None:
    turns = replacing(1, FOUR, validators(4, first=50))
    last = max(turns) + 3
    await reach(told.node, last)
    asked = replace(question(told), first=told.anchor_block, last=last)
    node, roots = await sealed(told, last, turns)
    proof = await gather_events(node, roots, asked)
    answer = verify_completeness(proof.encode(), roots, asked)
    assert answer.verdict.outcome is Outcome.PASS, answer.verdict.checks
    assert answer.verdict.assurance is Assurance.SEALED_BY_QUORUM
    assert [event.block.number for event in answer.events] == [told.anchor_block]

    late = replace(asked, first=last - 1)
    bridged = await gather_events(node, roots, late)
    assert len(bridged.headers) > 3, "genesis, headers between, and the range"
    answer = verify_completeness(bridged.encode(), roots, late)
    assert (answer.verdict.outcome, answer.events) == (Outcome.PASS, ())
    without = replace(bridged, headers=(bridged.headers[0], *bridged.headers[-2:]))
    refused = verify_completeness(without.encode(), roots, late).verdict
    assert refused.check("headers").reason == Reason.LINEAGE_SKIP
    pinned = replace(roots, pinned_blocks={late.first: node.chain.headers[late.first].hash})
    assert len((await gather_events(node, pinned, late)).headers) == 2

    other = QbftChain([header.raw for header in node.chain.headers], validators(4, first=80))
    numbers = (0, *range(asked.first, last + 1))
    forged = replace(proof, headers=tuple(other.headers[number].raw for number in numbers))
    verdict = verify_completeness(forged.encode(), roots, asked).verdict
    assert verdict.check("headers").reason == Reason.BLOCK_PIN_MISMATCH


async def test_a_block_without_a_quorum_is_not_made_into_a_proof(told: Told) -> None:
    asked = question(told)
    node, roots = await sealed(told, asked.last, {asked.last - 1: Turn(sealers=FOUR[:2])})
    with pytest.raises(CaptureFailed) as caught:
        await gather_events(node, roots, asked)
    assert Reason.SEAL_QUORUM in caught.value.reasons


def silkledger(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evidence", "completeness", *map(str, arguments), "--json"])


def test_the_command_line(chain: EmbeddedChain, tmp_path: Path) -> None:
    """Make from the node, and from the archive; verify; and what is refused."""
    roots, database, last = asyncio.run(_prepared(chain.url, tmp_path))
    one, two = tmp_path / "one", tmp_path / "two"
    asked = ["--contract", "LogAnchor", "--event", "Anchored", "--from", 1, "--to", last]
    trusted = ["--trust-roots", roots]
    made = silkledger("make", *asked, *trusted, "--node", chain.url, "--engine", "anvil", "--out", one)
    assert made.exit_code == 0, made.output
    made = silkledger("make", *asked, *trusted, "--archive", f"sqlite:///{database}", "--out", two)
    assert made.exit_code == 0, made.output
    assert one.read_bytes() == two.read_bytes()

    shown = silkledger("verify", one, *asked, *trusted)
    assert shown.exit_code == ExitCode.DEVELOPMENT_ONLY
    answer = json.loads(shown.output)
    assert [event["arguments"]["size"] for event in answer["events"]] == [3, 6]
    assert answer["notChecked"] and answer["trustRoots"]
    assert silkledger("verify", one, *asked, *trusted, "--allow-unsealed").exit_code == 0

    other = ["--contract", "LogAnchor", "--event", "OriginRegistered", "--from", 1, "--to", last]
    refused = silkledger("verify", one, *other, *trusted)
    assert refused.exit_code == ExitCode.FAILED
    assert json.loads(refused.output)["events"] == []
    for wrong in (
        ["--contract", "LogAnchor", "--event", "NoSuch", "--from", 1, "--to", last],
        ["--contract", "NoSuch", "--event", "Anchored", "--from", 1, "--to", last],
        ["--contract", "LogAnchor", "--event", "Broken(", "--from", 1, "--to", last],
        ["--contract", "LogAnchor", "--event", "Anchored", "--from", 5, "--to", 4],
    ):
        assert silkledger("verify", one, *wrong, *trusted).exit_code == ExitCode.USAGE
    assert silkledger("make", *asked, *trusted, "--out", two).exit_code == ExitCode.USAGE
    nowhere = ["--node", "http://127.0.0.1:1", "--engine", "anvil", "--out", two]
    assert silkledger("make", *asked, *trusted, *nowhere).exit_code == ExitCode.UNAVAILABLE
    beyond = [*asked[:-1], last + 5, *trusted, "--node", chain.url, "--engine", "anvil", "--out", two]
    assert silkledger("make", *beyond).exit_code == ExitCode.FAILED


async def _prepared(url: str, folder: Path) -> tuple[Path, Path, int]:
    """The story told on the chain at `url`, trust roots that pin a block after it, and an archive."""
    node = JsonRpcNode(url, FAST)
    try:
        told = await tell(node, await deploy(node, account(100), GOVERNANCE.address, FAST))
        pin = told.anchor_block + 2
        await reach(node, pin)
        database = await archived(told, folder, pin)
        await database.close()
        roots = folder / "roots.json"
        roots.write_text((await told.roots(pin)).to_json())
        return roots, folder / "follower.sqlite3", told.anchor_block + 1
    finally:
        await node.close()
