"""The log's audit: the altered leaf is named, missing entries are UNAVAILABLE, and nothing is guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from silkledger.audit.databases import snapshot
from silkledger.audit.entries import LogAudit, audit_log
from silkledger.audit.workers import ChainSource, Workers
from silkledger.evm.contracts import Network
from silkledger.evm.engines import ANVIL
from silkledger.keys.account import Account
from silkledger.log.tree import Node, Tree
from silkledger.projections.statements import entry, leaf, metadata, search_fields
from silkledger.runtime.db import Database
from silkledger.statement import parse_statement, sign_statement
from silkledger.values import Address, BlockHash, Did, Digest, DocumentType

_COUNT = 5

SOURCE = ChainSource("http://127.0.0.1:1", ANVIL, Network(7317, BlockHash(bytes(32)), Address(bytes(20)), {}))
"""Never asked: leaves are checked without a node."""


class _Written:
    """Keeps every node that the tree writes."""

    def __init__(self) -> None:
        self.nodes: dict[Node, bytes] = {}

    def read(self, nodes: Any) -> list[bytes]:
        return [self.nodes[node] for node in nodes]

    def write(self, node: Node, value: bytes) -> None:
        self.nodes[node] = value


def _statements() -> list[bytes]:
    account = Account.from_secret(b"\x11" * 32)
    issuer = Did.of(7317, account.address)
    return [
        sign_statement(
            account.key,
            issuer=issuer,
            kid=f"{issuer}#controller",
            subject=f"urn:sample:{index}",
            document_type=DocumentType("705"),
            digest=Digest(bytes([index]) * 32),
            content_type="text/plain",
            issued_at=1,
            salt=bytes(16),
        )
        for index in range(_COUNT)
    ]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[tuple[Database, str, Tree]]:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    database = await Database.open(url)
    store = _Written()
    tree = Tree(store)
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text("CREATE TABLE tree_node (level INT, node_index INT, hash BLOB)"))
        for index, raw in enumerate(_statements()):
            tree.append(raw)
            places = {"accepted_ms": 1, "log_by_ms": 2, "admission_number": 1, "admission_hash": bytes(32)}
            fields = search_fields(parse_statement(raw))
            await connection.execute(insert(entry).values(seq=index + 1, **fields, **places))
            await connection.execute(insert(leaf).values(leaf_index=index, seq=index + 1))
        for node, value in store.nodes.items():
            query = text("INSERT INTO tree_node VALUES (:level, :index, :hash)")
            await connection.execute(query, {"level": node.level, "index": node.position, "hash": value})
    yield database, url, tree
    await database.close()


async def _audit(url: str, anchors: list[tuple[int, bytes]]) -> LogAudit:
    workers = Workers(0, SOURCE)
    try:
        async with snapshot("ledger", url) as live:
            return await audit_log("ledger", live, anchors, workers)
    finally:
        await workers.close()


def _anchors(tree: Tree) -> list[tuple[int, bytes]]:
    return [(2, tree.root(2)), (_COUNT, tree.root(_COUNT))]


async def test_an_untouched_log_is_clean(ledger: tuple[Database, str, Tree]) -> None:
    _, url, tree = ledger
    assert await _audit(url, _anchors(tree)) == LogAudit(_COUNT, 2, (), ())


async def test_an_altered_column_is_named_alone(ledger: tuple[Database, str, Tree]) -> None:
    database, url, tree = ledger
    async with database.write() as connection:
        await connection.execute(update(entry).where(entry.c.seq == 3).values(subject="urn:forged"))
    result = await _audit(url, _anchors(tree))
    assert [(d.key, d.field, d.replayed, d.found) for d in result.differences] == [
        ("leaf_index=2", "subject", "urn:sample:2", "urn:forged")
    ]


async def test_an_altered_signature_is_named_with_leaf_node_and_anchor(
    ledger: tuple[Database, str, Tree],
) -> None:
    database, url, tree = ledger
    raw = _statements()[3]
    async with database.write() as connection:
        changed = raw[:-1] + bytes((raw[-1] ^ 1,))
        await connection.execute(update(entry).where(entry.c.seq == 4).values(raw=changed))
    result = await _audit(url, _anchors(tree))
    named = {(d.table, d.key, d.field) for d in result.differences}
    assert ("entry", "leaf_index=3", "raw") in named
    assert ("tree_node", "level=0, node_index=3", "hash") in named
    assert ("leaf", f"tree size {_COUNT}", "root") in named
    assert ("leaf", "tree size 2", "root") not in named  # the older anchor does not cover it


async def test_an_altered_tree_node_is_named_alone(ledger: tuple[Database, str, Tree]) -> None:
    database, url, tree = ledger
    async with database.write() as connection:
        await connection.execute(
            text("UPDATE tree_node SET hash = :hash WHERE level = 1 AND node_index = 0"), {"hash": bytes(32)}
        )
    result = await _audit(url, _anchors(tree))
    assert [(d.table, d.key) for d in result.differences] == [("tree_node", "level=1, node_index=0")]


async def test_a_foreign_root_on_chain_is_a_difference(ledger: tuple[Database, str, Tree]) -> None:
    _, url, _ = ledger
    result = await _audit(url, [(2, b"\x99" * 32)])
    assert [(d.table, d.key, d.field) for d in result.differences] == [("leaf", "tree size 2", "root")]


async def test_anchored_entries_that_are_not_there_are_unavailable(
    ledger: tuple[Database, str, Tree],
) -> None:
    _, url, _ = ledger
    result = await _audit(url, [(_COUNT + 3, bytes(32))])
    assert result.differences == ()
    assert result.unavailable == ("ledger: the log's entries 5 to 7, which are anchored",)
