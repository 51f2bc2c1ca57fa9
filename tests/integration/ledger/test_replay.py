"""The auditor's replay of a real ledger: clean when untouched, and every altered field is named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import create_async_engine

from silkledger.audit.databases import Databases
from silkledger.audit.replay import Audited, replay_ledger
from silkledger.audit.report import Report
from silkledger.chain.v1 import chain_pb2 as chain
from silkledger.ledger.v1 import ledger_pb2_grpc as rpc
from silkledger.log.checkpoint import LogVerifierKey
from silkledger.log.index import PAGE, RECORD
from silkledger.manifest import parse_manifest
from silkledger.manifest_leaves import leaf_length
from silkledger.projections.statements import manifest_pack, undocumented
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import parse_url
from silkledger.values import BlockHash
from tests.support.anvil import FAST
from tests.support.grpc_clients import channel

from .conftest import Ledger, id_of, reached, register
from .test_manifests import request, signed
from .test_verdicts import relay, revocation

DOCUMENTS = 600
"""Of the one manifest: more than one pack holds."""


@dataclass
class Quiet:
    """A ledger with some of everything in it, stopped, so that its database stays as it is."""

    ledger: Ledger
    audited: Audited
    statements: list[bytes]

    async def replay(
        self,
        databases: tuple[tuple[str, str], ...] | None = None,
        source: Any = None,
        upto: int | None = None,
    ) -> Report:
        named = Databases((("ledger", self.ledger.database_url),) if databases is None else databases)
        return await replay_ledger(
            self.audited, self.ledger.founded.url, named, lambda *_: None, source, upto
        )


async def _live(ledger: Ledger) -> list[bytes]:
    account = ledger.founded.agency
    async with channel(ledger.address, ledger.identity(account, "agency")) as connection:
        stub: Any = rpc.LedgerServiceStub(connection)
        raws = []
        for _ in range(3):
            batch = [ledger.statement(account) for _ in range(4)]
            await stub.RegisterStatements(register(*batch))
            await reached(stub, bytes(id_of(batch[-1])), chain.EVIDENCE_STAGE_FINAL)
            raws += batch
        held = signed(ledger, DOCUMENTS)
        await stub.RegisterManifest(request(held))
        await reached(stub, bytes(held.statement_id), chain.EVIDENCE_STAGE_FINAL)
        raws.append(held.raw)
        call = revocation(ledger, account, bytes(id_of(raws[0])))
        await stub.RelayCall(relay(call))
        asked = chain.GetCallRequest(actor=call.actor, request_id=call.request_id)
        deadline = time.monotonic() + 30
        while (await stub.GetCall(asked)).status.stage != chain.EVIDENCE_STAGE_FINAL:
            assert time.monotonic() < deadline, "the revocation is not final"
            await asyncio.sleep(0.05)
    return raws


@pytest.fixture(scope="module")
def quiet(ledger: Ledger) -> Quiet:
    raws = asyncio.run(_live(ledger))
    ledger.stop()
    key = str(LogVerifierKey.of(ledger.origin, ledger.log_key.verifying_key))
    return Quiet(ledger, Audited(ledger.founded.network, FAST, ledger.origin, key), raws)


async def test_an_untouched_ledger_is_clean_and_gives_the_same_report_again(quiet: Quiet) -> None:
    first = await quiet.replay()
    again = await quiet.replay(upto=first.last.number)
    assert (first.verdict, first.differences, first.unavailable) == ("CLEAN", (), ())
    assert first.entries == len(quiet.statements)
    assert all(total.rows for total in first.totals if total.table in ("anchor", "history", "chain_block"))
    assert again.document() == first.document()


async def test_every_block_with_an_anchor_is_pinned(quiet: Quiet) -> None:
    report = await quiet.replay()
    engine = create_async_engine(parse_url(quiet.ledger.database_url))
    query = text(
        "SELECT DISTINCT b.number, b.hash FROM anchor a JOIN chain_block b ON b.number = a.block_number "
        "WHERE a.origin_id = :log"
    ).bindparams(log=origin_id(quiet.ledger.origin))
    async with engine.connect() as connection:
        anchors = {number: BlockHash(bytes(digest)) for number, digest in await connection.execute(query)}
    await engine.dispose()
    assert len(anchors) >= 3
    assert report.trust_roots.pinned_blocks == {**anchors, report.last.number: report.last.hash}


class Given:
    """Entries from somebody who is no database."""

    name = "given"

    def __init__(self, raws: list[bytes]) -> None:
        self.raws = raws

    async def entries(self, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        for index, raw in enumerate(self.raws[:upto]):
            yield index, raw


async def test_entries_from_elsewhere_are_held_against_the_anchors(quiet: Quiet) -> None:
    raws = quiet.statements
    report = await quiet.replay((), Given(raws))
    assert (report.verdict, report.entries) == ("CLEAN", len(raws))
    cut = await quiet.replay((), Given(raws[:-1]))
    assert cut.verdict == "INCOMPLETE"
    assert cut.unavailable == (
        f"given: the log's entries {len(raws) - 1} to {len(raws) - 1}, which are anchored",
    )
    swapped = await quiet.replay((), Given([raws[1], raws[0], *raws[2:]]))
    assert swapped.verdict == "DIFFERENT"
    assert {(d.table, d.field) for d in swapped.differences} == {("leaf", "root")}
    forged = await quiet.replay((), Given([*raws[:-1], raws[-1][:-1] + bytes([raws[-1][-1] ^ 1])]))
    assert ("entry", f"leaf_index={len(raws) - 1}", "raw") in {
        (d.table, d.key, d.field) for d in forged.differences
    }
    nothing = await quiet.replay(())
    assert nothing.verdict == "INCOMPLETE"


async def test_an_altered_or_missing_document_of_a_manifest_is_named(quiet: Quiet) -> None:
    manifest = parse_manifest(quiet.statements[-1])
    place = f"manifest=0x{bytes(manifest.id).hex()}"
    length = leaf_length(manifest.document_type)
    engine = create_async_engine(parse_url(quiet.ledger.database_url))
    pack = manifest_pack.c
    async with engine.connect() as connection:
        rows = (await connection.execute(select(manifest_pack).order_by(pack.first_document))).all()
    assert [row.width for row in rows] == [512, 88]

    async def found() -> tuple[set[tuple[str, str, str]], tuple[str, ...]]:
        report = await quiet.replay()
        return {(d.table, d.key, d.field) for d in report.differences}, report.unavailable

    async def store(leaves: bytes) -> None:
        async with engine.begin() as connection:
            last = (pack.manifest == bytes(manifest.id)) & (pack.first_document == 512)
            await connection.execute(manifest_pack.update().where(last).values(leaves=leaves))

    good = bytes(rows[1].leaves)
    row = f"{place}, first_document=512"
    # The form and the digest of a leaf tell in which row it is; its salt and the rest of its salted subject
    # only that something is wrong with the whole.
    for at, key in ((0, row), (25, row), (5, place), (length - 1, place)):
        await store(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert await found() == ({("manifest_pack", key, "leaves")}, ())
    await store(good[:-length])
    assert await found() == ({("manifest_pack", row, "leaves")}, ())
    await store(good)
    assert await found() == (set(), ())

    async with engine.begin() as connection:
        await connection.execute(undocumented.insert().values(manifest=bytes(manifest.id)))
    assert await found() == ({("undocumented", place, "(row)")}, ())
    async with engine.begin() as connection:
        await connection.execute(manifest_pack.delete())
    lost, unavailable = await found()
    assert {table for table, _, _ in lost} == {"index_page"}, "the index still has what was there"
    assert len(lost) >= 2 * DOCUMENTS * RECORD // PAGE
    assert unavailable == ("ledger: the documents of 1 manifest(s) of the log",)
    async with engine.begin() as connection:
        await connection.execute(undocumented.delete())
        await connection.execute(manifest_pack.insert(), [dict(row._mapping) for row in rows])
    assert await found() == (set(), ())
    await engine.dispose()
