"""The log's audit: the altered leaf is named, missing entries are UNAVAILABLE, and nothing is guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, update

from services.ledger.storage import checkpoint
from silkledger.audit.databases import snapshot
from silkledger.audit.log_database import LogAudit, audit_log
from silkledger.audit.workers import ChainSource, Workers
from silkledger.evm.contracts import Network
from silkledger.evm.engines import ANVIL
from silkledger.keys import Suite, generate
from silkledger.keys.account import Account
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey, sign_checkpoint
from silkledger.log.index import Kind, absolute, hash_key, pages, run_records, statement_records
from silkledger.log.receipt import sign_root
from silkledger.log.tiles import encode_bundle
from silkledger.log.tree import Tree, leaf_hash
from silkledger.projections import log_index, log_tiles
from silkledger.projections.statements import accepted, entry_pack, leaf_run, metadata, packs
from silkledger.runtime.db import Database
from silkledger.statement import parse_statement, sign_statement
from silkledger.values import Address, BlockHash, Did, Digest, DocumentType

_COUNT = 5

SOURCE = ChainSource("http://127.0.0.1:1", ANVIL, Network(7317, BlockHash(bytes(32)), Address(bytes(20)), {}))
"""Never asked: leaves are checked without a node."""


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
    """Three entries that came in one call, two in another; one segment of the index."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    database = await Database.open(url)
    raws = _statements()
    tree = Tree()
    tree.extend(raws)
    records: list[bytes] = []
    async with database.write() as connection:
        for tables in (metadata, log_tiles.metadata, log_index.metadata):
            await connection.run_sync(tables.create_all)
        for call, first, end in ((1, 0, 3), (2, 3, 5)):
            terms = {"accepted_ms": 1, "log_by_ms": 2, "admission_number": 1, "admission_hash": bytes(32)}
            await connection.execute(insert(accepted).values(call=call, width=end - first, **terms))
            (pack,) = packs(call, raws[first:end])
            await connection.execute(
                insert(entry_pack).values(dict(zip(entry_pack.c.keys(), pack, strict=True)))
            )
            run = {"first_leaf": first, "call": call, "first_item": 0, "width": end - first}
            await connection.execute(insert(leaf_run).values(run))
            items = [parse_statement(raw) for raw in raws[first:end]]
            for leaf, item in enumerate(items, first):
                own = statement_records(0, item.id, item.digest, item.subject)
                records += absolute(own, [leaf])
            records += run_records(first, str(items[0].issuer), ["705"])
        hashes = b"".join(leaf_hash(raw) for raw in raws)
        await connection.execute(insert(log_tiles.tile).values(level=0, number=0, hashes=hashes))
        await connection.execute(
            insert(log_index.index_segment).values(segment=1, level=0, first_leaf=0, end_leaf=5)
        )
        for first_record, page in pages(sorted(records)):
            await connection.execute(
                insert(log_index.index_page).values(segment=1, first=first_record, records=page)
            )
    yield database, url, tree
    await database.close()


async def _audit(url: str, anchors: list[tuple[int, bytes]], *log_keys: LogVerifierKey) -> LogAudit:
    workers = Workers(0, SOURCE)
    try:
        async with snapshot("ledger", url) as live:
            return await audit_log("ledger", live, anchors, workers, log_keys or None)
    finally:
        await workers.close()


def _anchors(tree: Tree) -> list[tuple[int, bytes]]:
    return [(2, tree.root(2)), (_COUNT, tree.root(_COUNT))]


async def test_an_untouched_log_is_clean(ledger: tuple[Database, str, Tree]) -> None:
    _, url, tree = ledger
    assert await _audit(url, _anchors(tree)) == LogAudit(_COUNT, 2, (), ())


async def test_an_altered_signature_is_named_by_its_pack(
    ledger: tuple[Database, str, Tree],
) -> None:
    database, url, tree = ledger
    raws = _statements()
    changed = raws[3][:-1] + bytes((raws[3][-1] ^ 1,))
    async with database.write() as connection:
        entries = encode_bundle([changed, raws[4]])
        await connection.execute(update(entry_pack).where(entry_pack.c.call == 2).values(entries=entries))
    result = await _audit(url, _anchors(tree))
    assert _named(result) == {("entry_pack", "call=2, first_item=0", "entries")}


async def test_where_nothing_is_anchored_bytes_and_tile_are_both_named(
    ledger: tuple[Database, str, Tree],
) -> None:
    """Nobody says which of the two was altered: the bytes count, and the tile differs from them."""
    database, url, tree = ledger
    raws = _statements()
    changed = raws[3][:-1] + bytes((raws[3][-1] ^ 1,))
    async with database.write() as connection:
        entries = encode_bundle([changed, raws[4]])
        await connection.execute(update(entry_pack).where(entry_pack.c.call == 2).values(entries=entries))
    assert _named(await _audit(url, [(2, tree.root(2))])) == {
        ("entry", "leaf_index=3", "raw"),
        ("tile", "level=0, number=0", "hashes[3]"),
    }


async def test_entries_and_tile_that_were_altered_together_are_caught_by_the_anchor(
    ledger: tuple[Database, str, Tree],
) -> None:
    database, url, tree = ledger
    raws = _statements()
    changed = raws[3][:-1] + bytes((raws[3][-1] ^ 1,))
    forged = [*raws[:3], changed, raws[4]]
    async with database.write() as connection:
        entries = encode_bundle(forged[3:])
        await connection.execute(update(entry_pack).where(entry_pack.c.call == 2).values(entries=entries))
        hashes = b"".join(leaf_hash(raw) for raw in forged)
        await connection.execute(update(log_tiles.tile).values(hashes=hashes))
    assert _named(await _audit(url, _anchors(tree))) == {
        ("entry", "leaf_index=3", "raw"),
        ("leaf", f"tree size {_COUNT}", "root"),  # the older anchor does not cover it
    }


async def test_an_altered_tile_is_named_alone(ledger: tuple[Database, str, Tree]) -> None:
    database, url, tree = ledger
    async with database.write() as connection:
        hashes = b"".join(leaf_hash(raw) for raw in _statements())
        hashes = hashes[:40] + b"\0" + hashes[41:]
        await connection.execute(update(log_tiles.tile).values(hashes=hashes))
    result = await _audit(url, _anchors(tree))
    assert [(d.table, d.key, d.field) for d in result.differences] == [
        ("tile", "level=0, number=0", "hashes[1]")
    ]


async def test_a_record_that_is_missing_or_altered_is_named(ledger: tuple[Database, str, Tree]) -> None:
    database, url, tree = ledger
    item = parse_statement(_statements()[2])
    key = hash_key(Kind.DIGEST, item.digest)
    async with database.write() as connection:
        (page,) = (await connection.execute(select(log_index.index_page.c.records))).scalars()
        records = bytes(page)
        at = records.index(key)
        forged = records[: at + 15] + b"\7" + records[at + 16 :]
        await connection.execute(update(log_index.index_page).values(records=forged))
    result = await _audit(url, _anchors(tree))
    ((table, place, field),) = _named(result)
    assert (table, field) == ("index_page", "records")
    assert place.startswith("segment=1, first=0x")
    (difference,) = result.differences
    assert difference.replayed == "0x" + (key + bytes(5) + b"\2" + bytes(2)).hex()
    assert difference.found == "0x" + (key + bytes(5) + b"\2" + b"\0\7").hex()


@pytest.mark.parametrize(
    ("table", "where", "field", "value", "key"),
    [
        (leaf_run, leaf_run.c.first_leaf == 3, "call", 9, "first_leaf=3"),
        (leaf_run, leaf_run.c.first_leaf == 3, "first_item", 1, "first_leaf=3"),
        (leaf_run, leaf_run.c.first_leaf == 0, "width", 4, "first_leaf=0"),
        (leaf_run, leaf_run.c.first_leaf == 3, "width", 1, "first_leaf=3"),
        (accepted, accepted.c.call == 1, "width", 2, "call=1"),
        (entry_pack, entry_pack.c.call == 1, "width", 4, "call=1, first_item=0"),
        (entry_pack, entry_pack.c.call == 1, "entries", b"\0\7broken", "call=1, first_item=0"),
        (log_index.index_segment, True, "first_leaf", 1, "segment=1"),
        (log_index.index_segment, True, "end_leaf", 9, "segment=1"),
    ],
)
async def test_an_altered_field_is_named_alone(
    ledger: tuple[Database, str, Tree], table: Table, where: Any, field: str, value: object, key: str
) -> None:
    database, url, tree = ledger
    async with database.write() as connection:
        await connection.execute(update(table).where(where).values({field: value}))
    assert _named(await _audit(url, _anchors(tree))) == {(table.name, key, field)}


@pytest.mark.parametrize("table", [leaf_run, entry_pack, log_index.index_segment, log_tiles.tile])
async def test_rows_that_were_deleted_are_missed(ledger: tuple[Database, str, Tree], table: Table) -> None:
    database, url, tree = ledger
    async with database.write() as connection:
        await connection.execute(delete(table))
    assert (await _audit(url, _anchors(tree))).differences


def _named(result: LogAudit) -> set[tuple[str, str, str]]:
    return {(d.table, d.key, d.field) for d in result.differences}


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


async def test_a_head_by_both_keys_of_a_changing_log_and_its_altered_signatures(
    ledger: tuple[Database, str, Tree],
) -> None:
    database, url, tree = ledger
    old, new, other = (generate(Suite.EDDSA) for _ in range(3))
    keys = [LogVerifierKey.of("log.example/1", key.verifying_key) for key in (old, new)]
    head = Checkpoint("log.example/1", _COUNT, tree.root())
    by_old, by_new, by_other = (
        sign_root(key, origin=head.origin, root=head.root).encode() for key in (old, new, other)
    )
    row = {"tree_size": _COUNT, "root": bytes(head.root), "created_ms": 1}
    async with database.write() as connection:
        await connection.run_sync(checkpoint.create)
        note = sign_checkpoint(head, old, new)
        await connection.execute(
            insert(checkpoint).values(row | {"note": note, "signatures": by_old + by_new})
        )
    assert await _audit(url, _anchors(tree), *keys) == LogAudit(_COUNT, 2, (), ())
    named = {("checkpoint", f"tree_size={_COUNT}", "signatures")}
    altered = by_old + by_new[:-1] + bytes((by_new[-1] ^ 1,))
    for kept in (altered, by_old, by_new + by_old, by_old + by_other, (by_old + by_new)[:-1]):
        async with database.write() as connection:
            await connection.execute(update(checkpoint).values(signatures=kept))
        assert _named(await _audit(url, _anchors(tree), *keys)) == named
    async with database.write() as connection:
        await connection.execute(update(checkpoint).values(signatures=None))
    assert await _audit(url, _anchors(tree), *keys) == LogAudit(_COUNT, 2, (), ())
    note_alone = {("checkpoint", f"tree_size={_COUNT}", "note")}
    assert (
        _named(await _audit(url, _anchors(tree), LogVerifierKey.of(head.origin, other.verifying_key)))
        == note_alone
    )
