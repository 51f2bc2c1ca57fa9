"""What one capture after the other keeps of a real chain's contracts, and what it then proves."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.ledger.capturing.gathering import Gathered, StateGatherer
from services.ledger.capturing.source import EvidenceSource, StateNotCaptured
from services.ledger.capturing.storage import CaptureRow, insert_capture, insert_nodes
from silkledger.evidence.assemble import slot_of
from silkledger.evidence.bundle import Contract
from silkledger.evidence.header import EngineKind
from silkledger.evidence.state import verify_account, verify_slot
from silkledger.evm.contracts import encode_call
from silkledger.evm.follower import Follower
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.port import AccountProof, Block, FullBlock, NodeUnavailable
from silkledger.projections.anchors import AnchorsProjector
from silkledger.projections.histories import HistoriesProjector
from silkledger.registry.histories import (
    accreditation_key,
    country_key,
    document_status_key,
    identity_key,
    recognition_key,
)
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import migrate_open
from silkledger.values import Address, StatementId
from tests.support.anvil import FAST

from .conftest import BILL, CN, LA, TH, Founded, send


class NoNode:
    """Has nothing."""

    async def block(self, number: int) -> Block:
        raise NodeUnavailable("nothing is there")

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        raise NodeUnavailable("nothing is there")

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        raise NodeUnavailable("nothing is there")


class Bench:
    """A follower of the founded chain, and a gatherer of its state."""

    def __init__(self, founded: Founded, node: JsonRpcNode, database: Database) -> None:
        self.founded, self.node, self.database = founded, node, database
        projectors = (HistoriesProjector(), AnchorsProjector())
        self.follower = Follower(database, node, FAST, founded.network, projectors)

    def gatherer(self, most_slots: int = 4_096) -> StateGatherer:
        return StateGatherer(
            self.database, self.node, self.founded.network, EngineKind.NO_SEALS, bytes(32), most_slots
        )

    async def follow(self) -> int:
        """To a block of now; its number."""
        wanted = await self.node.block_number()
        while self.follower.head.number < wanted:
            await self.follower.step()
        return wanted

    async def capture(self, gatherer: StateGatherer) -> Gathered:
        number = await self.follow()
        header = (await self.node.block(number)).header
        gathered = await gatherer.gather(header)
        async with self.database.write() as connection:
            await insert_nodes(connection, gathered.nodes)
            await insert_capture(connection, CaptureRow(number, gathered.whole), time.time_ns() // 10**6)
        gatherer.kept(gathered)
        return gathered

    async def revoke(self, count: int) -> list[bytes]:
        """Statements that the agency speaks of; their keys."""
        ids = [secrets.token_bytes(32) for _ in range(count)]
        target = self.founded.network.address("DocumentStatus")
        for statement_id in ids:
            call = encode_call("DocumentStatus", "revoke", (statement_id, 1, 0))
            await send(self.node, self.founded.agency, target, call)
        return [document_status_key(self.founded.agency.address, StatementId(item)) for item in ids]

    async def words(self, gathered: Gathered, contract: Contract, keys: Sequence[bytes]) -> list[int]:
        """The heads of histories as of the capture, proven from what is kept and nothing else.

        Raises: StateNotCaptured.
        """
        address = self.founded.network.address(contract.directory_name)
        slots = [slot_of(key) for key in keys]
        async with self.database.read() as connection:
            source = EvidenceSource(connection, NoNode(), EngineKind.NO_SEALS)
            proof = await source.get_proof(address, slots, gathered.header.number)
        account = verify_account(gathered.header.state_root, address, proof.account_proof)
        return [verify_slot(account.storage_root, slot, proof.storage_proofs[slot]) for slot in slots]


@pytest.fixture
async def bench(founded: Founded, tmp_path: Path) -> AsyncIterator[Bench]:
    node = JsonRpcNode(founded.url, FAST)
    database = await Database.open(f"sqlite:///{tmp_path}/ledger.sqlite")
    await migrate_open(database, "services/ledger/migrations")
    made = Bench(founded, node, database)
    await made.follower.start()
    yield made
    await database.close()
    await node.close()


def somebodys() -> list[bytes]:
    """Keys of DocumentStatus under which nothing was recorded."""
    return [secrets.token_bytes(32) for _ in range(200)]


async def test_every_status_is_proven_after_captures_of_what_was_written(bench: Bench) -> None:
    gatherer, recorded = bench.gatherer(), await bench.revoke(12)
    first = await bench.capture(gatherer)
    recorded_later = await bench.revoke(6)
    second = await bench.capture(gatherer)
    restarted = bench.gatherer()
    recorded_last = await bench.revoke(1)
    third = await bench.capture(restarted)
    assert first.whole and second.whole and third.whole
    for gathered, keys in (
        (first, recorded),
        (second, recorded + recorded_later),
        (third, recorded + recorded_later + recorded_last),
    ):
        assert all(await bench.words(gathered, Contract.DOCUMENT_STATUS, keys))
        assert not any(await bench.words(gathered, Contract.DOCUMENT_STATUS, somebodys()))
    assert not any(await bench.words(second, Contract.DOCUMENT_STATUS, recorded_last))
    assert len(second.nodes) < len(first.nodes)


async def test_the_registries_are_proven_for_every_country(bench: Bench) -> None:
    gathered = await bench.capture(bench.gatherer())
    agency = bench.founded.agency.address
    trust = [country_key(TH), country_key(LA), accreditation_key(agency, BILL), recognition_key(CN, TH, BILL)]
    assert all(await bench.words(gathered, Contract.TRUST_REGISTRY, trust))
    unsaid = [recognition_key(LA, TH, BILL)]
    assert await bench.words(gathered, Contract.TRUST_REGISTRY, unsaid) == [0]
    assert await bench.words(gathered, Contract.IDENTITY_REGISTRY, [identity_key(agency)]) == [0]


async def test_what_one_capture_may_not_ask_for_the_next_ones_do(bench: Bench) -> None:
    gatherer, keys = bench.gatherer(most_slots=10), await bench.revoke(5)
    captures = [await bench.capture(gatherer)]
    while not captures[-1].whole:
        with pytest.raises(StateNotCaptured):
            await bench.words(captures[-1], Contract.DOCUMENT_STATUS, somebodys() + keys)
        captures.append(await bench.capture(gatherer))
        assert len(captures) < 20
    assert len(captures) > 2
    assert all(await bench.words(captures[-1], Contract.DOCUMENT_STATUS, keys))
    assert not any(await bench.words(captures[-1], Contract.DOCUMENT_STATUS, somebodys()))
    idle = await bench.capture(gatherer)
    assert all(await bench.words(idle, Contract.DOCUMENT_STATUS, keys))
