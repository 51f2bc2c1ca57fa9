"""An older backup, a mirror, and the log goes on: nothing logged is lost; what was not logged comes again."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.ledger.restore.__main__ import restore
from services.ledger.restore.restore import RestoreRefused
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client.channel import Connection, Credentials
from silkledger.client.ledger import LedgerClient
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.log.index import statement_records
from silkledger.log.promise import verify_promise
from silkledger.log.tree import leaf_hash
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.errors import MirrorError
from silkledger.mirror.follow import extend
from silkledger.mirror.verify import read_entries, verify_mirror
from silkledger.projections.statements import packs
from silkledger.runtime.db import DatabaseInUse
from silkledger.statement import parse_statement
from silkledger.values import MerkleRoot
from tests.support.grpc_clients import channel
from tests.support.outside_verifiers.go_tlog import verify_tiles

from .conftest import ROOT, Founded, Ledger, id_of, opened, reached, register
from .test_manifests import complete, request, signed
from .test_recovery import restore as put_backup_in_place


@dataclass
class Rig:
    """A service on SQLite, its mirror, and its vkey."""

    service: Ledger
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def vkey(self) -> LogVerifierKey:
        return LogVerifierKey.of(self.service.origin, self.service.log_key.verifying_key)

    @property
    def mirror(self) -> MirrorDirectory:
        return MirrorDirectory(self.folder / "mirror")

    async def start(self) -> None:
        await asyncio.to_thread(self.service.start)
        await opened(self.service)

    async def stop(self) -> None:
        await asyncio.to_thread(self.service.stop)

    async def register(self, request: pb.RegisterStatementsRequest) -> pb.RegisterStatementsResponse:
        """Until final."""
        agency = self.service.founded.agency
        async with channel(self.service.address, self.service.identity(agency)) as opened_channel:
            stub = rpc.LedgerServiceStub(opened_channel)
            response = await stub.RegisterStatements(request)
            await reached(stub, bytes(id_of(request.statements[-1])), chain.EVIDENCE_STAGE_FINAL)
            return response

    async def follow(self) -> int:
        """Mirror as an auditor does; returns the size."""
        auditor = self.service.identity(self.service.founded.agency, "auditor")
        paths = auditor.write(self.folder / "auditor")
        ca = self.folder / "tls" / "ca.crt"
        async with Connection(self.service.address, Credentials(ca, *paths[:2])) as connection:
            return (await extend(self.mirror, LedgerClient(connection), self.vkey)).checkpoint.size

    async def refusal(self, mirror: Path, *checkpoints: Path) -> Exception:
        """Why the restore was refused; asked in this process, to be quick."""
        for name, value in self.service.environment().items():
            self.monkeypatch.setenv(name, value)
        with pytest.raises((RestoreRefused, MirrorError, DatabaseInUse)) as refused:
            await restore(mirror, checkpoints)
        return refused.value

    async def restore(self, mirror: Path, *checkpoints: Path) -> tuple[int, dict[str, object]]:
        """`python -m services.ledger.restore`."""
        command = [sys.executable, "-m", "services.ledger.restore", str(mirror), *map(str, checkpoints)]
        result = await asyncio.to_thread(
            subprocess.run,
            command,
            cwd=ROOT,
            env=self.service.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.stdout, result.stderr
        return result.returncode, json.loads(result.stdout)

    def counts(self) -> tuple[int, int]:
        """Leaves, and entries that wait for theirs."""
        with closing(sqlite3.connect(self.folder / "ledger.sqlite")) as database:
            query = "SELECT (SELECT sum(width) FROM leaf_run), (SELECT coalesce(sum(width), 0) FROM pending)"
            leaves, waiting = database.execute(query).fetchone()
            return int(leaves), int(waiting)

    def requests(self, count: int) -> pb.RegisterStatementsRequest:
        return register(*(self.service.statement(self.service.founded.agency) for _ in range(count)))


@pytest.fixture
async def rig(founded: Founded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    service = Ledger(founded, tmp_path, f"sqlite:///{tmp_path}/ledger.sqlite")
    await asyncio.to_thread(service.start)
    await opened(service)
    yield Rig(service, tmp_path, monkeypatch)
    await asyncio.to_thread(service.stop)


def back_up(rig: Rig) -> None:
    with closing(sqlite3.connect(rig.folder / "ledger.sqlite")) as database:
        database.execute("VACUUM INTO ?", (str(rig.folder / "backup"),))


def accepted_in_backup(rig: Rig, statement: bytes) -> None:
    """As if the backup had been taken just after that statement was accepted, and before it was logged."""
    checked = parse_statement(statement)
    records = statement_records(0, checked.id, checked.digest, checked.subject)
    waiting = (9_999, 1, str(checked.issuer), "705", bytes(checked.id), leaf_hash(statement), records)
    with closing(sqlite3.connect(rig.folder / "backup")) as database, database:
        database.execute("INSERT INTO accepted VALUES (9999, 1, 1, 1, 1, zeroblob(32))")
        database.executemany("INSERT INTO entry_pack VALUES (?, ?, ?, ?)", packs(9_999, [statement]))
        database.execute("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)", waiting)


async def accept_only(rig: Rig, request: pb.RegisterStatementsRequest) -> bytes:
    """Accepted by a service that never comes to logging it; returns the promise. The service is killed."""
    await asyncio.to_thread(rig.service.start, SEQUENCE_INTERVAL_MS=str(10**12))
    await opened(rig.service)
    agency = rig.service.founded.agency
    async with channel(rig.service.address, rig.service.identity(agency)) as opened_channel:
        promise = (await rpc.LedgerServiceStub(opened_channel).RegisterStatements(request)).promise
    await asyncio.to_thread(rig.service.kill)
    return bytes(promise)


async def lose(rig: Rig, lost: pb.RegisterStatementsRequest) -> tuple[list[bytes], bytes]:
    """305 entries logged and mirrored, the last two after `old-mirror`; `lost` accepted; then a backup of the
    first 3 put in place. Returns the logged statements and the promise for `lost`.
    """
    first, second, third = rig.requests(3), rig.requests(300), rig.requests(2)
    await rig.register(first)
    back_up(rig)
    await rig.register(second)
    assert await rig.follow() == 303
    assert verify_tiles(str(rig.vkey), rig.mirror.root)[0] == 303
    shutil.copytree(rig.mirror.root, rig.folder / "old-mirror")
    await rig.register(third)
    assert await rig.follow() == 305
    assert "owned by another running process" in str(await rig.refusal(rig.mirror.root))
    await rig.stop()
    promise = await accept_only(rig, lost)
    accepted_in_backup(rig, second.statements[7])
    put_backup_in_place(rig.folder)
    return [raw for request in (first, second, third) for raw in request.statements], promise


async def test_restored_from_a_mirror_the_log_goes_on_and_what_was_not_logged_comes_again(rig: Rig) -> None:
    lost = rig.requests(2)
    logged, promise = await lose(rig, lost)

    told = str(await rig.refusal(rig.folder / "old-mirror"))
    assert told == "MIRROR_TOO_SHORT: leaves 303 to 304 are anchored and not in this mirror"
    other = Checkpoint(rig.service.origin, 304, MerkleRoot(bytes(32)))
    held = rig.folder / "held"
    held.write_text(sign_checkpoint(other, rig.service.log_key))
    assert "MIRROR_OTHER_HISTORY: another root is signed" in str(await rig.refusal(rig.mirror.root, held))
    assert "MIRROR_EMPTY" in str(await rig.refusal(rig.folder / "nowhere"))
    assert rig.counts() == (3, 1)

    assert await rig.restore(rig.mirror.root) == (0, {"old_size": 3, "new_size": 305, "anchored_size": 305})
    assert rig.counts() == (305, 1)
    await rig.start()
    again = await rig.register(register(*logged[-2:]))
    assert [item.already_registered for item in again.statements] == [True, True]
    again = await rig.register(lost)
    assert [item.already_registered for item in again.statements] == [False, False]
    assert await rig.follow() == 307
    entries = list(read_entries(rig.mirror, 0, verify_mirror(rig.mirror, rig.vkey).checkpoint.size))
    assert sorted(entries) == sorted([*logged, *lost.statements])
    assert rig.counts() == (307, 0)
    assert [bytes(item) for item in verify_promise(promise, rig.vkey).statement_ids] == [
        bytes(id_of(raw)) for raw in entries[305:]
    ]


async def test_manifests_come_back_without_their_documents_which_their_holder_gives_again(rig: Rig) -> None:
    service, held = rig.service, signed(rig.service, 3)
    digest, account = bytes(held.documents[1].leaf.digest), rig.service.founded.agency
    wanted = pb.VerifyDocumentRequest(document_digest=digest, relying_country="TH")

    async def ask(resubmitted: bool) -> tuple[chain.Verdict, bool]:
        """The verdict on a document, and whether the manifest that was submitted was registered already."""
        async with channel(service.address, service.identity(account)) as opened_channel:
            stub = rpc.LedgerServiceStub(opened_channel)
            known = False
            if resubmitted:
                known = (await stub.RegisterManifest(request(held))).already_registered
                return await complete(stub, wanted), known
            return (await stub.VerifyDocument(wanted)).verdict, known

    verdict, known = await ask(resubmitted=True)
    assert (verdict.outcome, known) == (chain.OUTCOME_PASS_DEVELOPMENT_ONLY, False)
    assert await rig.follow() == 1
    await rig.stop()
    for file in rig.folder.glob("ledger.sqlite*"):
        file.unlink()
    assert await rig.restore(rig.mirror.root) == (0, {"old_size": 0, "new_size": 1, "anchored_size": 1})
    await rig.start()
    verdict, _ = await ask(resubmitted=False)
    assert verdict.outcome == chain.OUTCOME_INCOMPLETE
    assert verdict.checks[0].reason == "DOCUMENTS_UNAVAILABLE"
    verdict, known = await ask(resubmitted=True)
    assert (verdict.outcome, known) == (chain.OUTCOME_PASS_DEVELOPMENT_ONLY, True)
    assert rig.counts() == (1, 0)
