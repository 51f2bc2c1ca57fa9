"""What there is after all the deaths, counted in the log and on the chain, not in the service's own words."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.evm.contracts import ContractEvent, events_of
from silkledger.evm.lane_types import State
from silkledger.evm.node import JsonRpcNode
from silkledger.evm.tables import ATTEMPT, INTENT
from silkledger.evm.transactions import SignedTransaction, decode_signed
from silkledger.keys.account import Account
from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.log.checkpoint import LogVerifierKey, verify_note
from silkledger.log.promise import verify_promise
from silkledger.log.tree import Tree
from silkledger.manifest import is_manifest, parse_manifest
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import parse_url
from silkledger.statement import parse_statement
from silkledger.values import StatementId
from tests.support.anvil import FAST, eventually

from ..conftest import Ledger, reached
from .load import Holder
from .papers import registered

PAGE = 1000
SAMPLE = 400
END_S = 60.0
"""For whatever was under way at the last death."""


async def entries(stub: Any) -> list[bytes]:
    """Every leaf, in order, as an auditor reads them."""
    found: list[bytes] = []
    while True:
        page = await stub.ListEntries(pb.ListEntriesRequest(start=len(found), page_size=PAGE))
        assert [item.leaf_index for item in page.entries] == list(
            range(len(found), len(found) + len(page.entries))
        )
        found += [item.leaf for item in page.entries]
        if len(found) >= page.tree_size:
            return found


async def all_final(holder: Holder) -> list[bytes]:
    """Wait until everything that was accepted is logged, anchored, executed and final; the log's leaves.

    Raises: AssertionError: it does not come to its end.
    """
    await asyncio.wait_for(holder.look_until_logged(), END_S)
    leaves = await entries(holder.victim.stub)
    await reached(holder.victim.stub, bytes(entry_id(leaves[-1])), chain.EVIDENCE_STAGE_FINAL)
    await eventually(lambda: _nothing_open(holder.victim.service), "wedged: an intent stays open", END_S, 0.1)
    return leaves


async def check_found(holder: Holder) -> int:
    """Documents are found by their digests, each under one entry; a sample of all. Returns its size."""
    asked = {digest: key for filing in holder.filings.values() for digest, key in filing.digests.items()}
    for digest in holder.rng.sample(sorted(asked), min(SAMPLE, len(asked))):
        request = pb.ListStatementsRequest(document_digest=digest)
        found = (await holder.until_ok("ListStatements", request)).statements
        assert [(item.statement_id, item.document_digest) for item in found] == [(asked[digest], digest)]
    return min(SAMPLE, len(asked))


async def _nothing_open(service: Ledger) -> bool:
    engine = create_async_engine(parse_url(service.database_url))
    ended = [State.FINAL.value, State.REFUSED.value]
    async with engine.connect() as connection:
        found = (await connection.execute(select(INTENT.c.id).where(INTENT.c.state.not_in(ended)))).first()
    await engine.dispose()
    return found is None


def entry_id(leaf: bytes) -> StatementId:
    """Of a statement or a manifest."""
    return parse_manifest(leaf).id if is_manifest(leaf) else parse_statement(leaf).id


def check_log(holder: Holder, leaves: list[bytes], vkey: LogVerifierKey) -> Tree:
    """0 lost, 0 duplicated, every promise kept, every checkpoint a state of this log. Returns its tree."""
    logged = Counter(bytes(entry_id(leaf)) for leaf in leaves)
    promised = {
        bytes(one) for promise in holder.promises for one in verify_promise(promise, vkey).statement_ids
    }
    assert promised - logged.keys() == set(), "lost"
    assert logged.keys() == promised, "logged, and nobody was promised it"
    assert set(logged.values()) == {1}, "twice"
    assert leaves == [holder.statements[bytes(entry_id(leaf))] for leaf in leaves], "other bytes"
    tree = Tree()
    tree.extend(leaves)
    for note in holder.checkpoints:
        checkpoint = verify_note(note, vkey)
        assert tree.root(checkpoint.size) == checkpoint.root, f"forked at {checkpoint.size}"
    return tree


def check_answers(holder: Holder, leaves: list[bytes], vkey: LogVerifierKey) -> None:
    """Each statement was called new in one call, and every promise was kept by its time, as far as the
    holder's own looks at the log can tell.
    """
    fresh = Counter(key for answer in holder.answers.values() for key in registered(answer))
    place = {bytes(entry_id(leaf)): index for index, leaf in enumerate(leaves)}
    assert set(fresh) == set(place), "a statement was called new in none of its calls"
    assert set(fresh.values()) == {1}, "a statement was called new in two calls"
    looks = sorted((verify_note(note, vkey).size, seen_ms) for note, seen_ms in holder.checkpoints.items())
    sizes = [size for size, _ in looks]
    for raw in holder.promises:
        promise = verify_promise(raw, vkey)
        covering = bisect_right(sizes, max(place[bytes(one)] for one in promise.statement_ids))
        assert looks[covering][1] <= promise.log_by_ms, "a promise was kept too late"


@dataclass(frozen=True)
class OnChain:
    """One account's transactions in order of their nonces, and what our contracts said in them."""

    transactions: list[SignedTransaction]
    failed: int
    events: list[ContractEvent]

    def named(self, name: str) -> list[ContractEvent]:
        return [event for event in self.events if event.name == name]


async def on_chain(service: Ledger) -> OnChain:
    """Of the service's lane, read off the node's blocks."""
    node = JsonRpcNode(service.founded.url, FAST)
    signer = Account.load(service.directory / "lane.pem").address
    sent: list[SignedTransaction] = []
    events: list[ContractEvent] = []
    failed, newest = 0, await node.block_number()
    for first in range(1, newest + 1, FAST.log_range):
        for block in await node.full_blocks(first, min(first + FAST.log_range - 1, newest)):
            logs = [receipt.logs for receipt in block.receipts]
            events += events_of(service.founded.network, block.header.number, block.tx_hashes, logs)
            assert block.transactions is not None
            for raw, receipt in zip(block.transactions, block.receipts, strict=True):
                signed = decode_signed(raw)
                if signed.sender == signer:
                    sent.append(signed)
                    failed += not receipt.status
    await node.close()
    ours = {signed.hash for signed in sent}
    sent.sort(key=lambda signed: signed.transaction.nonce)
    return OnChain(sent, failed, [event for event in events if event.tx_hash in ours])


async def check_lane(service: Ledger, found: OnChain) -> int:
    """No intent has two transactions, no nonce is missing, nothing waits.

    Returns how many of the transactions the database does not know: only an older one lacks any.
    """
    engine = create_async_engine(parse_url(service.database_url))
    async with engine.connect() as connection:
        attempts = (await connection.execute(select(ATTEMPT.c.tx_hash, ATTEMPT.c.intent_id))).all()
        intents = (await connection.execute(select(INTENT.c.id, INTENT.c.state, INTENT.c.reason))).all()
    await engine.dispose()
    intent_of = {bytes(row.tx_hash): row.intent_id for row in attempts}
    known = [intent_of[bytes(one.hash)] for one in found.transactions if bytes(one.hash) in intent_of]
    executed = Counter(known)
    assert set(executed.values()) == {1}, "an intent was executed twice"
    nonces = [one.transaction.nonce for one in found.transactions]
    assert nonces == list(range(len(nonces))), "a nonce is missing"
    assert found.failed == 0, "a transaction failed on chain"
    states = {row.id: (row.state, row.reason) for row in intents}
    assert {states[number][0] for number in executed} == {State.FINAL}, "on chain, and not FINAL here"
    others = {states[number] for number in states.keys() - executed.keys()}
    assert {state for state, _ in others} <= {State.REFUSED}, f"wedged: {others}"
    return len(found.transactions) - len(known)


def check_anchors(service: Ledger, found: OnChain, tree: Tree) -> int:
    """One transaction an anchor, each larger, each a state of the log, the last one of all of it."""
    identifier = origin_id(service.origin)
    assert len(found.named("OriginRegistered")) == 1
    assert found.named("AnchorRefused") == []
    anchors = [event.args for event in found.named("Anchored")]
    assert {bytes(args["originId"]) for args in anchors} == {identifier}
    sizes = [args["size"] for args in anchors]
    assert sizes == sorted(set(sizes))
    assert all(bytes(args["root"]) == bytes(tree.root(args["size"])) for args in anchors)
    assert sizes[-1] == tree.size, "the log is not anchored up to its end"
    return len(anchors)


def check_relayed(found: OnChain, holder: Holder) -> int:
    """Each relayed call was executed once; the contract never met one a second time."""
    executed = Counter(bytes(event.args["requestId"]) for event in found.named("Executed"))
    assert executed == Counter(holder.relayed)
    assert all(found.named(name) == [] for name in ("Duplicate", "Conflict", "NotConsumed", "Refused"))
    return len(executed)
