"""A service process with two nodes: an operator sees in health, log and metrics which one lies, and why."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from silkledger.evm.contracts import Network
from silkledger.keys.account import Account
from tests.integration.identity.test_start import settings
from tests.support.anvil import eventually
from tests.support.node_proxy import NodeProxy

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def proxy(founded: tuple[str, Network, dict[str, Account]]) -> AsyncIterator[NodeProxy]:
    running = NodeProxy(founded[0])
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def process(
    founded: tuple[str, Network, dict[str, Account]], proxy: NodeProxy, tmp_path: Path
) -> AsyncIterator[dict[str, Any]]:
    """`python -m services.identity` with two nodes, when it is ready: its addresses."""
    url, network, _ = founded
    values = settings(tmp_path) | {
        "NODE_URL": f"port-authority={url}, other-bank={proxy.url}",
        "CHAIN_ID": str(network.chain_id),
        "GENESIS_HASH": str(network.genesis_hash),
        "DIRECTORY": str(network.directory),
        "READY_FILE": str(tmp_path / "ready.json"),
    }
    environment = {"PATH": os.environ["PATH"]} | {f"SILKLEDGER_{k}": v for k, v in values.items()}
    command = [sys.executable, "-m", "services.identity"]
    with (tmp_path / "service.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stderr=log)

    async def ready() -> bool:
        assert running.returncode is None, (tmp_path / "service.log").read_text()
        return (tmp_path / "ready.json").exists()

    try:
        await eventually(ready, "the service is ready", 60)
        yield json.loads((tmp_path / "ready.json").read_text())
    finally:
        running.terminate()
        assert await asyncio.wait_for(running.wait(), 20) == 0


def other_chain(method: str, result: Any) -> Any:
    """As of the next start of a node on another network: its blocks are others."""
    if method == "eth_getBlockByNumber" and result is not None:
        result["hash"] = "0x" + "ab" * 32
    return result


async def test_health_log_and_metrics_name_the_node_and_the_reason(
    process: dict[str, Any], proxy: NodeProxy, tmp_path: Path
) -> None:
    async with ClientSession() as session:

        async def metric(line: str) -> bool:
            async with session.get(f"http://127.0.0.1:{process['metrics_port']}/metrics") as reply:
                return line in (await reply.text()).splitlines()

        async def serving() -> bool:
            return await metric('silkledger_healthy{check="nodes"} 1.0')

        await eventually(serving, "both nodes are in order")
        proxy.distort = other_chain
        lies = 'silkledger_node_trouble{node="other-bank",reason="NODE_LIED"} 1.0'
        await eventually(lambda: metric(lies), "the metric names the node and the reason")
        await eventually(lambda: metric('silkledger_healthy{check="nodes"} 0.0'), "health tells")
        log = (tmp_path / "service.log").read_text().splitlines()
        told = [json.loads(line) for line in log if "node_trouble" in line]
        assert ("other-bank", "NODE_LIED") in [(line["node"], line["reason"]) for line in told]
        unwell = [json.loads(line) for line in log if "health_changed" in line][-1]
        assert "node other-bank: NODE_LIED" in unwell["problems"]["nodes"]
        assert await metric('silkledger_node_trouble{node="port-authority",reason="NODE_LIED"} 0.0')
        proxy.distort = lambda method, result: result
        await eventually(serving, "in order again")
