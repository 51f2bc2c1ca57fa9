"""The database replaced by an older copy, under load, with a mirror attached: the log goes on as one log."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, replay_ledger
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.log.promise import verify_promise
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.errors import MirrorError
from silkledger.mirror.follow import extend
from silkledger.mirror.verify import read_entries
from tests.support.anvil import FAST, eventually

from ..conftest import ROOT, Founded, Ledger
from .backup import Backup, PostgresBackup, SqliteBackup
from .counts import (
    all_final,
    check_anchors,
    check_found,
    check_lane,
    check_log,
    check_relayed,
    entry_id,
    on_chain,
)
from .lives import Victim
from .load import RETRYABLE, Holder, tree_size

pytestmark = pytest.mark.timeout(300)

AGE_S = 5.0
"""How old the copy is when it takes the database's place."""
EARLY, LATER = 50, 100
"""Leaves before the copy, and after it."""
UNLOGGED = 20
"""Statements that are accepted and come to no leaf before the database is lost."""
RETRIED = (*RETRYABLE, grpc.StatusCode.FAILED_PRECONDITION)
"""The last is what a halted log tells; the holder goes on asking."""
NEVER = str(10**12)
"""A sequencing interval, milliseconds."""


@dataclass
class Mirroring:
    """Somebody who mirrors the log as it grows, through whoever lives; a `LogSource`."""

    holder: Holder
    directory: MirrorDirectory
    vkey: LogVerifierKey
    size: int = 0
    refused: list[str] = field(default_factory=list)

    async def follow(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.once()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.1)

    async def once(self) -> None:
        try:
            self.size = (await extend(self.directory, self, self.vkey)).checkpoint.size
        except MirrorError as error:
            self.refused.append(error.reason)

    async def checkpoint(self) -> str:
        answer = await self.holder.until_ok("GetCheckpoint", pb.GetCheckpointRequest())
        return str(answer.checkpoint)

    async def consistency(self, old: int, new: int) -> list[bytes]:
        request = pb.GetConsistencyProofRequest(first_size=old, second_size=new)
        return list((await self.holder.until_ok("GetConsistencyProof", request)).path)

    async def entries(self, start: int) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            request = pb.ListEntriesRequest(start=start, page_size=1000)
            page = await self.holder.until_ok("ListEntries", request)
            for entry in page.entries:
                yield entry.leaf_index, entry.leaf
            start += len(page.entries)
            if not page.entries or start >= page.tree_size:
                return


@dataclass
class Story:
    """One database's loss and restoring."""

    victim: Victim
    holder: Holder
    mirror: Mirroring
    backup: Backup

    @property
    def service(self) -> Ledger:
        return self.victim.service

    async def live_and_copy(self) -> int:
        """Normal life, a copy in the middle of it; returns the copy's size at most."""
        async with self.victim.living():
            await self._logged(EARLY)
            await asyncio.to_thread(self.backup.take)
            copied = self._largest()
            await self._logged(copied + LATER)
            await asyncio.sleep(AGE_S)
        return copied

    async def accept_only(self, mirrored: asyncio.Event) -> set[bytes]:
        """A life that sequences nothing but what waited at its start, until enough was promised; it is killed
        when the mirror has all that was logged. Returns the ids that were promised and are in no leaf.
        """
        async with self.victim.living(SEQUENCE_INTERVAL_MS=NEVER):
            logged = tree_size(await self.mirror.checkpoint())
            await eventually(lambda: _is(self.mirror.size == logged), "the mirror follows")
            mirrored.set()
            before = len(self.holder.promises)
            await eventually(lambda: _is(len(self.holder.promises) > before + UNLOGGED), "promises")
            assert tree_size(await self.mirror.checkpoint()) == logged, "something was logged"
        return self._promised() - {bytes(entry_id(raw)) for raw in self.entries()}

    def entries(self) -> list[bytes]:
        """As the mirror has them."""
        return list(read_entries(self.mirror.directory, 0, self.mirror.size))

    async def start_on_the_copy(self, copied: int) -> None:
        """Refuses to sequence, is not healthy, and takes no statement, whoever asks."""
        self.service.database_url = await asyncio.to_thread(self.backup.replace)
        self.holder.forget_answers()
        async with self.victim.started():
            await eventually(lambda: _is("log_halted" in self.service.log), "the log is halted")
            promised = len(self.holder.promises)
            await eventually(self._lane_holds_still, "relayed calls wait")
            assert not await self.victim.serves()
            assert len(self.holder.promises) == promised, "a halted log made promises"
            await self.mirror.once()
            assert self.mirror.refused[-1] == "LOG_ROLLED_BACK"
            assert tree_size(await self.mirror.checkpoint()) <= copied

    async def _lane_holds_still(self) -> bool:
        return "on chain are unknown to this database" in self.service.log

    async def restore(self) -> dict[str, Any]:
        """`python -m services.ledger.restore MIRROR`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.ledger.restore", str(self.mirror.directory.root)),
            cwd=ROOT,
            env=self.service.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        assert process.returncode == 0, (out, errors)
        told: dict[str, Any] = json.loads(out)
        return told

    async def _logged(self, size: int) -> None:
        await eventually(lambda: _is(bool(self.holder.checkpoints) and self._largest() >= size), "leaves", 60)

    def _largest(self) -> int:
        return max(tree_size(note) for note in self.holder.checkpoints)

    def _promised(self) -> set[bytes]:
        return {
            bytes(one)
            for raw in self.holder.promises
            for one in verify_promise(raw, self.mirror.vkey).statement_ids
        }


async def _is(value: bool) -> bool:
    return value


@pytest.fixture(params=["sqlite", "postgresql"])
def backup(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Backup]:
    """URL of an empty database, and the way to copy it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite", SqliteBackup(tmp_path / "ledger.sqlite")
    url = str(request.getfixturevalue("postgres_url"))
    return url, PostgresBackup(request.getfixturevalue("postgres_server"), url, tmp_path)


async def test_a_copy_from_before_takes_the_databases_place_under_load(
    founded: Founded, tmp_path: Path, backup: tuple[str, Backup]
) -> None:
    url, copies = backup
    service = Ledger(founded, tmp_path, url)
    vkey = LogVerifierKey.of(service.origin, service.log_key.verifying_key)
    victim = Victim(service, service.identity(founded.agency, "agency", "auditor"))
    holder = Holder(victim, Random(url), retryable=RETRIED)
    mirror = Mirroring(holder, MirrorDirectory(tmp_path / "mirror"), vkey)
    story, stop, mirrored = Story(victim, holder, mirror, copies), asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(holder.work(stop))
        following = group.create_task(mirror.follow(mirrored))
        copied = await story.live_and_copy()
        unlogged = await story.accept_only(mirrored)
        assert len(unlogged) >= UNLOGGED
        await following
        await story.start_on_the_copy(copied)
        told = await story.restore()
        assert (told["old_size"] <= copied, told["new_size"]) == (True, mirror.size)
        async with victim.living():
            assert await holder.submit_again(unlogged) > 0
            await holder.relay_again()
            stop.set()
            await asyncio.wait_for(work, 60)
            leaves = await all_final(holder)
            await check_found(holder)
            on_it = await on_chain(service)
    assert leaves[: mirror.size] == story.entries(), "logged, and lost"
    assert unlogged <= {bytes(entry_id(leaf)) for leaf in leaves[mirror.size :]}
    tree = check_log(holder, leaves, vkey)
    check_anchors(service, on_it, tree)
    check_relayed(on_it, holder)
    assert await check_lane(service, on_it) > 0, "the copy knew every transaction"
    audited = Audited(founded.network, FAST, service.origin, str(vkey))
    databases = Databases((("ledger", service.database_url),))
    replayed = await replay_ledger(audited, founded.url, databases, lambda *_: None, None, None)
    assert (replayed.verdict, replayed.differences) == ("CLEAN", ())
