"""Cosignatures over anchored heads, from real witnesses over HTTP: collected, verified or refused openly."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry
from sqlalchemy import delete, insert

from services.ledger import storage
from services.ledger.sequencing.leadership import Leadership
from services.ledger.sequencing.queue import Queue
from services.ledger.witnessing.collecting import Standing, WitnessAddress, Witnessing
from services.ledger.witnessing.cosignatures import cosignature, cosignatures, cosigned_note
from silkledger.keys import PrivateKey, SigningKey, Suite, generate
from silkledger.log.checkpoint import (
    Checkpoint,
    LogVerifierKey,
    cosign,
    parse_note,
    sign_checkpoint,
    verify_cosignature,
    verify_note,
)
from silkledger.projections.anchors import anchor
from silkledger.runtime.db import Database
from silkledger.runtime.migrations import migrate_open
from silkledger.runtime.settings import SettingsError
from silkledger.values import MerkleRoot
from silkledger.witness.request import AddCheckpoint
from silkledger.witness.server import WitnessServer
from silkledger.witness.state import WitnessState
from silkledger.witness.witness import Answer, Witness
from tests.support.postgres import *  # noqa: F403
from tests.unit.services.ledger.sequenced import KEY, ORIGIN, accept, anchored, sequencer

LOG_KEY = LogVerifierKey.of(ORIGIN, KEY.verifying_key)
NOW = 1_790_000_000
"""Unix seconds."""


class Served:
    """A witness of this log on a port of its own."""

    def __init__(self, state: Path, key: PrivateKey, name: str = "witness.example/w1") -> None:
        self.state = WitnessState(state)
        self.witness = Witness(name, key, [LOG_KEY], self.state, lambda: NOW)
        self.server = WitnessServer(("127.0.0.1", 0), self.witness)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port} {self.witness.vkey}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.state.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_url)
    await migrate_open(opened, "services/ledger/migrations")
    yield opened
    await opened.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "witness.sqlite", generate(Suite.EDDSA))
    yield made
    made.close()


class Rig:
    """A log that grows and is anchored, and who asks its witnesses."""

    def __init__(self, database: Database, session: ClientSession, *witnesses: str) -> None:
        self.database, self.session = database, session
        self.leadership = Leadership(database, ORIGIN)
        self.sequencer = sequencer(database, Queue(100))
        self.sequencer._leadership = self.leadership
        self.registry = CollectorRegistry()
        self.witnessing = Witnessing(database, ORIGIN, witnesses, self.leadership, 0.05, self.registry)
        self.size = 0

    async def grow(self, count: int) -> None:
        """More leaves, and the anchor of their head."""
        await accept(self.database, self.size, count)
        assert await self.sequencer.step() == count
        self.size += count
        async with self.database.write() as connection:
            head = await storage.checkpoint_at(connection)
            assert head is not None
            row = anchored(self.size, head.root) | {"block_number": self.size}
            await connection.execute(insert(anchor), row)

    async def ask(self, place: int = 0) -> bool:
        return await self.witnessing.step(self.session, self.witnessing._witnesses[place])

    async def note(self, size: int) -> str:
        async with self.database.read() as connection:
            note = await cosigned_note(connection, size)
        assert note is not None
        return note

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name, {"witness": "witness.example/w1"})


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as opened:
        yield opened


async def test_every_anchored_head_is_cosigned_and_still_the_logs(
    database: Database, session: ClientSession, served: Served
) -> None:
    rig = Rig(database, session, served.address)
    for count in (3, 4, 1):
        await rig.grow(count)
        assert await rig.ask()
        note = await rig.note(rig.size)
        assert verify_cosignature(note, served.witness.vkey) == NOW
        assert verify_note(note, LOG_KEY).size == rig.size
        assert rig.metric("silkledger_witness_cosigned_size") == rig.size
    assert await rig.ask(), "nothing new: nobody is asked"
    assert rig.metric("silkledger_witness") == 1
    assert rig.witnessing.standing == {"witness.example/w1": Standing.COSIGNS}


async def test_only_the_process_that_leads_asks(
    database: Database, session: ClientSession, served: Served
) -> None:
    rig = Rig(database, session, served.address)
    await rig.grow(3)
    await rig.leadership.give_up()
    assert await rig.ask()
    assert served.state.head(ORIGIN) is None


async def test_a_witness_that_saw_more_or_less_than_we_know(
    database: Database, session: ClientSession, served: Served
) -> None:
    rig = Rig(database, session, served.address)
    await rig.grow(3)
    seen = AddCheckpoint(0, (), await rig.note(3)).encode()
    assert served.witness.add_checkpoint(seen).status == 200  # the answer was lost on its way
    assert await rig.ask(), "the same head again is cosigned again"
    await rig.grow(4)
    assert await rig.ask()
    async with database.write() as connection:
        await connection.execute(delete(cosignature))  # as after a restore
    await rig.grow(2)
    assert await rig.ask(), "the witness says from where it needs a proof"
    assert verify_cosignature(await rig.note(9), served.witness.vkey) == NOW


async def test_a_silent_witness_is_told_and_asked_again(
    database: Database, session: ClientSession, tmp_path: Path
) -> None:
    key = generate(Suite.EDDSA)
    first = Served(tmp_path / "state.sqlite", key)
    rig = Rig(database, session, first.address)
    first.close()
    await rig.grow(3)
    assert not await rig.ask()
    assert rig.metric("silkledger_witness") == 0
    assert verify_note(await rig.note(3), LOG_KEY).size == 3
    again = Served(tmp_path / "state.sqlite", key)
    rig.witnessing._witnesses = (WitnessAddress.parse(again.address),)
    assert await rig.ask()
    assert rig.metric("silkledger_witness") == 1
    again.close()


async def test_a_witness_that_holds_a_fork_is_told_as_that(
    database: Database, session: ClientSession, served: Served
) -> None:
    fork = sign_checkpoint(Checkpoint(ORIGIN, 2, MerkleRoot(bytes(32))), KEY)
    assert served.witness.add_checkpoint(AddCheckpoint(0, (), fork).encode()).status == 200
    rig = Rig(database, session, served.address)
    await rig.grow(3)
    assert not await rig.ask()
    assert rig.witnessing.standing == {"witness.example/w1": Standing.OTHER_HISTORY}
    assert rig.metric("silkledger_witness") == -1
    async with database.read() as connection:
        assert await cosignatures(connection, 3) == {}


async def test_a_fork_of_the_same_size_is_told_as_well(
    database: Database, session: ClientSession, served: Served
) -> None:
    fork = sign_checkpoint(Checkpoint(ORIGIN, 3, MerkleRoot(bytes(32))), KEY)
    assert served.witness.add_checkpoint(AddCheckpoint(0, (), fork).encode()).status == 200
    rig = Rig(database, session, served.address)
    await rig.grow(3)
    assert not await rig.ask()
    assert rig.witnessing.standing == {"witness.example/w1": Standing.OTHER_HISTORY}


@pytest.mark.parametrize("lie", ["another key", "another head", "two lines", "no line", "status"])
async def test_what_does_not_verify_is_not_kept(
    database: Database, session: ClientSession, served: Served, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(database, session, served.address)
    await rig.grow(3)
    note = await rig.note(3)

    def line(text: str, key: SigningKey) -> str:
        return parse_note(cosign(text, "witness.example/w1", key, NOW)).signatures[-1].line()

    other = sign_checkpoint(Checkpoint(ORIGIN, 4, MerkleRoot(bytes(32))), KEY)
    good = line(note, served.witness._key)
    answer = {
        "another key": Answer(200, line(note, generate(Suite.EDDSA))),
        "another head": Answer(200, line(other, served.witness._key)),
        "two lines": Answer(200, good + good),
        "no line": Answer(200, "welcome"),
        "status": Answer(503, good),
    }[lie]
    monkeypatch.setattr(Witness, "add_checkpoint", lambda _self, _body: answer)
    assert not await rig.ask()
    assert rig.witnessing.standing == {"witness.example/w1": Standing.SILENT}
    async with database.read() as connection:
        assert await cosignatures(connection, 3) == {}
    monkeypatch.setattr(Witness, "add_checkpoint", lambda _self, _body: Answer(200, good))
    assert await rig.ask(), "the same without the lie"


@pytest.mark.parametrize(
    "text", ["", "http://127.0.0.1:1", f"ftp://x {LOG_KEY}", f"http://x {LOG_KEY}", "http://x y"]
)
def test_settings_that_name_no_witness_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="SILKLEDGER_WITNESSES"):
        WitnessAddress.parse(text)
