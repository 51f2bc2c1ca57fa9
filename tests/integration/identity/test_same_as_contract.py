"""The fold says what TrustRegistry.isAuthorisedAt says, on histories that hypothesis makes up.

Every act is really sent, also those that the contract refuses; then all questions are asked of both.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from silkledger.evm.contracts import Network, decode_event, encode_call, view
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.signer import LocalSigner
from silkledger.evm.transactions import Transaction, sign_transaction
from silkledger.keys.account import Account
from silkledger.registry import histories as h
from silkledger.registry.histories import HistoryRecord
from silkledger.registry.identity import identity_state
from silkledger.registry.trust import MappingTrustView, authorised
from silkledger.registry.trust_records import decode_grant
from silkledger.values import Address, CountryCode, Did, DocumentType
from tests.integration.identity.conftest import CN, LA, TH
from tests.support.anvil import FAST, eventually

TYPES = (DocumentType("705"), DocumentType("380"))
COUNTRIES = (CN, TH, LA, CountryCode("ZZ"))
SPAN = 12
"""Effective blocks and questions lie this far around the present block."""

_offsets = st.integers(-SPAN, SPAN)
_parties = st.integers(0, 5)
_act = st.one_of(
    st.tuples(
        st.just("accredit"),
        _parties,
        _parties,
        st.sampled_from(COUNTRIES),
        st.sampled_from(TYPES),
        st.integers(1, 3),
        _offsets,
        st.one_of(st.just(None), _offsets),
        st.one_of(st.just(None), st.integers(0, 5)),
    ),
    st.tuples(st.sampled_from(("suspend", "reinstate", "revoke")), _parties, st.integers(0, 5), _offsets),
    st.tuples(
        st.just("recognise"),
        st.sampled_from(COUNTRIES),
        st.sampled_from(COUNTRIES),
        st.sampled_from(TYPES),
        st.integers(1, 3),
        _offsets,
        st.one_of(st.just(None), _offsets),
    ),
    st.tuples(
        st.just("withdrawRecognition"),
        st.sampled_from(COUNTRIES),
        st.sampled_from(COUNTRIES),
        st.sampled_from(TYPES),
        _offsets,
    ),
)


class EmptyUnlessRecorded(MappingTrustView):
    """All histories of the contract are held, so what is not there was never recorded."""

    def records(self, key: bytes) -> list[HistoryRecord]:
        try:
            return list(super().records(key))
        except h.HistoryMissing:
            return []


@dataclasses.dataclass
class Registry:
    """The contract, the histories its events told, and six parties: three authorities and three issuers."""

    node: JsonRpcNode
    network: Network
    parties: list[Account]
    histories: dict[bytes, list[HistoryRecord]]
    ids: list[bytes]

    async def send(self, contract: str, sender: Account, function: str, args: tuple[object, ...]) -> int:
        """Send; keep what was recorded, or nothing when refused. Returns the block."""
        data = encode_call(contract, function, args)
        nonce = await self.node.nonce(sender.address)
        transaction = Transaction(
            self.network.chain_id, nonce, 0, 1_500_000, self.network.address(contract), data
        )
        tx_hash = await self.node.send_raw((await sign_transaction(LocalSigner(sender), transaction)).raw)
        included = []

        async def in_a_block() -> bool:
            included.append(await self.node.transaction_receipt(tx_hash))
            return included[-1] is not None

        await eventually(in_a_block, f"{function} is in a block")
        found = included[-1]
        assert found is not None
        for log in found.receipt.logs:
            name, event = decode_event(contract, log)
            if name != "HistoryAppended":
                continue
            record = HistoryRecord(found.block_number, event["record"])
            self.histories.setdefault(event["key"], []).append(record)
            assert h.fold_head(self.histories[event["key"]]) == event["head"]
            if function == "accredit":
                self.ids.append(decode_grant(record).id)
        return found.block_number

    async def run(self, act: tuple[Any, ...]) -> None:
        now = await self.node.block_number()

        def block(offset: int | None) -> int:
            return 0 if offset is None else max(now + offset, 1)

        name, *rest = act
        if name == "accredit":
            by, to, country, doc_type, level, start, until, parent = rest
            parent_id = self.ids[parent % len(self.ids)] if parent is not None and self.ids else bytes(32)
            args: tuple[object, ...] = (
                self.parties[to].address,
                country.encode(),
                doc_type.to_bytes8(),
                level,
                block(start),
                block(until),
                parent_id,
                True,
            )
        elif name in ("suspend", "reinstate", "revoke"):
            if not self.ids:
                return
            by, which, effective = rest
            args = (self.ids[which % len(self.ids)], block(effective), 1)
        elif name == "recognise":
            relying, issuing, doc_type, level, start, until = rest
            by = COUNTRIES.index(relying)
            args = (
                relying.encode(),
                issuing.encode(),
                doc_type.to_bytes8(),
                level,
                block(start),
                block(until),
            )
        else:
            relying, issuing, doc_type, effective = rest
            by = COUNTRIES.index(relying)
            args = (relying.encode(), issuing.encode(), doc_type.to_bytes8(), block(effective))
        await self.send("TrustRegistry", self.parties[by], name, args)

    async def compare(self) -> int:
        """Ask both everything; the number of questions answered with yes."""
        now = await self.node.block_number()
        trust = EmptyUnlessRecorded(self.histories)

        async def same(issuer: Address, doc_type: DocumentType, relying: CountryCode, at: int) -> bool:
            args = (issuer, doc_type.to_bytes8(), relying.encode(), at)
            told, chain = await view(self.node, self.network, "TrustRegistry", "isAuthorisedAt", args)
            answer = authorised(trust, Address(issuer), doc_type, relying, at, max(at, now))
            assert (answer.authorised, list(answer.chain)) == (told, list(chain)), answer
            return bool(told)

        questions = [
            same(issuer, doc_type, relying, max(at, 0))
            for issuer in {party.address for party in self.parties}
            for doc_type in TYPES
            for relying in COUNTRIES
            for at in (now - SPAN, now - 3, now - 1, now, now + 2, now + SPAN)
        ]
        return sum(await asyncio.gather(*questions))


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


@pytest.fixture(scope="module")
def world(founded: tuple[str, Network, dict[str, Account]]) -> tuple[str, Network, list[Account]]:
    url, network, authorities = founded
    return url, network, [*(authorities[c] for c in COUNTRIES[:3]), *(Account.generate() for _ in range(3))]


async def _compare(url: str, network: Network, parties: list[Account], acts: list[tuple[Any, ...]]) -> int:
    node = JsonRpcNode(url, FAST)
    try:
        registry = Registry(node, network, parties, await _recorded(node, network), [])
        registry.ids = [
            decode_grant(item).id
            for records in registry.histories.values()
            for item in records
            if h.record_kind(item.record) == 2
        ]
        for act in acts:
            await registry.run(act)
        return await registry.compare()
    finally:
        await node.close()


async def _recorded(node: JsonRpcNode, network: Network) -> dict[bytes, list[HistoryRecord]]:
    """Everything the registry recorded so far, read off the chain."""
    found: dict[bytes, list[HistoryRecord]] = {}
    for block in await node.full_blocks(1, await node.block_number()):
        for receipt in block.receipts:
            for log in receipt.logs:
                if log.address == network.address("TrustRegistry"):
                    name, event = decode_event("TrustRegistry", log)
                    if name == "HistoryAppended":
                        record = HistoryRecord(block.header.number, event["record"])
                        found.setdefault(event["key"], []).append(record)
    return found


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(_act, min_size=4, max_size=10))
def test_the_fold_equals_the_contract(
    world: tuple[str, Network, list[Account]], acts: list[tuple[Any, ...]]
) -> None:
    run(_compare(*world, acts))


def test_a_good_chain_is_good_to_both_and_a_backdated_revocation_ends_it(
    world: tuple[str, Network, list[Account]],
) -> None:
    """So that the comparison above cannot pass by everything being refused."""
    url, network, parties = world
    fresh = [*parties[:3], *(Account.generate() for _ in range(3))]
    good = [
        ("accredit", 0, 3, CN, TYPES[0], 2, -SPAN, None, None),
        ("recognise", TH, CN, TYPES[0], 1, -SPAN, None),
    ]
    before = run(_compare(url, network, fresh, good))
    assert before >= 2


def test_owner_and_keys_equal_the_contract(world: tuple[str, Network, list[Account]]) -> None:
    url, network, _ = world

    async def check() -> None:
        node = JsonRpcNode(url, FAST)
        account, heir = Account.generate(), Account.generate()
        registry = Registry(node, network, [], {}, [])
        purpose = b"veriKey".ljust(32, b"\0")
        delegate = (account.address, purpose, heir.address)
        did, key = Did.of(network.chain_id, account.address), h.identity_key(account.address)

        async def same() -> None:
            now = await node.block_number()
            block = await node.block(now)
            state = identity_state(did, registry.histories.get(key, []), block.header.timestamp, now)
            (owner,) = await view(node, network, "IdentityRegistry", "ownerAt", (account.address, now), now)
            (valid,) = await view(node, network, "IdentityRegistry", "validDelegate", delegate, now)
            (head,) = await view(node, network, "IdentityRegistry", "headOf", (key,), now)
            assert state.owner == owner
            assert valid == any(d.address == heir.address for d in state.delegates.values())
            assert head == h.fold_head(registry.histories.get(key, []))

        identity = "IdentityRegistry"
        await same()
        await registry.send(identity, account, "addDelegate", (*delegate, 10**6))
        await same()
        await registry.send(identity, account, "revokeDelegate", delegate)
        await same()
        await registry.send(identity, account, "addDelegate", (*delegate, 10**6))
        await registry.send(identity, account, "changeOwner", (account.address, heir.address))
        await same()
        await registry.send(identity, heir, "changeOwner", (account.address, Address(bytes(20))))
        await same()
        await node.close()

    run(check())
