"""AddLogKey, EndLogKey and ListLogKeys: the operator changes which keys count, through the lane.

The lane's account must be the origin's controller. What the contract would refuse is refused here already, by
the blocks applied so far; the transaction is made when it is signed, and the contract has the last word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.errors import FieldRefused, LedgerError
from services.ledger.log_keys.signing import LogSigningKeys, recorded
from services.ledger.use_cases import Ledger, Request
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.lane import Lane
from silkledger.evm.lane_types import CallSpec, Intent, IntentBuilder, NothingToDo
from silkledger.log.checkpoint import LogVerifierKey, NoteError, NoteKeyType
from silkledger.projections.anchors import CONTRACT
from silkledger.registry.histories import origin_id
from silkledger.registry.origins import OriginHistory, OriginKey
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import advisory_lock
from silkledger.runtime.idempotency import remember, replay

ADD: Final = "log.key.add"
END: Final = "log.key.end"
"""Kinds of intents. Their payload is the key as it is recorded."""
METHODS: Final = {ADD: "AddLogKey", END: "EndLogKey"}
"""Method names of the idempotency and audit rows."""

GAS: Final = 500_000
"""Gas limit: a change of a key measures 60,000 to 110,000."""
MOST: Final = 8
"""Keys that may count at a time (LogAnchor)."""


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """A key that the log ever had, and whether this process signs with it."""

    key: OriginKey
    verifier_key: str
    """Empty for a key of another kind than Ed25519."""
    signs: bool


def key_builders(network: Network, origin: str) -> dict[str, IntentBuilder]:
    """Makes the transactions, unless the history says that they are not needed any more."""
    identifier = origin_id(origin)

    def builder(kind: str, function: str) -> IntentBuilder:
        async def build(conn: AsyncConnection, payload: bytes) -> CallSpec:
            found = _found(await recorded(conn, origin), payload)
            if (found is None) is (kind == END) or (found is not None and found.ended_at is not None):
                raise NothingToDo("the key stands as it shall, or cannot")
            data = encode_call(CONTRACT, function, (identifier, payload))
            return CallSpec(network.address(CONTRACT), data, GAS)

        return build

    return {ADD: builder(ADD, "addLogKey"), END: builder(END, "endLogKey")}


class KeyChanges:
    """Takes an operator's changes, one at a time. A change is durable when it is taken, not yet on chain."""

    def __init__(self, ledger: Ledger, lane: Lane, keys: LogSigningKeys) -> None:
        self._ledger = ledger
        self._lane = lane
        self._keys = keys

    async def change(self, caller: Caller, kind: str, request: Request, verifier_key: str) -> None:
        """Take a change (`ADD` or `END`), or have it taken already under this request id.

        Checks: (1) the caller is an operator; (2) the key reads, and is this log's; (3) the origin is
        registered, by this lane's account; (4) no other change is under way; (5) the key stands as the change
        wants it.

        Raises:
            Forbidden, FieldRefused, LedgerError, RequestIdConflict, LaneFull: nothing was written.
        """
        caller.require_role("operator")  # (1)
        key = self._read(verifier_key)  # (2)
        method = METHODS[kind]
        async with self._ledger.database.write() as connection:
            await advisory_lock(connection, f"ledger/log-keys/{self._keys.origin}")
            if (
                await replay(connection, caller.did, method, request.request_id, request.fingerprint)
                is not None
            ):
                return
            history = await recorded(connection, self._keys.origin)
            self._check_controller(history)  # (3)
            made = await storage.intent_states(connection, ADD) + await storage.intent_states(connection, END)
            if any(state not in storage.SETTLED for state in made):  # (4)
                raise LedgerError(
                    "LOG_KEY_CHANGE_PENDING", "another change is on its way to the chain", retry_after_s=1.0
                )
            assert history is not None
            await self._keys.look(connection)
            self._check_addition(history, key) if kind == ADD else self._check_end(history, key)  # (5)
            intent = Intent(kind, f"{self._keys.origin}/{len(made)}", key.recorded)
            await self._lane.enqueue(connection, intent)
            await remember(connection, caller.did, method, request.request_id, request.fingerprint, b"")
            await storage.insert_audit(
                connection,
                at_ms=self._ledger.clock_ms(),
                organisation=str(caller.did),
                method=method,
                request_id=request.request_id.lower(),
                items=1,
            )
        self._lane.wake()

    async def listed(self, caller: Caller) -> list[KeyStanding]:
        """Every key that the log ever had, in the order of its history. Raises: Forbidden."""
        caller.require_role("operator", "auditor")
        async with self._ledger.database.read() as connection:
            history = await recorded(connection, self._keys.origin)
        standings = []
        for key in () if history is None else history.keys:
            read = LogVerifierKey.of_recorded(self._keys.origin, key.log_key)
            signs = read in self._keys.verifier_keys and key.ended_at is None
            standings.append(KeyStanding(key, "" if read is None else str(read), signs))
        return standings

    def _read(self, text: str) -> LogVerifierKey:
        try:
            key = LogVerifierKey.parse(text)
        except NoteError as error:
            raise FieldRefused("LOG_KEY_MALFORMED", "verifier_key", error.detail) from None
        if key.name != self._keys.origin or key.key_type is not NoteKeyType.ED25519:
            raise FieldRefused(
                "LOG_KEY_MALFORMED", "verifier_key", f"is no key of the log {self._keys.origin}"
            )
        return key

    def _check_controller(self, history: OriginHistory | None) -> None:
        if history is None:
            raise LedgerError(
                "LOG_NOT_REGISTERED", "the log is not registered on chain yet", retry_after_s=1.0
            )
        if history.controller != self._lane.signer:
            raise LedgerError(
                "LOG_NOT_CONTROLLED",
                f"{history.controller} controls the log, this service signs as {self._lane.signer}",
            )

    def _check_addition(self, history: OriginHistory, key: LogVerifierKey) -> None:
        found = _found(history, key.recorded)
        if found is not None and found.ended_at is None:
            raise FieldRefused("LOG_KEY_COUNTS", "verifier_key", "the key counts already")
        if found is not None:
            raise FieldRefused("LOG_KEY_OVER", "verifier_key", "the key was ended, which is for ever")
        if len(_counting(history)) >= MOST:
            raise FieldRefused(
                "TOO_MANY_LOG_KEYS", "verifier_key", f"{MOST} keys count already: end one first"
            )

    def _check_end(self, history: OriginHistory, key: LogVerifierKey) -> None:
        if _found(history, key.recorded) not in _counting(history):
            raise FieldRefused("LOG_KEY_ABSENT", "verifier_key", "the key does not count")
        if len(_counting(history)) == 1:
            raise FieldRefused("LAST_LOG_KEY", "verifier_key", "no other key counts: add its successor first")
        if key in self._keys.usable[:1]:
            raise FieldRefused(
                "LOG_KEY_IN_USE", "verifier_key", "this service signs with it: make another key its first one"
            )


def _found(history: OriginHistory | None, log_key: bytes) -> OriginKey | None:
    return next((key for key in history.keys if key.log_key == log_key), None) if history else None


def _counting(history: OriginHistory) -> list[OriginKey]:
    return [key for key in history.keys if key.ended_at is None]
