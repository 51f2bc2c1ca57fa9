"""An operator who rewrites history loses, with every key in hand: contract, follower and witness refuse."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import encode_call, view
from silkledger.evm.node import JsonRpcNode
from silkledger.keys import Suite, generate
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint, verify_cosignature
from silkledger.log.tiles import decode_bundle
from silkledger.log.tree import Tree, leaf_hash
from silkledger.projections.statements import packs
from silkledger.registry.histories import origin_id
from silkledger.witness.request import AddCheckpoint
from silkledger.witness.state import WitnessState
from silkledger.witness.witness import Witness
from tests.support.anvil import FAST
from tests.support.grpc_clients import channel

from .conftest import Founded, Ledger, id_of, opened, reached, refused, register, send

BAD_PROOF = 3
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def own(founded: Founded, tmp_path: Path) -> AsyncIterator[Ledger]:
    service = Ledger(founded, tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite")
    await asyncio.to_thread(service.start)
    await opened(service)
    yield service
    await asyncio.to_thread(service.stop)


class Operator:
    """Has the database, the log's key and the lane's account, and no scruples."""

    def __init__(self, service: Ledger) -> None:
        self.service = service
        self.database = service.directory / "ledger.sqlite"

    def leaves(self) -> list[bytes]:
        with closing(sqlite3.connect(self.database)) as database:
            rows = database.execute("SELECT width, entries FROM entry_pack ORDER BY call").fetchall()
            return [raw for width, entries in rows for raw in decode_bundle(entries, width)]

    def rewrite(self, raws: list[bytes]) -> None:
        """Puts other bytes in the leaves' place and integrates again: a database without a trace of it."""
        tree = Tree()
        tree.extend(raws)
        head = Checkpoint(self.service.origin, tree.size, tree.root())
        note = sign_checkpoint(head, self.service.log_key)
        with closing(sqlite3.connect(self.database)) as database, database:
            (call,) = database.execute("SELECT call FROM leaf_run WHERE first_leaf = 0").fetchone()
            database.execute("DELETE FROM entry_pack WHERE call = ?", (call,))
            database.executemany("INSERT INTO entry_pack VALUES (?, ?, ?, ?)", packs(call, raws))
            hashes = b"".join(leaf_hash(raw) for raw in raws)
            database.execute("UPDATE tile SET hashes = ? WHERE level = 0", (hashes,))
            database.execute("DELETE FROM checkpoint")
            row = (head.size, bytes(head.root), note, time.time_ns() // 1_000_000)
            database.execute(
                "INSERT INTO checkpoint (tree_size, root, note, created_ms) VALUES (?, ?, ?, ?)", row
            )

    async def anchor(self, tree: Tree, old: int) -> int:
        """Past the service's own checks, as the origin's controller. Returns the block."""
        call = (origin_id(self.service.origin), tree.size, tree.root(), tree.consistency_path(old))
        founded = self.service.founded
        node = JsonRpcNode(founded.url, FAST)
        try:
            account = Account.load(self.service.directory / "lane.pem")
            target = founded.network.address("LogAnchor")
            return await send(node, account, target, encode_call("LogAnchor", "anchor", call))
        finally:
            await node.close()

    async def anchored(self) -> tuple[int, bytes]:
        founded = self.service.founded
        node = JsonRpcNode(founded.url, FAST)
        try:
            identifier = origin_id(self.service.origin)
            size, root = await view(node, founded.network, "LogAnchor", "anchoredHead", (identifier,))
            return int(size), bytes(root)
        finally:
            await node.close()


async def halted(service: Ledger) -> str:
    """Waits until the service takes nothing more; says why."""
    async with channel(service.address, service.identity(service.founded.agency)) as opened_channel:
        stub = rpc.LedgerServiceStub(opened_channel)
        deadline = time.monotonic() + 30
        while True:
            request = register(service.statement(service.founded.agency, document_type="999"))
            told = await refused(stub.RegisterStatements(request))
            if told.reason == "LOG_HALTED":
                break
            assert time.monotonic() < deadline, service.log
            await asyncio.sleep(0.05)
        health = health_pb2_grpc.HealthStub(opened_channel)
        while (await health.Check(health_pb2.HealthCheckRequest())).status != NOT_SERVING:
            assert time.monotonic() < deadline, service.log
            await asyncio.sleep(0.05)
        assert told.code == grpc.StatusCode.FAILED_PRECONDITION
    return [line for line in service.log.splitlines() if "log_halted" in line][-1]


async def test_an_operator_who_rewrites_history_loses(own: Ledger, tmp_path: Path) -> None:
    agency = own.founded.agency
    raws = [own.statement(agency) for _ in range(3)]
    async with channel(own.address, own.identity(agency)) as opened_channel:
        stub = rpc.LedgerServiceStub(opened_channel)
        await stub.RegisterStatements(register(*raws))
        await reached(stub, bytes(id_of(raws[-1])), chain.EVIDENCE_STAGE_FINAL)
        note = (await stub.GetCheckpoint(pb.GetCheckpointRequest())).checkpoint
    vkey = LogVerifierKey.of(own.origin, own.log_key.verifying_key)
    state = WitnessState(tmp_path / "witness.sqlite")
    witness = Witness("witness.example/w1", generate(Suite.EDDSA), [vkey], state, lambda: int(time.time()))
    line = witness.add_checkpoint(AddCheckpoint(0, (), note).encode())
    assert (line.status, verify_cosignature(note + line.body, witness.vkey) > 0) == (200, True)

    operator = Operator(own)
    honest = await operator.anchored()
    altered = operator.leaves()
    altered[1] = own.statement(agency)
    longer = Tree()
    longer.extend([*altered, own.statement(agency)])

    # The contract refuses the new head, whoever signs it.
    await operator.anchor(longer, 3)
    assert await operator.anchored() == honest
    # The follower reports the refusal, and the log halts.
    assert "LogAnchor refused one of this log's heads" in await halted(own)
    await asyncio.to_thread(own.stop)
    with closing(sqlite3.connect(operator.database)) as database:
        refusals = database.execute("SELECT size, root, reason FROM anchor_refusal").fetchall()
    assert refusals == [(4, bytes(longer.root()), BAD_PROOF)]
    # A witness cosigns neither another head of the same size nor one that does not extend it.
    same = Tree()
    same.extend(altered)
    for tree, proof, status in ((same, (), 409), (longer, tuple(longer.consistency_path(3)), 422)):
        head = sign_checkpoint(Checkpoint(own.origin, tree.size, tree.root()), own.log_key)
        assert witness.add_checkpoint(AddCheckpoint(3, proof, head).encode()).status == status
    state.close()

    # The database rewritten without a trace: the service signs nothing over it.
    operator.rewrite(altered)
    await asyncio.to_thread(own.start)
    await halted(own)
    with closing(sqlite3.connect(operator.database)) as database:
        assert database.execute("SELECT tree_size, root FROM checkpoint").fetchall() == [
            (3, bytes(same.root()))
        ]
