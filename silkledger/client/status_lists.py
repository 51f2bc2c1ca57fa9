"""Issuing status lists: the next of a series, signed here and recorded on chain by a call signed here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.client.calls import CallSigner
from silkledger.client.errors import RpcFailed
from silkledger.client.identity import Act, IdentityClient
from silkledger.identity.v1 import identity_pb2 as pb
from silkledger.keys import PrivateKey
from silkledger.status_bits import MIN_ENTRIES, StatusBits
from silkledger.status_list import StatusList, check_succession, parse_status_list, sign_status_list
from silkledger.values import Did

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class NotRecorded(RuntimeError):
    """The chain refused the call that was to record a key or a list. `status` says why."""

    def __init__(self, what: str, status: chain.CallStatus) -> None:
        outcome = chain.CallOutcome.Name(status.outcome).removeprefix("CALL_OUTCOME_")
        super().__init__(f"{what}: {outcome} {status.reason_text}".strip())
        self.status = status


@dataclass(frozen=True, slots=True)
class Change:
    """How the next list differs from the one before."""

    to_set: Sequence[int] = ()
    to_clear: Sequence[int] = ()
    """Not in a series about revocation."""
    entries: int = MIN_ENTRIES
    """Of the first list. Later ones have as many as the one before."""
    valid_for: timedelta | None = None
    """None: the list does not run out."""


class StatusListIssuer:
    """Issues the lists of one organisation. Both keys stay in this process."""

    def __init__(self, client: IdentityClient, issuer: Did, calls: CallSigner, key: PrivateKey) -> None:
        self._client = client
        self._issuer = issuer
        self._calls = calls
        self._key = key

    async def fragment(self) -> str:
        """The name of the key in the issuer's identity; it is published first, if it is not there.

        Raises: NotRecorded, NotReached, RpcFailed.
        """
        found = await self._find()
        if found is None:
            call = self._calls.publish_key(self._key.verifying_key.to_multicodec())
            await self._client.relay(Act.PUBLISH, call)
            await self._executed(call, "publishing the key")
            found = await self._find()
        if found is None:
            raise LookupError("the key was published, and is not in the DID document")
        return found

    async def newest(self, series: str) -> pb.GetStatusListResponse | None:
        """The newest list that the service holds, recorded or not; None: there is none. Raises: RpcFailed."""
        newest, number = None, 0
        try:
            newest = await self._client.status_list(str(self._issuer), series)
            number = newest.status_list.sequence + 1
        except RpcFailed as error:
            if error.code is not grpc.StatusCode.NOT_FOUND:
                raise
        while True:
            try:
                newest = await self._client.status_list(str(self._issuer), series, sequence=number)
            except RpcFailed as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    raise
                return newest
            number += 1

    async def issue(self, series: str, purpose: str, change: Change) -> pb.GetStatusListResponse:
        """Sign and publish the next list of the series, and wait until it is final.

        A list before it that is not recorded yet is recorded first.
        Raises: StatusListError and IndexOutOfRange before anything is sent; BitsInvalid; NotRecorded;
        NotReached; RpcFailed.
        """
        before = await self.newest(series)
        if before is not None and before.status_list.stage != chain.EVIDENCE_STAGE_FINAL:
            await self.publish(before.content)
        content = self._sign(series, purpose, change, before, await self.fragment())
        await self.publish(content)
        number = parse_status_list(content).sequence
        return await self._client.status_list(str(self._issuer), series, sequence=number)

    async def publish(self, content: bytes) -> None:
        """Publish a signed list of this issuer and wait until it is final; one that is there already as well.

        Raises: NotRecorded, NotReached, RpcFailed.
        """
        signed = parse_status_list(content)
        taken = await self._client.publish_status_list(content, self._calls.publish_status_list(signed))
        if taken.HasField("call"):
            await self._executed(taken.call, f"recording number {signed.sequence} of {signed.id}")

    def _sign(
        self,
        series: str,
        purpose: str,
        change: Change,
        before: pb.GetStatusListResponse | None,
        fragment: str,
    ) -> bytes:
        last = None if before is None else parse_status_list(before.content)
        bits = StatusBits.empty(change.entries) if last is None else last.bits()
        now = datetime.now(UTC)
        until = None if change.valid_for is None else (now + change.valid_for).strftime(_TIME)
        content = sign_status_list(
            self._key,
            issuer=self._issuer,
            fragment=fragment,
            id_=series,
            purpose=purpose,
            sequence=0 if last is None else last.sequence + 1,
            encoded_list=bits.changed(to_set=change.to_set, to_clear=change.to_clear).encode(),
            issued=_not_before(now, last).strftime(_TIME),
            valid_until=until,
        )
        if last is not None:
            check_succession(last, parse_status_list(content))
        return content

    async def _find(self) -> str | None:
        resolved = await self._client.resolve(str(self._issuer))
        wanted = self._key.verifying_key.to_multikey()
        for method in json.loads(resolved.did_document_json)["verificationMethod"]:
            if method.get("publicKeyMultibase") == wanted:
                return str(method["id"]).partition("#")[2]
        return None

    async def _executed(self, call: chain.SignedCall | chain.CallStatus, what: str) -> None:
        asked = chain.SignedCall(actor=call.actor, request_id=call.request_id)
        status = await self._client.wait_for_call(asked)
        if status.outcome != chain.CALL_OUTCOME_EXECUTED:
            raise NotRecorded(what, status)


def _not_before(now: datetime, last: StatusList | None) -> datetime:
    """A clock that was set back must not make a list that seems older than the one before."""
    return now if last is None else max(now, last.valid_from)
