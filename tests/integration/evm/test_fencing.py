"""Two processes for one lane: one owner at a time, and an owner that slept past its lease changes nothing.

On PostgreSQL one of two workers is stopped (SIGSTOP) past its lease: while signing, inside the transaction
that stores what it signed, and before it sends. The other goes on within twice the lease; the first, woken,
is fenced by the epoch. On SQLite there is no second owner: it is refused at start.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from silkledger.evm.anvil import EmbeddedChain
from silkledger.evm.lane_types import State
from silkledger.evm.tables import ATTEMPT, INTENT, LANE, METADATA
from silkledger.keys.account import Account
from silkledger.runtime.db import Database
from tests.support.anvil import eventually
from tests.support.lane_worker import LaneProcess

LEASE_S = 3.0

Start = Callable[..., LaneProcess]


@pytest.fixture
def account() -> Account:
    return Account.generate()


@pytest.fixture
def start(chain: EmbeddedChain, account: Account) -> Iterator[Start]:
    """Starts workers, and ends them."""
    started: list[LaneProcess] = []

    def worker(url: str, **order: object) -> LaneProcess:
        started.append(LaneProcess(url, chain.url, account, lease_s=LEASE_S, **order))
        return started[-1]

    yield worker
    for process in started:
        process.stop()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(postgres_url)
    async with opened.write() as conn:
        await conn.run_sync(METADATA.create_all)
    yield opened
    await opened.close()


async def epoch(database: Database) -> int:
    async with database.read() as conn:
        return int((await conn.execute(select(LANE.c.epoch))).scalar_one())


async def all_final(database: Database, count: int) -> bool:
    async with database.read() as conn:
        states = (await conn.execute(select(INTENT.c.state))).scalars().all()
    return Counter(states) == Counter({State.FINAL.value: count})


def on_chain(chain: EmbeddedChain, account: Account) -> Counter[str]:
    newest = int(chain.rpc("eth_blockNumber"), 16)
    blocks = [chain.rpc("eth_getBlockByNumber", hex(n), True) for n in range(newest + 1)]
    ours = [tx for block in blocks for tx in block["transactions"] if tx["from"] == str(account.address)]
    return Counter(bytes.fromhex(tx["input"][2:]).decode() for tx in ours)


async def nonces(database: Database) -> list[int]:
    async with database.read() as conn:
        return list((await conn.execute(select(ATTEMPT.c.nonce).order_by(ATTEMPT.c.nonce))).scalars())


@pytest.mark.parametrize(
    ("stop_at", "fenced_as"),
    [("signing", "LeaseLost"), ("storing", "DBAPIError"), ("sending", "LeaseLost")],
)
async def test_an_owner_stopped_past_its_lease_is_fenced(
    start: Start,
    postgres_url: str,
    database: Database,
    chain: EmbeddedChain,
    account: Account,
    stop_at: str,
    fenced_as: str,
) -> None:
    first = start(postgres_url, stop_at=stop_at)
    await asyncio.to_thread(first.wait_for, "owner")
    second = start(postgres_url)
    await asyncio.to_thread(second.wait_for, "standby")
    first.enqueue(0, 5)
    await asyncio.to_thread(first.wait_stopped)
    slept = time.monotonic()
    assert await epoch(database) == 1

    await asyncio.to_thread(second.wait_for, "owner")
    assert time.monotonic() - slept < 2 * LEASE_S
    await eventually(lambda: all_final(database, 5), "the other finishes what the first had begun")
    assert await epoch(database) == 2

    second.enqueue(5, 5)
    first.send(signal.SIGCONT)
    failed = await asyncio.to_thread(first.wait_for, "failed")
    assert failed["error"] in (fenced_as, "InterfaceError")
    await asyncio.to_thread(first.wait_for, "standby")
    await eventually(lambda: all_final(database, 10), "the other goes on")
    assert on_chain(chain, account) == Counter(f"note {i}" for i in range(10))
    assert await nonces(database) == list(range(10)), "nothing forked: one attempt for each nonce"
    assert await epoch(database) == 2

    second.send(signal.SIGKILL)
    first.enqueue(10, 2)
    await asyncio.to_thread(first.wait_for, "owner")
    await eventually(lambda: all_final(database, 12), "the woken one takes over from a dead one")
    assert await epoch(database) == 3
    assert on_chain(chain, account) == Counter(f"note {i}" for i in range(12))


async def test_on_sqlite_a_second_owner_is_refused_at_start(
    start: Start, tmp_path: Path, chain: EmbeddedChain, account: Account
) -> None:
    url = f"sqlite:///{tmp_path}/lane.sqlite"
    first = start(url, stop_at="sending")
    await asyncio.to_thread(first.wait_for, "owner")
    first.enqueue(0, 5)
    await asyncio.to_thread(first.wait_stopped)
    code, errors = await asyncio.to_thread(start(url).ended)
    assert code != 0
    assert "DatabaseInUse" in errors, "also while the owner sleeps: it may wake and write"

    first.send(signal.SIGKILL)
    first.stop()
    third = start(url)
    await asyncio.to_thread(third.wait_for, "owner")

    async def done() -> bool:
        return on_chain(chain, account) == Counter(f"note {i}" for i in range(5))

    await eventually(done, "the next owner sends what was stored, at once")
