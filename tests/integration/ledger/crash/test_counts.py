"""The matrix counts what it says it counts: each kind of harm, done by hand, is found."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.evm.contracts import ContractEvent
from silkledger.evm.signer import LocalSigner
from silkledger.evm.tables import ATTEMPT, INTENT, METADATA
from silkledger.evm.transactions import SignedTransaction, Transaction, sign_transaction
from silkledger.keys import PrivateKey, Suite, generate
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.log.promise import make_promise
from silkledger.log.tree import Tree
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import parse_url
from silkledger.statement import sign_statement
from silkledger.values import Address, Did, Digest, DocumentType, StatementId, TxHash

from ..conftest import Ledger, id_of
from .counts import OnChain, check_anchors, check_answers, check_lane, check_log, check_relayed
from .load import Holder

ORIGIN = "silkledger.example/counted"
CALLS = 4
WITHIN_MS = 1_000


@dataclass
class World:
    """A log as it should be: one statement a call, one checkpoint a statement."""

    key: PrivateKey
    holder: Holder
    leaves: list[bytes]

    @property
    def vkey(self) -> LogVerifierKey:
        return LogVerifierKey.of(ORIGIN, self.key.verifying_key)

    def check(self) -> Tree:
        tree = check_log(self.holder, self.leaves, self.vkey)
        check_answers(self.holder, self.leaves, self.vkey)
        return tree


@pytest.fixture
def world() -> World:
    made = World(generate(Suite.EDDSA), Holder(cast(Any, None), Random(0)), [])
    account, now_ms = Account.generate(), time.time_ns() // 1_000_000
    did, tree = Did.of(31_337, account.address), Tree()
    for call in range(CALLS):
        raw = sign_statement(
            account.key,
            issuer=did,
            kid=f"{did}#controller",
            subject=f"urn:sample:bl:{call}",
            document_type=DocumentType("705"),
            digest=Digest(bytes([call]) * 32),
            content_type="application/json",
            issued_at=now_ms // 1000,
            salt=bytes([call]) * 16,
        )
        statement_id, request_id = StatementId(bytes(id_of(raw))), str(uuid.uuid4())
        promise = make_promise(
            made.key,
            origin=ORIGIN,
            statement_ids=[statement_id],
            accepted_at_ms=now_ms,
            log_by_ms=now_ms + WITHIN_MS,
            organisation=did,
            request_id=request_id,
        )
        made.leaves.append(raw)
        made.holder.statements[bytes(statement_id)] = raw
        made.holder.promises.add(promise)
        made.holder.answers[request_id] = pb.RegisterStatementsResponse(
            statements=[pb.RegisteredStatement(statement_id=bytes(statement_id))], promise=promise
        )
        tree.append(raw)
        note = sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), made.key)
        made.holder.checkpoints[note] = now_ms + 1
    return made


def _swap(world: World) -> None:
    world.leaves[1:3] = world.leaves[2:0:-1]


def _see_late(world: World) -> None:
    newest = list(world.holder.checkpoints)[-1]
    world.holder.checkpoints[newest] += WITHIN_MS


def _call_new_twice(world: World) -> None:
    world.holder.answers["another"] = next(iter(world.holder.answers.values()))


def test_a_log_as_it_should_be_passes(world: World) -> None:
    assert world.check().size == CALLS


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda world: world.leaves.pop(), "lost"),
        (lambda world: world.leaves.append(world.leaves[0]), "twice"),
        (lambda world: world.holder.promises.pop(), "nobody was promised it"),
        (_call_new_twice, "called new in two calls"),
        (_swap, "forked at"),
        (_see_late, "kept too late"),
    ],
)
def test_each_harm_to_the_log_is_found(world: World, harm: Callable[[World], None], told: str) -> None:
    harm(world)
    with pytest.raises(AssertionError, match=told):
        world.check()


async def _transactions(account: Account, nonces: list[int]) -> list[SignedTransaction]:
    target = Address(b"\x77" * 20)
    return [
        await sign_transaction(LocalSigner(account), Transaction(31_337, nonce, 0, 60_000, target, b""))
        for nonce in nonces
    ]


async def _lane(url: str, sent: list[SignedTransaction], states: dict[int, str], of: list[int]) -> Ledger:
    """A service's lane tables: intents with these states, and transaction i an attempt of intent of[i]."""
    engine = create_async_engine(parse_url(url))
    common = {"chain_id": 31_337, "signer": bytes(20), "created_ms": 0}
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        for number, state in states.items():
            row = {"id": number, "kind": "note", "unique_key": str(number), "payload": b"", "state": state}
            await connection.execute(insert(INTENT).values(**row, **common))
        for one, intent in zip(sent, of, strict=True):
            row = {
                "intent_id": intent,
                "nonce": one.transaction.nonce,
                "gas_price": bytes(32),
                "raw": one.raw,
            }
            row |= {"tx_hash": bytes(one.hash), "state": "FINAL", "sends": 1}
            await connection.execute(insert(ATTEMPT).values(**row, **common))
    await engine.dispose()

    class _Service:
        database_url = url

    return cast(Ledger, _Service())


@pytest.mark.parametrize(
    ("nonces", "of", "states", "failed", "told"),
    [
        ([0, 1], [1, 2], {1: "FINAL", 2: "FINAL", 3: "REFUSED"}, 0, None),
        ([0, 1], [1, 1], {1: "FINAL"}, 0, "executed twice"),
        ([0, 2], [1, 2], {1: "FINAL", 2: "FINAL"}, 0, "nonce is missing"),
        ([0, 1], [1, 2], {1: "FINAL", 2: "FINAL", 3: "QUEUED"}, 0, "wedged"),
        ([0, 1], [1, 2], {1: "FINAL", 2: "INCLUDED"}, 0, "not FINAL here"),
        ([0, 1], [1, 2], {1: "FINAL", 2: "FINAL"}, 1, "failed on chain"),
    ],
)
async def test_each_harm_to_the_lane_is_found(
    tmp_path: Path, nonces: list[int], of: list[int], states: dict[int, str], failed: int, told: str | None
) -> None:
    sent = await _transactions(Account.generate(), nonces)
    service = await _lane(f"sqlite:///{tmp_path}/lane.sqlite", sent, states, of)
    if told is None:
        assert await check_lane(service, OnChain(sent, failed, [])) == 0
        return
    with pytest.raises(AssertionError, match=told):
        await check_lane(service, OnChain(sent, failed, []))


async def test_a_transaction_that_the_lane_does_not_know_is_found(tmp_path: Path) -> None:
    known, stranger = await _transactions(Account.generate(), [0, 1])
    service = await _lane(f"sqlite:///{tmp_path}/lane.sqlite", [known], {1: "FINAL"}, [1])
    assert await check_lane(service, OnChain([known, stranger], 0, [])) == 1


def _event(name: str, **args: Any) -> ContractEvent:
    return ContractEvent("any", name, args, Address(bytes(20)), 1, 0, 0, TxHash(bytes(32)))


def test_each_harm_to_anchors_and_relayed_calls_is_found(world: World) -> None:
    tree, identifier = world.check(), origin_id(ORIGIN)

    class _Service:
        origin = ORIGIN

    def anchored(size: int, root_of: int) -> ContractEvent:
        return _event("Anchored", originId=identifier, size=size, root=bytes(tree.root(root_of)))

    good = OnChain([], 0, [_event("OriginRegistered"), anchored(2, 2), anchored(CALLS, CALLS)])
    service = cast(Ledger, _Service())
    assert check_anchors(service, good, tree) == 2
    for events in (
        [*good.events, _event("AnchorRefused")],
        [*good.events, anchored(CALLS, CALLS)],
        good.events[:-1],
        [*good.events[:-1], anchored(CALLS, 2)],
        good.events[1:],
    ):
        with pytest.raises(AssertionError):
            check_anchors(service, replace(good, events=events), tree)

    world.holder.relayed.add(b"one")
    executed = _event("Executed", requestId=b"one")
    assert check_relayed(OnChain([], 0, [executed]), world.holder) == 1
    for events in ([], [executed, executed], [executed, _event("Duplicate")]):
        with pytest.raises(AssertionError):
            check_relayed(OnChain([], 0, events), world.holder)
