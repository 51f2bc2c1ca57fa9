"""What runs beside the handlers: how the lanes turn acts into transactions, and who empties the outbox."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement import storage
from services.settlement.domain import ChainState, one_time_account
from services.settlement.payments import outbox
from services.settlement.payments.incoming import Incoming
from services.settlement.payments.office import ACCEPT, CONFIRM, OPEN, REJECT, REPORT, Office
from services.settlement.peers.channels import CALL_S, Channels
from silkledger import cbor
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.lane_types import Builders, CallSpec, NotYet
from silkledger.evm.signer import LocalSigner, Signer, SignerUnavailable
from silkledger.projections.settlements import CONTRACT, facts_of
from silkledger.runtime.db import Database
from silkledger.runtime.telemetry import logger
from silkledger.settlement.v1 import settlement_pb2 as pb
from silkledger.settlement.v1 import settlement_pb2_grpc as rpc
from silkledger.statement import StatementError
from silkledger.values import Address

GAS: Final = 400_000
"""Limit for any act on SettlementLedger; the dearest (open, three fresh slots) takes about half."""

_FUNCTIONS: Final = {ACCEPT: "accept", REJECT: "reject", REPORT: "reportSettled", CONFIRM: "confirmSettled"}

_NEEDS: Final = {
    ACCEPT: {ChainState.OPEN},
    REJECT: {ChainState.OPEN},
    REPORT: {ChainState.ACCEPTED},
    CONFIRM: {ChainState.ACCEPTED},
}
"""What must be on chain before an act: sent earlier, the contract would refuse it."""

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
_POLL_S: Final = 0.3
_BATCH: Final = 16


class OpenBuilder:
    """`open`, by the debtor's one-time address."""

    def __init__(self, network: Network) -> None:
        self._target = network.address(CONTRACT)

    async def __call__(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        arguments = cbor.decode(payload)
        if not isinstance(arguments, list):
            raise TypeError("the payload of an open intent is a list")
        payment, commitment, creditor, expiry = arguments
        data = encode_call(CONTRACT, "open", (payment, commitment, "0x" + _bytes(creditor).hex(), expiry))
        return CallSpec(self._target, data, GAS)


class ActBuilder:
    """An act on a payment that is open on chain; waits until the chain has what it needs."""

    def __init__(self, network: Network, kind: str) -> None:
        self._target = network.address(CONTRACT)
        self._kind = kind

    async def __call__(self, conn: AsyncConnection, payload: bytes) -> CallSpec:
        arguments = cbor.decode(payload)
        if not isinstance(arguments, list):
            raise TypeError("the payload of an act is a list")
        payment, data = (_bytes(argument) for argument in arguments)
        facts = (await facts_of(conn, [payment]))[payment]
        if not any(fact.state in _NEEDS[self._kind] for fact in facts):
            raise NotYet
        return CallSpec(self._target, encode_call(CONTRACT, _FUNCTIONS[self._kind], (payment, data)), GAS)


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("bytes are due in a lane's payload")
    return value


def builders(network: Network) -> Builders:
    """The lanes' builders by intent kind."""
    return {OPEN: OpenBuilder(network)} | {kind: ActBuilder(network, kind) for kind in _FUNCTIONS}


def one_time_signers(database: Database, seed: bytes) -> Callable[[Address], Awaitable[Signer]]:
    """The signer of a one-time address: derived again from the seed whenever it is needed, never stored."""

    async def signer_for(address: Address) -> Signer:
        async with database.read() as conn:
            item = await storage.by_own_address(conn, address)
        if item is None:
            raise SignerUnavailable(f"no payment has the address {address}")
        account = one_time_account(seed, item.payment_id)
        if account.address != address:
            raise SignerUnavailable(f"the seed does not give {address}: it is another seed")
        return LocalSigner(account)

    return signer_for


class OutboxWorker:
    """Sends what is due to other banks until they took it. The request id follows from the row, so that a
    repetition after a crash or a lost reply is the same request.
    """

    name = "outbox"

    def __init__(self, office: Office, incoming: Incoming, channels: Channels) -> None:
        self._office = office
        self._incoming = incoming
        self._channels = channels

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds until stopped."""
        while not stop.is_set():
            try:
                await self.step()
            except DBAPIError as error:
                logger().warning("outbox_database", why=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), _POLL_S)
            except TimeoutError:
                continue

    async def step(self) -> None:
        """One round: try everything that is due, side by side."""
        async with self._office.database.read() as conn:
            rows = await outbox.due(conn, self._office.now_ms(), _BATCH)
        await asyncio.gather(*(self._send(row) for row in rows))

    async def _send(self, row: outbox.OutboxRow) -> None:
        async with self._office.database.read() as conn:
            item = await storage.by_id(conn, row.payment_id)
        if item is None:
            raise LookupError("the outbox only speaks of payments of ours")
        stub: Any = rpc.SettlementServiceStub(self._channels.to(item.endpoint))
        request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{row.payment_id.hex()}/{row.kind}"))
        leg = item.terms.leg
        try:
            if row.kind == "deliver":
                request = pb.DeliverPaymentRequest(
                    request_id=request_id, delivery=row.content, signed_statement=row.statement
                )
                reply = await stub.DeliverPayment(request, timeout=CALL_S)
                await self._incoming.acknowledged(row, bytes(reply.acknowledgement))
                return
            report = pb.NotifyStatusRequest(
                request_id=request_id,
                leg=pb.LegId(uetr=leg.uetr, role=pb.LegRole.ValueType(leg.role), hop=leg.hop),
                message=row.content,
                signed_statement=row.statement,
            )
            await stub.NotifyStatus(report, timeout=CALL_S)
            async with self._office.database.write() as conn:
                await outbox.sent(conn, row.id, self._office.now_ms())
        except (grpc.aio.AioRpcError, StatementError) as error:
            await self._later(row, error)

    async def _later(self, row: outbox.OutboxRow, error: grpc.aio.AioRpcError | StatementError) -> None:
        """Try again, more and more slowly. What the other bank refuses is tried too: it may mend its side."""
        why = error.reason if isinstance(error, StatementError) else f"{error.code().name}: {error.details()}"
        pause_s = min(_FIRST_PAUSE_S * 2**row.attempts, _LONGEST_PAUSE_S)
        next_ms = self._office.now_ms() + int(pause_s * 1000)
        logger().warning("outbox_retry", kind=row.kind, why=why, attempts=row.attempts + 1)
        async with self._office.database.write() as conn:
            await outbox.failed(conn, row.id, row.attempts + 1, next_ms, why)
