"""The embedded chain and what tests do to it.

Import the fixtures into a conftest: `from tests.support.anvil import *`. Blocks come every 100 ms here. anvil
gives every block a later whole second than its parent, so block times run ahead of the clock: use deadlines
far in the future.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.contracts import CONTRACTS, Network
from silkledger.evm.deploy import deploy
from silkledger.evm.engines import ANVIL, EngineProfile
from silkledger.evm.node import JsonRpcNode
from silkledger.keys.account import Account
from silkledger.values import Address

__all__ = ["chain", "deployed", "eventually", "node"]

BLOCK_TIME_S = 0.1

FAST: EngineProfile = dataclasses.replace(ANVIL, block_time_s=BLOCK_TIME_S, resend_after_s=0.5)
"""The embedded engine's profile at the tests' pace."""


@dataclass(frozen=True)
class Deployed:
    """A network with the account that governs its trust registry."""

    network: Network
    governance: Account


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[EmbeddedChain]:
    """A running chain of its own, empty."""
    embedded = EmbeddedChain(tmp_path / "chain", block_time_s=BLOCK_TIME_S)
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
async def node(chain: EmbeddedChain) -> AsyncIterator[JsonRpcNode]:
    """A client of `chain`."""
    client = JsonRpcNode(chain.url, FAST)
    yield client
    await client.close()


@pytest.fixture
async def deployed(node: JsonRpcNode) -> Deployed:
    """All contracts on `chain`."""
    governance = Account.generate()
    return Deployed(await deploy(node, Account.generate(), governance.address, FAST), governance)


async def bare_network(client: JsonRpcNode) -> Network:
    """A network without contracts: for tests that are about blocks and transactions alone."""
    directory = Address(b"\xd1" * 20)
    addresses = {name: Address(bytes([0xC0 + i]) * 20) for i, name in enumerate(CONTRACTS)}
    return Network(await client.chain_id(), await client.genesis_hash(), directory, addresses)


async def eventually(
    condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float = 20.0, pause_s: float = 0.02
) -> None:
    """Wait until `condition` holds; fails with `what` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(pause_s)
