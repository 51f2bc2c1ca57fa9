"""Signed calls and histories: from the contracts through the follower into tables, and back to proofs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from silkledger.evidence.state import verify_account, verify_slot
from silkledger.evm.calls import CallInvalid, NotConsumed, SignedCall, call_digest, sign_call, verify_call
from silkledger.evm.contracts import (
    ContractMismatch,
    Network,
    encode_call,
    error_text,
    load_network,
    view,
)
from silkledger.evm.follower import Follower, Projector
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import METADATA
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.projections import calls, histories
from silkledger.projections.calls import CallEvent, CallsProjector, call_events, call_outcome
from silkledger.projections.histories import HistoriesProjector, StoredHistories
from silkledger.registry.histories import fold_head, history_slot, identity_key
from silkledger.runtime.db import Database
from silkledger.values import Address
from tests.support.anvil import FAST, Deployed, eventually

FAR = 2**40
"""A deadline that no test reaches."""


@dataclass
class Reader:
    """A database that follows the chain, and a relay."""

    database: Database
    follower: Follower
    node: JsonRpcNode
    network: Network
    relay: Account
    nonce: int = 0

    async def execute(self, *signed: SignedCall) -> int:
        """Relay calls in one block's time and wait until they are read; returns the last one's block."""
        for call in signed:
            to = self.network.address("SignedCalls")
            transaction = Transaction(7317, self.nonce, 0, call.relay_gas, to, call.calldata())
            sent = await sign_transaction(LocalSigner(self.relay), transaction)
            await self.node.send_raw(sent.raw)
            self.nonce += 1

        async def mined() -> bool:
            return await self.node.transaction_receipt(sent.hash) is not None

        await eventually(mined, "the relayed call is in a block")
        receipt = await self.node.transaction_receipt(sent.hash)
        assert receipt is not None and receipt.receipt.status
        await asyncio.wait_for(self.follower.wait_for(receipt.block_number), 20)
        return receipt.block_number


@pytest.fixture
async def reader(node: JsonRpcNode, deployed: Deployed, database_url: str) -> AsyncIterator[Reader]:
    database = await Database.open(database_url)
    async with database.write() as conn:
        for metadata in (METADATA, histories.METADATA, calls.METADATA):
            await conn.run_sync(metadata.create_all)
    projectors: list[Projector] = [HistoriesProjector(), CallsProjector()]
    follower = Follower(database, node, FAST, deployed.network, projectors)
    stop = asyncio.Event()
    running = asyncio.create_task(follower.run(stop))
    yield Reader(database, follower, node, deployed.network, Account.generate())
    stop.set()
    await running
    await database.close()


def set_attribute(account: Account, network: Network, value: bytes, request_id: bytes) -> SignedCall:
    data = encode_call(
        "IdentityRegistry", "setAttribute", (account.address, b"did/svc/Hub".ljust(32, b"\0"), value, 1000)
    )
    return sign_call(
        account, network, contract="IdentityRegistry", data=data, request_id=request_id, deadline=FAR
    )


async def test_the_digest_is_the_contracts_own(reader: Reader) -> None:
    call = set_attribute(Account.generate(), reader.network, b"https://hub.example", b"\x01" * 32)
    fields = (call.actor, call.target, call.request_id, call.deadline, call.gas, call.data)
    (digest,) = await view(reader.node, reader.network, "SignedCalls", "digestOf", (fields,))
    assert digest == call_digest(reader.network, call)
    verify_call(reader.network, call, now=0)


async def test_outcomes_are_read_and_the_first_one_counts(reader: Reader) -> None:
    account = Account.generate()
    first = set_attribute(account, reader.network, b"https://one.example", b"\x01" * 32)
    other = set_attribute(account, reader.network, b"https://two.example", b"\x01" * 32)
    await reader.execute(first, first, other)
    async with reader.database.read() as conn:
        outcome = await call_outcome(conn, account.address, b"\x01" * 32)
        events = await call_events(conn, account.address, b"\x01" * 32)
        free = await call_outcome(conn, account.address, b"\x02" * 32)
    assert outcome is not None and outcome.event is CallEvent.EXECUTED
    assert outcome.digest == call_digest(reader.network, first)
    assert [event.event for event in events] == [
        CallEvent.EXECUTED,
        CallEvent.DUPLICATE,
        CallEvent.CONFLICT,
    ]
    assert free is None


async def test_a_refusal_is_told_in_words(reader: Reader) -> None:
    account, victim = Account.generate(), Account.generate()
    data = encode_call("IdentityRegistry", "changeOwner", (victim.address, account.address))
    call = sign_call(
        account,
        reader.network,
        contract="IdentityRegistry",
        data=data,
        request_id=b"\x03" * 32,
        deadline=FAR,
    )
    await reader.execute(call)
    async with reader.database.read() as conn:
        outcome = await call_outcome(conn, account.address, b"\x03" * 32)
    assert outcome is not None and outcome.event is CallEvent.REFUSED
    assert outcome.reason_text.startswith("IdentityRegistry: ")


async def test_what_consumes_nothing_is_told_too(reader: Reader) -> None:
    account = Account.generate()
    late = set_attribute(account, reader.network, b"x", b"\x04" * 32)
    expired = sign_call(
        account,
        reader.network,
        contract="IdentityRegistry",
        data=late.data,
        request_id=b"\x05" * 32,
        deadline=1,
    )
    forged = replace(late, signature=Account.generate().sign_digest(call_digest(reader.network, late)))
    await reader.execute(expired, forged)
    async with reader.database.read() as conn:
        assert await call_outcome(conn, account.address, b"\x05" * 32) is None
        (first,) = await call_events(conn, account.address, b"\x05" * 32)
        (second,) = await call_events(conn, account.address, b"\x04" * 32)
    assert (first.why, first.reason_text) == (NotConsumed.EXPIRED, "expired")
    assert second.why is NotConsumed.BAD_SIGNATURE


async def test_what_the_contract_would_refuse_is_seen_before_relaying(reader: Reader) -> None:
    account, network = Account.generate(), reader.network
    call = set_attribute(account, network, b"x", b"\x06" * 32)
    bad = [
        (replace(call, target=network.address("SignedCalls")), NotConsumed.FORBIDDEN_TARGET),
        (replace(call, target=Address(b"\x01" * 20)), NotConsumed.FORBIDDEN_TARGET),
        (replace(call, data=call.data + b"\0"), NotConsumed.BAD_SIGNATURE),
        (replace(call, gas=call.gas + 1), NotConsumed.BAD_SIGNATURE),
        (replace(call, actor=Address(b"\x01" * 20)), NotConsumed.BAD_SIGNATURE),
        (replace(call, signature=bytes(65)), NotConsumed.BAD_SIGNATURE),
    ]
    for wrong, why in bad:
        with pytest.raises(CallInvalid) as refusal:
            verify_call(network, wrong)
        assert refusal.value.why is why
    with pytest.raises(CallInvalid) as late:
        verify_call(network, call, now=FAR + 1)
    assert late.value.why is NotConsumed.EXPIRED
    elsewhere = replace(network, chain_id=1)
    with pytest.raises(CallInvalid):
        verify_call(elsewhere, call)


async def test_stored_histories_fold_to_the_proven_head(reader: Reader) -> None:
    account = Account.generate()
    first_block = await reader.execute(set_attribute(account, reader.network, b"https://one", b"\x07" * 32))
    second = [set_attribute(account, reader.network, b"https://two", bytes([i]) * 32) for i in (8, 9)]
    last_block = await reader.execute(*second)

    key = identity_key(account.address)
    async with reader.database.read() as conn:
        stored = StoredHistories(conn)
        records = await stored.records("IdentityRegistry", key)
        early = await stored.records("IdentityRegistry", key, first_block)
        head = await stored.head("IdentityRegistry", key)
        none = await stored.records("TrustRegistry", key)
    assert len(records) == 3
    assert early == records[:1]
    assert none == []
    assert fold_head(records) == head

    slot = int.from_bytes(history_slot(key), "big")
    registry = reader.network.address("IdentityRegistry")
    proof = await reader.node.get_proof(registry, [slot], last_block)
    header = (await reader.node.block(last_block)).header
    proven = verify_account(header.state_root, registry, proof.account_proof)
    word = verify_slot(proven.storage_root, slot, proof.storage_proofs[slot])
    assert word.to_bytes(32, "big") == head
    assert fold_head(records[:-1]) != head


async def test_a_network_is_found_by_its_directory_alone(node: JsonRpcNode, deployed: Deployed) -> None:
    assert await load_network(node, deployed.network.directory) == deployed.network
    with pytest.raises(ContractMismatch):
        await load_network(node, Address(b"\x01" * 20))
    with pytest.raises(ContractMismatch):
        await load_network(node, deployed.network.address("LogAnchor"))


def test_refusals_that_are_not_ours_are_shown_as_they_are() -> None:
    assert error_text(b"") == "refused without a reason"
    assert error_text(b"\xde\xad\xbe\xef\x01") == "0xdeadbeef01"
