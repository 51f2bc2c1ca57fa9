"""Processes of the ledger and of a settlement service with two nodes, one of which lies.

Each names it in log, health and metrics, and applies nothing until it tells the truth again; nor does a
replay of the ledger by itself report anything. The identity service: tests/integration/identity.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import Network
from silkledger.evm.deploy import deploy
from silkledger.evm.node import JsonRpcNode
from silkledger.keys import Suite, generate, save_key
from silkledger.keys.account import Account
from silkledger.ledger.v1 import audit_pb2 as pb
from silkledger.ledger.v1 import audit_pb2_grpc as audit_rpc
from silkledger.values import Did
from tests.support.anvil import FAST, eventually
from tests.support.grpc_clients import channel
from tests.support.node_proxy import NodeProxy
from tests.support.pki import TestCa
from tests.support.processes import ServiceProcess


@dataclass
class Founded:
    """A chain with all contracts."""

    chain: EmbeddedChain
    network: Network

    def head(self) -> int:
        return int(self.chain.rpc("eth_blockNumber"), 16)

    async def reached(self, number: int) -> bool:
        return self.head() >= number


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Founded]:
    chain = EmbeddedChain(tmp_path_factory.mktemp("chain"), block_time_s=FAST.block_time_s)
    chain.start()

    async def network() -> Network:
        node = JsonRpcNode(chain.url, FAST)
        try:
            return await deploy(node, Account.generate(), Account.generate().address, FAST)
        finally:
            await node.close()

    try:
        yield Founded(chain, asyncio.run(network()))
    finally:
        chain.stop()


@dataclass
class Running:
    """A service that runs."""

    name: str
    founded: Founded
    proxy: NodeProxy
    folder: Path
    ca: TestCa = field(default_factory=TestCa)

    def settings(self) -> dict[str, str]:
        certificate, key, root = self.ca.server().write(self.folder / "tls")
        network = self.founded.network
        return {
            "DATABASE_URL": f"sqlite:///{self.folder}/service.sqlite",
            "NODE_URL": f"port-authority={self.founded.chain.url}, other-bank={self.proxy.url}",
            "ENGINE": "anvil",
            "CHAIN_ID": str(network.chain_id),
            "GENESIS_HASH": str(network.genesis_hash),
            "DIRECTORY": str(network.directory),
            "TLS_CERT": str(certificate),
            "TLS_KEY": str(key),
            "TLS_CA": str(root),
        } | (self._ledger() if self.name == "ledger" else self._bank())

    def _ledger(self) -> dict[str, str]:
        Account.generate().save(self.folder / "lane.pem")
        save_key(self.folder / "log.pem", generate(Suite.EDDSA))
        return {
            "LANE_KEY_FILE": str(self.folder / "lane.pem"),
            "LOG_KEY_FILE": str(self.folder / "log.pem"),
            "ORIGIN": "silkledger.example/two-nodes",
            "VERIFY_PROCESSES": "0",
            "REPLAY_DIRECTORY": str(self.folder / "replays"),
            "REPLAY_PROCESSES": "0",
        }

    def _bank(self) -> dict[str, str]:
        account = Account.generate()
        did = Did.of(self.founded.network.chain_id, account.address)
        certificate, key, _ = self.ca.bank(did).write(self.folder / "client")
        account.save(self.folder / "controller.pem")
        seed = self.folder / "seed"
        seed.write_bytes(secrets.token_bytes(32))
        seed.chmod(0o600)
        return {
            "BANK_DID": str(did),
            "BANK_BIC": "SMPACNB0XXX",
            "BANK_KEY_FILE": str(self.folder / "controller.pem"),
            "SEED_FILE": str(seed),
            "IDENTITY_ENDPOINT": "127.0.0.1:1",  # nobody is asked: nothing is paid
            "ACCOUNTS": "SAMPLECNY0001",
            "SETTLEMENT_INSTITUTION": str(did),
            "CLIENT_CERT": str(certificate),
            "CLIENT_KEY": str(key),
        }

    async def metric(self, line: str) -> bool:
        port = json.loads((self.folder / "ready.json").read_text())["metrics_port"]
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as reply:
            return line in (await reply.text()).splitlines()

    def applied(self) -> int:
        """Blocks in its database."""
        uri = f"file:{self.folder}/service.sqlite?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            (count,) = database.execute("SELECT count(*) FROM chain_block").fetchone()
        return int(count)

    async def has_applied(self, count: int) -> bool:
        return self.applied() >= count

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (self.folder / "service.log").read_text().splitlines()
        return [json.loads(line) for line in lines if event in line]


@asynccontextmanager
async def running(name: str, founded: Founded, folder: Path) -> AsyncIterator[Running]:
    proxy = NodeProxy(founded.chain.url)
    await proxy.start()
    one = Running(name, founded, proxy, folder)
    process = ServiceProcess(f"services.{name}", folder, one.settings())
    try:
        await asyncio.to_thread(process.start)
        yield one
    finally:
        proxy.distort = lambda method, result: result
        await asyncio.to_thread(process.stop)
        await proxy.stop()


def lies(method: str, result: Any) -> Any:
    """Other blocks than it hashes; and to whoever asks anew, another chain."""
    if method == "eth_getBlockByNumber" and result is not None:
        result["hash"] = "0x" + "ab" * 32
    return hex(1) if method == "eth_chainId" else result


async def replayed(one: Running) -> pb.ReplayOperation:
    """What the ledger's replay of itself came to."""
    address = json.loads((one.folder / "ready.json").read_text())["address"]
    did = Did.of(one.founded.network.chain_id, Account.generate().address)
    async with channel(address, one.ca.organisation(did, "auditor")) as connection:
        stub = audit_rpc.AuditServiceStub(connection)
        started = await stub.StartReplay(pb.StartReplayRequest(request_id=str(uuid.uuid4())))
        request = pb.GetReplayRequest(name=started.operation.name)

        async def done() -> bool:
            return bool((await stub.GetReplay(request)).operation.done)

        await eventually(done, "the replay is done", 60, 0.1)
        operation: pb.ReplayOperation = (await stub.GetReplay(request)).operation
        return operation


@pytest.mark.parametrize("name", ["ledger", "settlement"])
async def test_the_liar_is_named_and_nothing_is_applied(founded: Founded, tmp_path: Path, name: str) -> None:
    async with running(name, founded, tmp_path) as one:
        well = partial(one.metric, 'silkledger_healthy{check="nodes"} 1.0')
        await eventually(well, "both nodes are in order", 60)
        await eventually(partial(one.has_applied, founded.head()), "it follows", 60)
        one.proxy.distort = lies
        named = 'silkledger_node_trouble{node="other-bank",reason="NODE_LIED"} 1.0'
        await eventually(partial(one.metric, named), "the metric names the node and the reason", 60)
        before = one.applied()
        unwell = partial(one.metric, 'silkledger_healthy{check="nodes"} 0.0')
        await eventually(unwell, "health tells", 60)
        await eventually(partial(founded.reached, before + 8), "blocks are made meanwhile", 60)
        assert one.applied() == before
        assert await one.metric('silkledger_node_trouble{node="port-authority",reason="NODE_LIED"} 0.0')
        told = [(line["node"], line["reason"]) for line in one.logged("node_trouble")]
        assert ("other-bank", "NODE_LIED") in told
        problems = [line["problems"].get("nodes", "") for line in one.logged("health_changed")]
        assert any("node other-bank: NODE_LIED" in problem for problem in problems)
        if name == "ledger":
            refused = await replayed(one)
            assert refused.error.reason == "REPLAY_REFUSED"
            assert "node other-bank: NODE_OTHER_CHAIN" in refused.error.message

        one.proxy.distort = lambda method, result: result
        await eventually(well, "in order again", 60)
        await eventually(partial(one.has_applied, before + 8), "it goes on", 60)
        if name == "ledger":
            assert (await replayed(one)).response.verdict == pb.REPLAY_VERDICT_CLEAN
