"""A holder of documents who does not rest until each call is answered with OK, and who forgets nothing."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.calls import sign_call
from silkledger.evm.contracts import encode_call
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.manifest import is_manifest

from ..conftest import FAR
from .lives import Victim
from .papers import Filing, manifest, statements

FILERS = 4
"""Calls under way at once, beside those below."""
LARGEST_CALL = 6
AGAIN = 0.15
"""Share of calls that are repeated after their OK, and of statements that are filed twice."""
RECENT = 200
"""Entries among which those are chosen."""
MANIFESTS = 0.1
"""Share of calls that bring a manifest."""
CALL_S = 20.0
LOOK_S = 0.02
RETRYABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.OUT_OF_RANGE,  # of a log that has not published its first checkpoint
)
"""What a client is told when the service dies in its call or is not ready. Anything else fails the test."""


@dataclass
class Holder:
    """Files statements and relays calls through whoever lives, and keeps what it was answered."""

    victim: Victim
    rng: Random
    statements: dict[bytes, bytes] = field(default_factory=dict)
    """Every statement that was sent, by its id."""
    answers: dict[str, Any] = field(default_factory=dict)
    """The first OK to each request id."""
    filings: dict[str, Filing] = field(default_factory=dict)
    """By request id."""
    promises: set[bytes] = field(default_factory=set)
    checkpoints: dict[str, int] = field(default_factory=dict)
    """When each was first seen, Unix milliseconds."""
    relays: dict[bytes, chain.RelayCallRequest] = field(default_factory=dict)
    """By the call's own id."""
    relayed: set[bytes] = field(default_factory=set)
    """Ids of the calls that were taken."""
    retryable: tuple[grpc.StatusCode, ...] = RETRYABLE
    retries: int = 0
    era: int = 0
    """Grows when the database is replaced."""

    async def work(self, stop: asyncio.Event) -> None:
        """Until stopped; every call that was begun is brought to its OK."""
        async with asyncio.TaskGroup() as group:
            for _ in range(FILERS):
                group.create_task(self._repeat(stop, self._file))
            group.create_task(self._repeat(stop, self._relay))
            group.create_task(self._repeat(stop, self.look))

    async def _repeat(self, stop: asyncio.Event, act: Callable[[], Awaitable[None]]) -> None:
        while not stop.is_set():
            await act()

    async def _file(self) -> None:
        if self.answers and self.rng.random() < AGAIN:
            filing = self.filings[self.rng.choice(list(self.answers))]
        else:
            filing = self._new()
            self.filings[filing.request.request_id] = filing
            self.statements |= filing.entries
        await self._submit(filing)

    def _new(self) -> Filing:
        request_id = uuid.UUID(int=self.rng.getrandbits(128), version=4)
        if self.rng.random() < MANIFESTS:
            return manifest(self.victim.service, self.rng, request_id)
        return statements(self._documents(), request_id)

    async def _submit(self, filing: Filing) -> None:
        era, response = self.era, await self.until_ok(filing.method, filing.request)
        self.promises.add(response.promise)
        first = self.answers.setdefault(filing.request.request_id, response)
        if era == self.era:
            assert response == first, "the same request id was answered otherwise the second time"

    def forget_answers(self) -> None:
        """The database was replaced by an older one: it may answer known request ids anew."""
        self.era += 1
        self.answers.clear()

    async def submit_again(self, statement_ids: set[bytes]) -> int:
        """Every call with one of these statements, and every manifest, as it was; returns how many."""
        again = [
            filing
            for filing in list(self.filings.values())
            if filing.entries.keys() & statement_ids or filing.method == "RegisterManifest"
        ]
        for filing in again:
            await self._submit(filing)
        return len(again)

    async def relay_again(self) -> None:
        """Every call that was ever taken."""
        for request in list(self.relays.values()):
            await self.until_ok("RelayCall", request)

    def _documents(self) -> list[bytes]:
        """Fresh statements, and some that were sent before under another request id."""
        service = self.victim.service
        fresh = [service.statement(service.founded.agency) for _ in range(self.rng.randint(1, LARGEST_CALL))]
        earlier = [raw for filing in self.filings.values() for raw in filing.entries.values()]
        known = [raw for raw in earlier[-RECENT:] if not is_manifest(raw)]
        return [self.rng.choice(known) if known and self.rng.random() < AGAIN else raw for raw in fresh]

    async def _relay(self) -> None:
        """A revocation, signed by the agency, of a statement that nobody filed."""
        network, agency = self.victim.service.founded.network, self.victim.service.founded.agency
        data = encode_call("DocumentStatus", "revoke", (secrets.token_bytes(32), 1, 0))
        call = sign_call(
            agency,
            network,
            contract="DocumentStatus",
            data=data,
            request_id=secrets.token_bytes(32),
            deadline=FAR,
        )
        names = ("actor", "target", "request_id", "deadline", "gas", "data", "signature")
        message = chain.SignedCall(**{name: getattr(call, name) for name in names})
        request = chain.RelayCallRequest(request_id=str(uuid.uuid4()), call=message)
        self.relays[call.request_id] = request
        await self.until_ok("RelayCall", request)
        self.relayed.add(call.request_id)
        await asyncio.sleep(0.1)

    async def look(self) -> None:
        """Collect the checkpoint that everybody is shown now."""
        response = await self.until_ok("GetCheckpoint", pb.GetCheckpointRequest())
        self.checkpoints.setdefault(response.checkpoint, time.time_ns() // 1_000_000)
        await asyncio.sleep(LOOK_S)

    async def look_until_logged(self) -> None:
        """Until there is a leaf for every statement."""
        while max(tree_size(note) for note in self.checkpoints) < len(self.statements):
            await self.look()

    async def until_ok(self, method: str, request: Any) -> Any:
        """The same call again until it is answered."""
        while True:
            await self.victim.up.wait()
            try:
                return await getattr(self.victim.stub, method)(request, timeout=CALL_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in self.retryable:
                    raise
            except grpc.aio.UsageError:
                pass  # the channel was closed between the two lines: its service is dead
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise  # else it was the call that was cancelled, with the channel to the dead
            self.retries += 1
            await asyncio.sleep(0.05)


def tree_size(note: str) -> int:
    """What a checkpoint says; its signature is verified when all is counted (C2SP tlog-checkpoint)."""
    return int(note.split("\n")[1])
