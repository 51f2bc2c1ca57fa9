"""A restored lane learns from the chain what another life has sent, before it sends anything itself."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from tests.support.anvil import eventually
from tests.support.grpc_clients import channel

from ..conftest import Founded, Ledger, opened
from ..test_verdicts import executed, relay, revocation
from .backup import SqliteBackup
from .counts import on_chain

PROJECTIONS = ("chain_cursor", "chain_block", "chain_tx", "history", "anchor", "anchor_refusal", "call_event")


def _queue_again(file: Path, lost: Path) -> None:
    """As if the copy had been taken while the call waited, and before the chain was followed at all; the
    lane's nonce as restoring raises it.
    """
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("ATTACH ? AS lost", (str(lost),))
        database.execute("INSERT INTO relayed_call SELECT * FROM lost.relayed_call")
        database.execute("INSERT INTO intent SELECT * FROM lost.intent WHERE kind = 'call.relay'")
        database.execute("UPDATE intent SET state = 'QUEUED' WHERE kind = 'call.relay'")
        for table in PROJECTIONS:
            database.execute(f"DELETE FROM main.{table}")
        database.execute("UPDATE lane SET next_nonce = (SELECT next_nonce FROM lost.lane)")


def _relayed(file: Path) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(file)) as database:
        query = "SELECT state, reason FROM intent WHERE kind = 'call.relay'"
        return [(state, reason) for state, reason in database.execute(query)]


@pytest.fixture
def service(founded: Founded, tmp_path: Path) -> Iterator[Ledger]:
    """Not started; ended whatever becomes of the test."""
    made = Ledger(founded, tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite")
    yield made
    made.stop()


async def test_a_call_that_is_on_chain_is_not_sent_by_an_older_database(
    service: Ledger, founded: Founded, tmp_path: Path
) -> None:
    file, lost = tmp_path / "ledger.sqlite", tmp_path / "lost.sqlite"
    copy = SqliteBackup(file)
    await asyncio.to_thread(service.start)
    await opened(service)
    copy.take()
    call: chain.SignedCall = revocation(service, founded.agency, secrets.token_bytes(32))
    async with channel(service.address, service.identity(founded.agency, "agency")) as connection:
        stub: Any = rpc.LedgerServiceStub(connection)
        await stub.RelayCall(relay(call))
        await executed(stub, call)
    await asyncio.to_thread(service.stop)
    file.rename(lost)
    copy.replace()
    _queue_again(file, lost)

    await asyncio.to_thread(service.start)

    async def ended() -> bool:
        return _relayed(file) == [("REFUSED", "the call is on chain")]

    await eventually(ended, "the older database lets the call be")
    await asyncio.to_thread(service.stop)
    found = await on_chain(service)
    assert [bytes(event.args["requestId"]) for event in found.named("Executed")] == [call.request_id]
    assert found.named("Duplicate") == []
