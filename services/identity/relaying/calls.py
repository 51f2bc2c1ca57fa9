"""Authors' signed calls: checked by what the contract would refuse, and handed to the lane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from eth_abi.abi import encode as abi_encode
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import storage
from services.identity.domain import RELAYED, Refused, check_actor, check_calldata, check_deadline
from services.identity.errors import CallNotFound, FieldRefused
from services.identity.reading.questions import Questions
from silkledger.evm.calls import CallInvalid, NotConsumed, SignedCall, call_digest, verify_call
from silkledger.evm.contracts import Network
from silkledger.evm.lane_types import Intent
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import advisory_lock

RELAY_PAYLOAD: Final = ("uint64", "bytes")
"""ABI types of a relay intent's payload: gas limit of the transaction, its calldata."""


class Outbox(Protocol):
    """Where intents go to be sent. Its adapter is the lane."""

    async def enqueue(self, conn: AsyncConnection, intent: Intent) -> int:
        """Durable with the caller's commit."""
        ...

    def wake(self) -> None:
        """Send now rather than at the next round; called after the commit."""
        ...


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A signed call that may be relayed, and what it calls."""

    signed: SignedCall
    digest: bytes
    """EIP-712."""
    function: str
    arguments: dict[str, object]


class CallRelay:
    """Takes signed calls. A call that is taken is durable, not on chain yet."""

    def __init__(
        self, network: Network, questions: Questions, outbox: Outbox, now: Callable[[], float]
    ) -> None:
        self._network = network
        self._questions = questions
        self._outbox = outbox
        self._now = now

    async def check(self, caller: Caller, rpc: str, call: SignedCall) -> CheckedCall:
        """After: (1) target, (2) calldata, (3) deadline, (4) actor, (5) signature. Raises: FieldRefused."""
        now = int(self._now())
        contract = RELAYED[rpc][0]
        with named_fields():
            if call.target != self._network.address(contract):  # (1)
                raise Refused("CALL_TARGET_WRONG", "call.target", f"{rpc} calls {contract} only")
            function, arguments = check_calldata(rpc, call.data)  # (2)
            check_deadline(call.deadline, now)  # (3)
            if call.actor != caller.did.address:  # (4)
                owner = (await self._questions.identity(caller.did)).owner
                check_actor(call.actor, caller.did, owner)
            try:
                verify_call(self._network, call, now=now)  # (5)
            except CallInvalid as error:
                raise _refusal(error) from None
        return CheckedCall(call, call_digest(self._network, call), function, arguments)

    async def take(self, connection: AsyncConnection, caller: Caller, call: CheckedCall) -> storage.CallState:
        """Queue the call once, in the caller's transaction; `wake` after the commit.

        Raises: FieldRefused (CALL_CONFLICT).
        """
        signed = call.signed
        await advisory_lock(connection, f"identity/relay/{signed.actor}")
        taken = await storage.relayed_digest(connection, signed.actor, signed.request_id)
        if taken is not None and taken != call.digest:
            raise FieldRefused(
                "CALL_CONFLICT", "call.request_id", "the actor used this id before with other content"
            )
        if taken is None:
            await self._enqueue(connection, caller, call)
        final = self._questions.final_number
        state = await storage.call_state(connection, signed.actor, signed.request_id, final)
        if state is None:
            raise CallNotFound
        return state

    def wake(self) -> None:
        """Have what was taken sent now."""
        self._outbox.wake()

    async def _enqueue(self, connection: AsyncConnection, caller: Caller, call: CheckedCall) -> None:
        payload = abi_encode(RELAY_PAYLOAD, [call.signed.relay_gas, call.signed.calldata()])
        await self._outbox.enqueue(connection, Intent(storage.RELAY, call.digest.hex(), payload))
        await storage.insert_relayed(
            connection,
            actor=call.signed.actor,
            call_id=call.signed.request_id,
            digest=call.digest,
            caller=caller.did,
            at_ms=int(self._now() * 1000),
        )


def _refusal(error: CallInvalid) -> Refused:
    if error.why is NotConsumed.EXPIRED:
        return Refused("CALL_EXPIRED", "call.deadline", str(error))
    if error.why is NotConsumed.FORBIDDEN_TARGET:
        return Refused("CALL_TARGET_WRONG", "call.target", str(error))
    return Refused("CALL_SIGNATURE_INVALID", "call.signature", str(error))


@contextmanager
def named_fields() -> Iterator[None]:
    """A domain refusal becomes the service's error with its field."""
    try:
        yield
    except Refused as error:
        raise FieldRefused(error.reason, error.field, error.detail) from None
