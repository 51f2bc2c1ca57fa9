"""RelayCall and GetCall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.domain import Stage
from services.ledger.errors import FieldRefused, LedgerError
from services.ledger.use_cases import Ledger
from silkledger import cbor
from silkledger.evm.calls import CallInvalid, NotConsumed, SignedCall, call_digest, verify_call
from silkledger.evm.contracts import Network
from silkledger.evm.lane import Lane
from silkledger.evm.lane_types import CallSpec, Intent, IntentBuilder, NothingToDo
from silkledger.projections.calls import CallEvent, CallResult, call_events, call_outcome
from silkledger.runtime.auth import Caller
from silkledger.runtime.idempotency import remember, replay
from silkledger.values import Address, BlockRef

METHOD: Final = "RelayCall"
KIND: Final = "call.relay"

_REASON_OF: Final = {
    NotConsumed.BAD_SIGNATURE: ("CALL_SIGNATURE_INVALID", "call.signature"),
    NotConsumed.EXPIRED: ("CALL_EXPIRED", "call.deadline"),
    NotConsumed.FORBIDDEN_TARGET: ("CALL_TARGET_NOT_LISTED", "call.target"),
}


@dataclass(frozen=True, slots=True)
class CallStanding:
    """Where a relayed call stands. `result` None: in no block yet."""

    actor: bytes
    call_id: bytes
    stage: Stage
    result: CallResult | None
    block: BlockRef | None


def relay_builders(network: Network) -> dict[str, IntentBuilder]:
    """Makes the transaction that carries a signed call, unless another one brought it to the chain."""

    async def build(conn: AsyncConnection, payload: bytes) -> CallSpec:
        call = _decode(payload)
        if await call_outcome(conn, call.actor, call.request_id) is not None:
            raise NothingToDo("the call is on chain")
        return CallSpec(network.address("SignedCalls"), call.calldata(), call.relay_gas)

    return {KIND: build}


class Relay:
    """Takes signed calls of enrolled organisations. A call is durable when it is taken, not yet on chain."""

    def __init__(self, ledger: Ledger, lane: Lane) -> None:
        self._ledger = ledger
        self._lane = lane

    async def relay(
        self,
        caller: Caller,
        request_id: str,
        fingerprint: bytes,
        call: SignedCall,
        encode: Callable[[CallStanding], bytes],
    ) -> bytes:
        """Take a call; returns the encoded first response to this request id.

        Checks: (1) the actor is the caller's own account, or the caller is an operator; (2) target,
        deadline and signature are what the contract would accept; (3) the call's id was not used for
        another call.

        Raises:
            FieldRefused, RequestIdConflict, LaneFull: nothing was written.
        """
        async with self._ledger.database.read() as connection:
            known = await replay(connection, caller.did, METHOD, request_id, fingerprint)
        if known is not None:
            return known
        self._check(caller, call)
        digest = call_digest(self._ledger.network, call)
        at_ms = self._ledger.clock_ms()
        async with self._ledger.database.write() as connection:
            known = await replay(connection, caller.did, METHOD, request_id, fingerprint)
            if known is not None:
                return known
            standing = await self._take(connection, caller, call, digest, at_ms)
            response = encode(standing)
            await remember(connection, caller.did, METHOD, request_id, fingerprint, response)
            await storage.insert_audit(
                connection,
                at_ms=at_ms,
                organisation=str(caller.did),
                method=METHOD,
                request_id=request_id.lower(),
                items=1,
            )
        self._lane.wake()
        return response

    def _check(self, caller: Caller, call: SignedCall) -> None:
        if call.actor != caller.did.address and "operator" not in caller.roles:  # (1)
            raise FieldRefused(
                "CALL_ACTOR_NOT_CALLER", "call.actor", "the actor is not the calling organisation's account"
            )
        try:
            verify_call(self._ledger.network, call, now=self._ledger.clock_ms() // 1000)  # (2)
        except CallInvalid as error:
            reason, field = _REASON_OF[error.why]
            raise FieldRefused(reason, field, str(error)) from None

    async def _take(
        self, connection: AsyncConnection, caller: Caller, call: SignedCall, digest: bytes, at_ms: int
    ) -> CallStanding:
        actor = bytes(call.actor)
        earlier = await storage.relayed_digest(connection, actor, call.request_id)
        used = await call_outcome(connection, call.actor, call.request_id)
        on_chain = None if used is None else used.digest
        if any(other is not None and other != digest for other in (earlier, on_chain)):  # (3)
            raise FieldRefused("CALL_CONFLICT", "call.request_id", "this id was used for another call")
        if earlier is None:
            await storage.insert_relayed(
                connection,
                actor=actor,
                call_id=call.request_id,
                digest=digest,
                organisation=str(caller.did),
                at_ms=at_ms,
            )
            key = f"{call.actor}/{call.request_id.hex()}"
            await self._lane.enqueue(connection, Intent(KIND, key, _encode(call)))
        return await self._standing(connection, call.actor, call.request_id)

    async def get(self, actor: Address, call_id: bytes) -> CallStanding:
        """Raises: LedgerError CALL_NOT_FOUND for a call that was neither relayed here nor seen on chain."""
        async with self._ledger.database.read() as connection:
            standing = await self._standing(connection, actor, call_id)
            if standing.result is None and not await storage.relayed_digest(
                connection, bytes(actor), call_id
            ):
                raise LedgerError("CALL_NOT_FOUND", "no such call")
            return standing

    async def _standing(self, connection: AsyncConnection, actor: Address, call_id: bytes) -> CallStanding:
        result = await call_outcome(connection, actor, call_id)
        if result is None:
            told = await call_events(connection, actor, call_id)
            final = [event for event in told if event.event is CallEvent.NOT_CONSUMED]
            result = final[-1] if final else None
        if result is None:
            return CallStanding(bytes(actor), call_id, Stage.ACCEPTED, None, None)
        block = await storage.block_ref(connection, result.block_number)
        is_final = block.number <= self._ledger.follower.final.number
        return CallStanding(bytes(actor), call_id, Stage.FINAL if is_final else Stage.ANCHORED, result, block)


def _encode(call: SignedCall) -> bytes:
    return cbor.encode(
        [
            bytes(call.actor),
            bytes(call.target),
            call.request_id,
            call.deadline,
            call.gas,
            call.data,
            call.signature,
        ]
    )


def _decode(payload: bytes) -> SignedCall:
    actor, target, request_id, deadline, gas, data, signature = cbor.decode(payload)
    return SignedCall(Address(actor), Address(target), request_id, deadline, gas, data, signature)
