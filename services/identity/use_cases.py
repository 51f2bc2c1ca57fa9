"""What the identity service does, one method per RPC. Decisions are in `domain`, SQL in `storage`, questions
about the chain in `reading`.

A writing method is one commit: idempotency row, effect, audit row. `encode` turns the outcome into the bytes
of the reply, so that a repeated request gets the very same reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.identity import storage
from services.identity.domain import CertificateAuthority, Organisation, check_enrolment
from services.identity.errors import CallNotFound, ClaimTaken, OrganisationNotFound
from services.identity.reading.pages import page_limit, position_of, token_of
from services.identity.reading.questions import Questions
from services.identity.relaying.calls import CallRelay, named_fields
from services.identity.relaying.requests import Request, Requests
from silkledger.evm.calls import SignedCall
from silkledger.evm.contracts import Network
from silkledger.registry.enrolment import Enrolment
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database, advisory_lock
from silkledger.values import Address, Did


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
        calls: CallRelay,
        requests: Requests,
        authority: CertificateAuthority,
        policy: IssuingPolicy,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._network = network
        self.questions = questions
        self._calls = calls
        self._requests = requests
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
        first = await self._requests.first_reply(caller, request)
        if first is not None:
            return first
        with named_fields():
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
            first = await self._requests.replayed(connection, caller, request)
            if first is not None:
                return first
            taken = await storage.taken_claim(connection, row)
            if taken is not None:
                raise ClaimTaken(taken)
            await storage.insert_organisation(connection, row, claims.controller_key, chain)
            await self._requests.conclude(connection, caller, request, str(did), reply)
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
        first = await self._requests.first_reply(caller, request)
        if first is not None:
            return first
        checked = await self._calls.check(caller, request.method, call)
        async with self._database.write() as connection:
            await advisory_lock(connection, f"identity/relay/{call.actor}")
            first = await self._requests.replayed(connection, caller, request)
            if first is not None:
                return first
            reply = encode(await self._calls.take(connection, caller, checked))
            await self._requests.conclude(connection, caller, request, checked.function, reply)
        self._calls.wake()
        return reply

    async def call(self, actor: Address, call_id: bytes) -> storage.CallState:
        """Raises: CallNotFound."""
        state = await self.questions.call(actor, call_id)
        if state is None:
            raise CallNotFound
        return state
