"""Asking witnesses to cosign what was anchored (C2SP tlog-witness, the client's side).

Nothing waits for a witness: not acceptance, not sequencing, not anchoring, and no witness for another. One
that is silent or refuses is told in the log and in metrics, and asked again. One that holds another history
of this log is told as that: somebody showed it a fork, or it lies. A line is kept only if it verifies under
the witness's key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.sequencing.leadership import Leadership
from services.ledger.sequencing.log_tree import consistency_path
from services.ledger.witnessing.cosignatures import cosigned_size, insert_cosignature
from silkledger.log.checkpoint import LogVerifierKey, NoteError, NoteKeyType, verify_cosignature
from silkledger.projections.anchors import anchored_head
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from silkledger.runtime.lease import LeaseLost
from silkledger.runtime.settings import SettingsError, variable_of
from silkledger.runtime.telemetry import logger
from silkledger.witness.request import AddCheckpoint

TIMEOUT_S: Final = 5.0
"""One request."""
AGAIN_S: Final = 5.0
"""Pause after a witness did not cosign."""
MAX_ANSWER: Final = 4_096
"""Bytes read of an answer; a signature line has about 200."""


class Standing(IntEnum):
    """How a witness answered last. The value is that of the metric."""

    COSIGNS = 1
    SILENT = 0
    """No answer, one that is none of the protocol's, or a line that does not verify."""
    OTHER_HISTORY = -1
    """It cosigned a head of this log that ours does not extend."""


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """Where a witness is asked, and the key that its lines must verify under."""

    url: str
    vkey: LogVerifierKey

    @classmethod
    def parse(cls, text: str) -> WitnessAddress:
        """From `URL VERIFIER-KEY`. Raises: SettingsError."""
        url, _, key = text.partition(" ")
        try:
            vkey = LogVerifierKey.parse(key.strip())
        except NoteError as error:
            raise SettingsError({variable_of("witnesses"): str(error)}) from None
        if urlsplit(url).scheme not in ("http", "https") or vkey.key_type is not NoteKeyType.COSIGNATURE_V1:
            raise SettingsError({variable_of("witnesses"): "needs a URL and a witness's verifier key"})
        return cls(url.rstrip("/"), vkey)


@dataclass(frozen=True, slots=True)
class _Head:
    size: int
    note: str


class _NotCosigned(Exception):
    def __init__(self, standing: Standing, why: str) -> None:
        super().__init__(why)
        self.standing = standing


class Witnessing:
    """Has every anchored head cosigned, the newest first, while this process leads the log."""

    def __init__(
        self,
        database: Database,
        origin: str,
        witnesses: Sequence[str],
        leadership: Leadership,
        interval_s: float,
        registry: CollectorRegistry,
    ) -> None:
        """Raises: SettingsError."""
        self._database = database
        self._origin_id = origin_id(origin)
        self._witnesses = tuple(WitnessAddress.parse(item) for item in witnesses)
        self._leadership = leadership
        self._interval_s = interval_s
        self._standing: dict[str, Standing] = {}
        self._gauge = Gauge(
            "silkledger_witness", "1 cosigns, 0 silent, -1 other history", ["witness"], registry=registry
        )
        self._size = Gauge(
            "silkledger_witness_cosigned_size", "Leaves of the largest tree", ["witness"], registry=registry
        )

    @property
    def standing(self) -> Mapping[str, Standing]:
        """By the witness's name; those that were asked."""
        return dict(self._standing)

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped, each witness at its own pace."""
        async with ClientSession(timeout=ClientTimeout(total=TIMEOUT_S)) as session:
            await asyncio.gather(*(self._follow(session, item, stop) for item in self._witnesses))
        await stop.wait()

    async def _follow(self, session: ClientSession, witness: WitnessAddress, stop: asyncio.Event) -> None:
        while not stop.is_set():
            pause_s = self._interval_s
            try:
                if not await self.step(session, witness):
                    pause_s = AGAIN_S
            except (DBAPIError, LeaseLost) as error:
                logger().warning("witnessing_delayed", why=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), pause_s)
            except TimeoutError:
                continue

    async def step(self, session: ClientSession, witness: WitnessAddress) -> bool:
        """Have the newest anchored head cosigned, if it is not. False: the witness did not.

        Raises: LeaseLost: another process leads; nothing was kept.
        """
        if self._leadership.epoch is None:
            return True
        async with self._database.read() as connection:
            old = await cosigned_size(connection, str(witness.vkey))
            head = await self._newest(connection)
        if head is None or head.size <= old:
            return True
        try:
            line = await self._cosigned(session, witness, head, old)
        except _NotCosigned as refusal:
            self._note(witness, refusal.standing, str(refusal))
            return False
        async with self._leadership.writing() as connection:
            await insert_cosignature(connection, head.size, str(witness.vkey), line)
        self._size.labels(witness.vkey.name).set(head.size)
        self._note(witness, Standing.COSIGNS, None)
        return True

    async def _newest(self, connection: AsyncConnection) -> _Head | None:
        anchored = await anchored_head(connection, self._origin_id)
        found = None if anchored is None else await storage.checkpoint_at(connection, anchored.size)
        return None if found is None else _Head(found.tree_size, found.note)

    async def _cosigned(self, session: ClientSession, witness: WitnessAddress, head: _Head, old: int) -> str:
        """The verified signature line. Raises: _NotCosigned.

        1. ask from the size that we know it cosigned; 2. where it cosigned another one meanwhile, from that;
        3. it has another history if it refuses a proof from its own head, or its own size under our root.
        """
        status, body = await self._ask(session, witness, head, old)  # (1)
        if status == 409 and body.strip().isdigit() and old != int(body) <= head.size:
            old = int(body)
            status, body = await self._ask(session, witness, head, old)  # (2)
        if status == 422 or (status == 409 and body.strip() == str(old)):  # (3)
            why = (
                f"it does not find that {head.size} leaves extend the {old} that it cosigned: {body.strip()}"
            )
            raise _NotCosigned(Standing.OTHER_HISTORY, why)
        if status == 409:
            raise _NotCosigned(
                Standing.SILENT, f"it cosigned {body.strip()} leaves, {head.size} are anchored"
            )
        if status != 200:
            raise _NotCosigned(Standing.SILENT, f"status {status}: {body.strip()}")
        if not body.endswith("\n") or body.count("\n") != 1:
            raise _NotCosigned(Standing.SILENT, "its answer is not one signature line")
        try:
            verify_cosignature(head.note + body, witness.vkey)
        except NoteError as error:
            raise _NotCosigned(Standing.SILENT, f"its line does not verify: {error.reason}") from None
        return body

    async def _ask(
        self, session: ClientSession, witness: WitnessAddress, head: _Head, old: int
    ) -> tuple[int, str]:
        """Status and text of the answer. Raises: _NotCosigned."""
        path: list[bytes] = []
        if 0 < old < head.size:
            async with self._database.read() as connection:
                path = await consistency_path(connection, old, head.size)
        body = AddCheckpoint(old, tuple(path), head.note).encode()
        try:
            async with session.post(f"{witness.url}/add-checkpoint", data=body) as response:
                answer = await response.content.read(MAX_ANSWER)
        except (ClientError, TimeoutError) as error:
            raise _NotCosigned(Standing.SILENT, type(error).__name__) from None
        return response.status, answer.decode("utf-8", "replace")

    def _note(self, witness: WitnessAddress, standing: Standing, why: str | None) -> None:
        name = witness.vkey.name
        self._gauge.labels(name).set(standing)
        if self._standing.get(name) is standing:
            return
        self._standing[name] = standing
        tell = logger().critical if standing is Standing.OTHER_HISTORY else logger().info
        tell("witness_" + standing.name.lower(), witness=name, why=why)
