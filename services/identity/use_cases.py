"""What the identity service does, one method per RPC. Decisions are in `domain`, SQL in `storage`, questions
about the chain in `reading`.

A writing method is one commit: idempotency row, effect, audit row. `encode` turns the outcome into the bytes
of the reply, so that a repeated request gets the very same reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from eth_abi.abi import encode as abi_encode
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import storage
from services.identity.domain import (
    RELAYED,
    CertificateAuthority,
    Organisation,
    Refused,
    check_actor,
    check_calldata,
    check_deadline,
    check_enrolment,
)
from services.identity.errors import CallNotFound, ClaimTaken, FieldRefused, OrganisationNotFound
from services.identity.reading.pages import page_limit, position_of, token_of
from services.identity.reading.questions import Questions
from silkledger.evm.calls import CallInvalid, NotConsumed, SignedCall, call_digest, verify_call
from silkledger.evm.contracts import Network
from silkledger.evm.lane_types import Intent
from silkledger.registry.enrolment import Enrolment
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database, advisory_lock
from silkledger.runtime.idempotency import remember, replay
from silkledger.values import Address, Did

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
class Request:
    """What makes a call repeatable: who asked for what, and under which id."""

    method: str
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class IssuingPolicy:
    """How client certificates are made."""

    days: int
    local_names: bool
    """Development only: let localhost and 127.0.0.1 into certificates."""


class IdentityUseCases:
    """What writes, and the directory of organisations; `questions` answers about the chain."""

    def __init__(
        self,
        database: Database,
        network: Network,
        questions: Questions,
        outbox: Outbox,
        authority: CertificateAuthority,
        policy: IssuingPolicy,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._network = network
        self.questions = questions
        self._outbox = outbox
        self._authority = authority
        self._policy = policy
        self._now = now

    @property
    def chain_id(self) -> int:
        return self._network.chain_id

    async def enrol(
        self,
        caller: Caller,
        request: Request,
        claims: Enrolment,
        proof: bytes,
        encode: Callable[[Organisation, str], bytes],
    ) -> bytes:
        """Enrol an organisation and certify its TLS key; the encoded reply.

        Raises: Forbidden unless the caller is the registrar; FieldRefused; ClaimTaken; RequestIdConflict.
        """
        caller.require_role("operator")
        first = await self._first_reply(caller, request)
        if first is not None:
            return first
        with _named_fields():
            did, csr = check_enrolment(claims, proof)
        now = self._now()
        chain = self._authority.issue(
            csr,
            did,
            claims.roles,
            now=datetime.fromtimestamp(int(now), UTC),
            days=self._policy.days,
            local_names=self._policy.local_names,
        )
        row = Organisation(
            did,
            claims.name,
            claims.country,
            claims.roles,
            claims.lei,
            claims.uscc,
            claims.bic,
            claims.endpoint,
            int(now * 1000),
        )
        reply = encode(row, chain)
        async with self._database.write() as connection:
            await advisory_lock(connection, "identity/enrolment")
            first = await self._replayed(connection, caller, request)
            if first is not None:
                return first
            taken = await storage.taken_claim(connection, row)
            if taken is not None:
                raise ClaimTaken(taken)
            await storage.insert_organisation(connection, row, claims.controller_key, chain)
            await self._conclude(connection, caller, request, str(did), reply)
        return reply

    async def organisation(self, did: Did) -> Organisation:
        """Raises: OrganisationNotFound."""
        async with self._database.read() as connection:
            found = await storage.organisation_of(connection, did)
        if found is None:
            raise OrganisationNotFound
        return found

    async def organisations(
        self, search: storage.OrganisationSearch, page_size: int, page_token: str
    ) -> tuple[list[Organisation], str]:
        """One page in order of DID, and the token of the next. Raises: FieldRefused (PAGE_TOKEN_INVALID)."""
        question = ("organisations", search.role, search.country, search.identifier)
        limit = page_limit(page_size)
        async with self._database.read() as connection:
            after = position_of(question, page_token)
            found = await storage.search_organisations(connection, search, after, limit + 1)
        page = found[:limit]
        return page, token_of(question, str(page[-1].did)) if len(found) > limit else ""

    async def relay(
        self,
        caller: Caller,
        request: Request,
        call: SignedCall,
        encode: Callable[[storage.CallState], bytes],
    ) -> bytes:
        """Take an author's signed call for sending; the encoded reply. The call is not on chain yet.

        Raises: FieldRefused naming what the contract would refuse; RequestIdConflict.
        """
        first = await self._first_reply(caller, request)
        if first is not None:
            return first
        function = await self._check_call(caller, request.method, call)
        digest = call_digest(self._network, call)
        async with self._database.write() as connection:
            await advisory_lock(connection, f"identity/relay/{call.actor}")
            first = await self._replayed(connection, caller, request)
            if first is not None:
                return first
            taken = await storage.relayed_digest(connection, call.actor, call.request_id)
            if taken is not None and taken != digest:
                raise FieldRefused(
                    "CALL_CONFLICT", "call.request_id", "the actor used this id before with other content"
                )
            if taken is None:
                await self._enqueue(connection, caller, call, digest)
            final = self.questions.final_number
            state = await storage.call_state(connection, call.actor, call.request_id, final)
            if state is None:
                raise CallNotFound
            reply = encode(state)
            await self._conclude(connection, caller, request, function, reply)
        self._outbox.wake()
        return reply

    async def call(self, actor: Address, call_id: bytes) -> storage.CallState:
        """Raises: CallNotFound."""
        state = await self.questions.call(actor, call_id)
        if state is None:
            raise CallNotFound
        return state

    async def _check_call(self, caller: Caller, rpc: str, call: SignedCall) -> str:
        """The function called, after: (1) target, (2) calldata, (3) deadline, (4) actor, (5) signature."""
        now = int(self._now())
        contract = RELAYED[rpc][0]
        with _named_fields():
            if call.target != self._network.address(contract):  # (1)
                raise Refused("CALL_TARGET_WRONG", "call.target", f"{rpc} calls {contract} only")
            function, _ = check_calldata(rpc, call.data)  # (2)
            check_deadline(call.deadline, now)  # (3)
            if call.actor != caller.did.address:  # (4)
                owner = (await self.questions.identity(caller.did)).owner
                check_actor(call.actor, caller.did, owner)
            try:
                verify_call(self._network, call, now=now)  # (5)
            except CallInvalid as error:
                raise _refusal(error) from None
        return function

    async def _enqueue(
        self, connection: AsyncConnection, caller: Caller, call: SignedCall, digest: bytes
    ) -> None:
        payload = abi_encode(RELAY_PAYLOAD, [call.relay_gas, call.calldata()])
        await self._outbox.enqueue(connection, Intent(storage.RELAY, digest.hex(), payload))
        await storage.insert_relayed(
            connection,
            actor=call.actor,
            call_id=call.request_id,
            digest=digest,
            caller=caller.did,
            at_ms=int(self._now() * 1000),
        )

    async def _first_reply(self, caller: Caller, request: Request) -> bytes | None:
        async with self._database.read() as connection:
            return await self._replayed(connection, caller, request)

    async def _replayed(self, connection: AsyncConnection, caller: Caller, request: Request) -> bytes | None:
        return await replay(connection, caller.did, request.method, request.request_id, request.fingerprint)

    async def _conclude(
        self, connection: AsyncConnection, caller: Caller, request: Request, subject: str, reply: bytes
    ) -> None:
        await storage.insert_audit(
            connection,
            at_ms=int(self._now() * 1000),
            caller=caller.did,
            method=request.method,
            request_id=request.request_id.lower(),
            subject=subject,
        )
        await remember(connection, caller.did, request.method, request.request_id, request.fingerprint, reply)


def _refusal(error: CallInvalid) -> Refused:
    if error.why is NotConsumed.EXPIRED:
        return Refused("CALL_EXPIRED", "call.deadline", str(error))
    if error.why is NotConsumed.FORBIDDEN_TARGET:
        return Refused("CALL_TARGET_WRONG", "call.target", str(error))
    return Refused("CALL_SIGNATURE_INVALID", "call.signature", str(error))


@contextmanager
def _named_fields() -> Iterator[None]:
    """A domain refusal becomes the service's error with its field."""
    try:
        yield
    except Refused as error:
        raise FieldRefused(error.reason, error.field, error.detail) from None
