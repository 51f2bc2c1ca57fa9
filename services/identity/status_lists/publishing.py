"""Taking a signed list: whether it is the issuer's next one, and having its issuer's call record it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import storage
from services.identity.errors import FieldRefused
from services.identity.reading.questions import Questions
from services.identity.relaying.calls import CallRelay, CheckedCall
from services.identity.relaying.requests import Request, Requests
from services.identity.status_lists import rows
from services.identity.status_lists.reading import Standing, StatusListReads, record_of
from services.identity.status_lists.rows import Number
from silkledger.evidence.equivocation import prove_status_lists, verify_equivocation
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evm.calls import SignedCall
from silkledger.keys import VerifyingKey
from silkledger.registry.histories import status_list_id
from silkledger.runtime.auth import Caller
from silkledger.runtime.db import Database, advisory_lock
from silkledger.status_bits import StatusBits
from silkledger.status_list import StatusList, StatusListError, check_succession, parse_status_list
from silkledger.values import Address

FIELD: Final = "status_list"
_UNDER_WAY: Final = ("UNSPECIFIED", "EXECUTED")


@dataclass(frozen=True, slots=True)
class Offered:
    """A list whose form, issuer and signature are checked."""

    signed: StatusList
    bits: StatusBits
    key: VerifyingKey | None
    """None: these very bytes are held, and were checked when they came."""


Encode = Callable[[Standing, storage.CallState | None], bytes]


class Publishing:
    """The one way in. All writes of a call are one commit."""

    def __init__(
        self,
        database: Database,
        questions: Questions,
        reads: StatusListReads,
        calls: CallRelay,
        requests: Requests,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._questions = questions
        self._reads = reads
        self._calls = calls
        self._requests = requests
        self._now = now

    async def publish(
        self, caller: Caller, request: Request, content: bytes, call: SignedCall | None, encode: Encode
    ) -> bytes:
        """Take a list and its call; the encoded reply. The list is durable, not on chain yet.

        The same list again is taken again: with another call, if the one before came to nothing.

        Raises: FieldRefused, naming what is wrong: nothing is written then, but for STATUS_LIST_EQUIVOCATION,
        where the proof against the issuer is kept. RequestIdConflict.
        """
        first = await self._requests.first_reply(caller, request)
        if first is not None:
            return first
        offered = await self._check_list(caller, content)
        checked = None
        if call is not None:
            checked = await self._calls.check(caller, request.method, call)
            _check_arguments(checked, offered.signed)
        signed = offered.signed
        async with self._database.write() as connection:
            await advisory_lock(connection, f"identity/status-list/{signed.issuer}/{signed.id}")
            first = await self._requests.replayed(connection, caller, request)
            if first is not None:
                return first
            refused = await self._place(connection, offered)
            if refused is None:
                state = await self._record(connection, caller, Number.of(signed), checked)
                reply = encode(await self._standing(connection, signed), state)
                await self._requests.conclude(connection, caller, request, "publishStatusList", reply)
        if refused is not None:
            raise refused
        self._calls.wake()
        return reply

    async def _check_list(self, caller: Caller, content: bytes) -> Offered:
        """(1) form and bits; (2) its issuer calls; (3) it is valid now; (4) a key of the issuer signed it."""
        with _named_reasons():
            signed, bits = await asyncio.to_thread(_read, content)  # (1)
        if signed.issuer != caller.did:  # (2)
            raise FieldRefused("ISSUER_NOT_CALLER", FIELD, f"its issuer is {signed.issuer}, not the caller")
        async with self._database.read() as connection:
            held = await rows.list_of(connection, Number.of(signed))
        if held is not None and held.raw == content:
            return Offered(signed, bits, None)
        with _named_reasons():
            signed.check_period(datetime.fromtimestamp(self._now(), UTC))  # (3)
        identity = await self._questions.identity(signed.issuer)
        if identity.deactivated:
            raise FieldRefused("ISSUER_DEACTIVATED", FIELD, f"{signed.issuer} is deactivated")
        key = identity.methods.get(signed.fragment)
        if key is None:
            raise FieldRefused("KEY_UNKNOWN", FIELD, f"{signed.method} is no key in force of the issuer")
        with _named_reasons():
            signed.verify(key)  # (4)
        return Offered(signed, bits, key)

    async def _place(self, connection: AsyncConnection, offered: Offered) -> FieldRefused | None:
        """Add the list under its number; or what to refuse it with after the commit.

        (1) The list that is held under the number is this one, or the issuer signed two; (2) it is the next
        number; (3) it may follow the one before; (4) the chain records nothing else under the number.
        """
        signed = offered.signed
        held = await rows.list_of(connection, Number.of(signed))
        if held is not None:  # (1)
            return (
                None if held.digest == signed.digest else await self._contradicts(connection, held, offered)
            )
        next_ = await rows.count(connection, signed.issuer, signed.id)
        if signed.sequence != next_:  # (2)
            raise FieldRefused("STATUS_LIST_SEQUENCE", FIELD, f"the next number of this series is {next_}")
        before = await rows.list_of(connection, Number(signed.issuer, signed.id, next_ - 1))
        if before is not None:
            with _named_reasons():
                check_succession(before, signed)  # (3)
        record = await record_of(connection, Number.of(signed))
        if record is not None and record.digest != signed.digest:  # (4)
            raise FieldRefused(
                "STATUS_LIST_RECORDED_OTHERWISE",
                FIELD,
                f"the chain records {record.digest} under this number",
            )
        await rows.insert_list(connection, signed, offered.bits, int(self._now() * 1000))
        return None

    async def _contradicts(
        self, connection: AsyncConnection, held: StatusList, offered: Offered
    ) -> FieldRefused:
        """Keeps the proof that the issuer signed two lists under one number, if one key did."""
        signed = offered.signed
        taken = f"number {signed.sequence} of this series is the list {held.digest}"
        if offered.key is None:
            return FieldRefused("STATUS_LIST_SEQUENCE", FIELD, taken)
        proof = prove_status_lists(held.raw, signed.raw, offered.key.to_multikey()).encode()
        try:
            verify_equivocation(proof)
        except EvidenceInvalid as error:
            return FieldRefused("STATUS_LIST_SEQUENCE", FIELD, f"{taken}; {error.detail}")
        await rows.insert_equivocation(connection, signed, proof, int(self._now() * 1000))
        return FieldRefused("STATUS_LIST_EQUIVOCATION", FIELD, f"{taken}, signed by the same key")

    async def _record(
        self, connection: AsyncConnection, caller: Caller, number: Number, call: CheckedCall | None
    ) -> storage.CallState | None:
        """Have the list recorded on chain, unless it is, or a call is under way; the state of that call."""
        taken = await rows.calls_of(connection, number)
        last = await self._state(connection, taken[-1]) if taken else None
        if await record_of(connection, number) is not None:
            return last
        if last is not None and last.outcome in _UNDER_WAY:
            return last
        if call is None:
            raise FieldRefused("CALL_REQUIRED", "call", "must record the list: the chain does not yet")
        state = await self._calls.take(connection, caller, call)
        await rows.insert_call(connection, number, len(taken), call.signed.actor, call.signed.request_id)
        return state

    async def _state(
        self, connection: AsyncConnection, call: tuple[Address, bytes]
    ) -> storage.CallState | None:
        return await storage.call_state(connection, *call, self._questions.final_number)

    async def _standing(self, connection: AsyncConnection, signed: StatusList) -> Standing:
        held = await rows.held(connection, Number.of(signed))
        if held is None:
            raise LookupError("the list was added in this transaction")
        return await self._reads.standing(connection, held)


def _read(content: bytes) -> tuple[StatusList, StatusBits]:
    signed = parse_status_list(content)
    return signed, signed.bits()


def _check_arguments(call: CheckedCall, signed: StatusList) -> None:
    """The call records this list and no other. Raises: FieldRefused."""
    wanted = {
        "identity": bytes(signed.issuer.address),
        "listId": status_list_id(signed.id),
        "sequence": signed.sequence,
        "digest": bytes(signed.digest),
    }
    found = dict(call.arguments)
    found["identity"] = bytes(Address.from_hex(str(found["identity"])))
    for name, value in wanted.items():
        if found[name] != value:
            raise FieldRefused("CALL_ARGUMENT_INVALID", "call.data", f"{name} is not that of the list")


@contextmanager
def _named_reasons() -> Iterator[None]:
    try:
        yield
    except StatusListError as error:
        raise FieldRefused(error.reason, FIELD, error.detail) from None
