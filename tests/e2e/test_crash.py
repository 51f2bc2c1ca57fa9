"""kill -9 of any one process in the middle of registrations: nothing lost, nothing twice, replay clean."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.cli.context import Session
from silkledger.client.errors import RpcFailed
from silkledger.client.signing import sign_document, statement_id
from silkledger.values import Digest, DocumentType, StatementId
from tests.support.embedded_stack import ROOT, until

from .conftest import World

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

CALLS = 24
PER_CALL = 5
KILL_AFTER = 6
"""Calls that are answered before the kill; the others are under way or still to come."""


@dataclass
class Filing:
    """An agency that files documents and does not rest until each call has been answered with OK."""

    session: Session
    name: str
    sent: list[StatementId] = field(default_factory=list)
    answered: int = 0

    async def file_all(self) -> None:
        organisation = self.session.organisation
        for call in range(CALLS):
            statements = [self._statement(organisation, f"{self.name}/{call}/{n}") for n in range(PER_CALL)]
            self.sent += [statement_id(one) for one in statements]
            await self._until_accepted(statements, str(uuid.uuid4()))
            self.answered += 1

    def _statement(self, organisation: object, subject: str) -> bytes:
        org = self.session.organisation
        return sign_document(
            org.account(),
            org.did,
            digest=Digest(hashlib.sha256(subject.encode()).digest()),
            subject=f"urn:silkledger:test:{subject}",
            document_type=DocumentType("705"),
            content_type="application/json",
        )

    async def _until_accepted(self, statements: list[bytes], request_id: str) -> None:
        while True:
            try:
                async with self.session.ledger() as ledger:
                    await ledger.register(statements, request_id=request_id)
                return
            except RpcFailed as error:
                if not error.retryable:
                    raise


async def _replay(data: Path) -> tuple[int, dict[str, object]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "silkledger.cli", "audit", "replay", "--data", str(data), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    assert out, err.decode()
    return process.returncode, json.loads(out)


async def _entries(session: Session) -> Counter[bytes]:
    async with session.ledger() as ledger:
        return Counter([bytes(statement_id(leaf)) async for _, leaf in ledger.entries()])


@pytest.mark.parametrize("victim", ["ledger", "anvil", "identity", "settlement", "up"])
async def test_a_killed_process_loses_and_repeats_nothing(world: World, victim: str) -> None:
    filing = Filing(world.session("customs-cn"), victim)
    work = asyncio.create_task(filing.file_all())
    await until(lambda: work.done() or filing.answered >= KILL_AFTER, "registrations", 60)
    assert not work.done(), "all was registered before the kill"

    await world.stack.kill(victim)

    if victim == "up":
        assert world.stack.process.returncode == -9
    else:
        assert world.stack.process.returncode == 1
        assert victim in world.stack.said().lower()
    await world.stack.start()
    await asyncio.wait_for(work, 120)
    world.filed += filing.sent

    async with filing.session.ledger() as ledger:
        await ledger.wait_for_stage(filing.sent, chain.EVIDENCE_STAGE_FINAL)
    logged = await _entries(world.session("auditor-sg"))
    assert {bytes(one) for one in world.filed} <= logged.keys(), "lost"
    assert set(logged.values()) == {1}, "twice"
    code, report = await _replay(world.stack.data)
    assert code == 0, report
