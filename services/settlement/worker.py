"""How the lanes turn acts into transactions. The other workers: `peers.postman`, `payments.expiry`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.settlement import storage
from services.settlement.domain import ChainState, one_time_account
from services.settlement.payments.office import ACCEPT, CONFIRM, EXPIRE, OPEN, REJECT, REPORT
from silkledger import cbor
from silkledger.evm.contracts import Network, encode_call
from silkledger.evm.lane_types import Builders, CallSpec, NothingToDo, NotYet
from silkledger.evm.signer import LocalSigner, Signer, SignerUnavailable
from silkledger.projections import chain
from silkledger.projections.settlements import CONTRACT, facts_of
from silkledger.runtime.db import Database
from silkledger.values import Address

GAS: Final = 400_000
"""Limit for any act on SettlementLedger; the dearest (open, three fresh slots) takes about half."""

_FUNCTIONS: Final = {
    ACCEPT: "accept",
    REJECT: "reject",
    REPORT: "reportSettled",
    CONFIRM: "confirmSettled",
    EXPIRE: "expire",
}

_NEEDS: Final = {
    ACCEPT: {ChainState.OPEN},
    REJECT: {ChainState.OPEN},
    REPORT: {ChainState.ACCEPTED},
    CONFIRM: {ChainState.ACCEPTED},
    EXPIRE: {ChainState.OPEN},
}
"""What must be on chain before an act: sent earlier, the contract would refuse it."""

_ENDED: Final = {ChainState.REJECTED, ChainState.CANCELLED, ChainState.EXPIRED}
"""After these the contract refuses every act."""


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
        position = await chain.position(conn)
        final = position.final.number if position.final else 0
        if any(fact.state in _ENDED and fact.block_number <= final for fact in facts):
            raise NothingToDo("the payment has ended on chain")
        if not any(fact.state in _NEEDS[self._kind] for fact in facts):
            raise NotYet
        call = (payment,) if self._kind == EXPIRE else (payment, data)
        return CallSpec(self._target, encode_call(CONTRACT, _FUNCTIONS[self._kind], call), GAS)


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
