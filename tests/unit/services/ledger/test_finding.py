"""What was logged is found by what it says, however the index is cut into segments."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from services.ledger import storage
from services.ledger.index import lookup, merging
from services.ledger.sequencing.queue import Queue
from services.ledger.storage import Place, Search
from silkledger.projections.log_index import index_segment
from silkledger.runtime.db import Database
from tests.unit.services.ledger.sequenced import (
    DID,
    accept,
    raw,
    sequencer,
)


async def test_every_entry_is_found_by_what_it_says_while_segments_merge(database: Database) -> None:
    queue = Queue(1000)
    worker = sequencer(database, queue, batch=1)
    count = 70
    await accept(database, 0, count - 2, queue)
    for number in range(count - 2, count):
        await accept(database, number, 1, queue)
    for number in range(count, count + 70):
        await accept(database, number, 1, queue)
    while await worker.step():
        await worker._merging.step()
    while await worker._merging.step():
        pass
    total = count + 70
    async with database.read() as connection:
        levels = list((await connection.execute(select(index_segment.c.level))).scalars())
        assert max(levels) == 2
        assert min(levels) >= 0
        assert len(levels) < 16
        found = []
        after = Place()
        while rows := await storage.search_entries(connection, Search(issuer=DID.text), after, 13):
            found += [row.leaf_index for row in rows]
            after = after.after(rows[-1])
        assert found == list(range(total))
        rows = await storage.search_entries(connection, Search(subject="urn:sample:1"), Place(), 1000)
        assert [row.leaf_index for row in rows] == list(range(1, total, 3))
        for number in (0, 67, 68, total - 1):
            wanted = Search(document_digest=number.to_bytes(32, "big"))
            assert [
                row.leaf_index for row in await storage.search_entries(connection, wanted, Place(), 9)
            ] == [number]
        wanted = Search(issuer=DID.text, document_type="380")
        assert await storage.search_entries(connection, wanted, Place(), 9) == []


@pytest.mark.parametrize("bounded", [True, False])
async def test_the_number_of_segments_stays_within_bounds_under_load(
    database: Database, monkeypatch: pytest.MonkeyPatch, bounded: bool
) -> None:
    """Each batch leaves a segment, and merging eight takes many slices: one slice a batch is too few."""
    monkeypatch.setattr(merging, "SLICE_RECORDS", 100)
    queue, count = Queue(1000), 200
    worker = sequencer(database, queue, batch=1)
    for number in range(count):
        await accept(database, number, 1, queue)
    while await worker.step():
        await (worker._merging.round() if bounded else worker._merging.step())
    async with database.read() as connection:
        segments = len((await connection.execute(select(index_segment))).all())
    assert (segments < 5 * merging.MANY_SEGMENTS) == bounded, segments


async def test_entries_are_found_in_any_number_of_segments(database: Database) -> None:
    """As after a load that merging did not keep up with: more segments than one look reads pages."""
    queue, count = Queue(1000), 2 * lookup._PAGES + 10
    worker = sequencer(database, queue, batch=1)
    for number in range(count):
        await accept(database, number, 1, queue)
    while await worker.step():
        pass
    async with database.read() as connection:
        assert len((await connection.execute(select(index_segment))).all()) == count
        for number in (0, lookup._PAGES - 1, lookup._PAGES, count - 1):
            wanted = Search(document_digest=number.to_bytes(32, "big"))
            rows = await storage.search_entries(connection, wanted, Place(), 9)
            assert [row.leaf_index for row in rows] == [number]
        rows = await storage.search_entries(connection, Search(subject="urn:sample:1"), Place(), 1000)
        assert [row.leaf_index for row in rows] == list(range(1, count, 3))
        absent = Search(document_digest=count.to_bytes(32, "big"))
        assert await storage.search_entries(connection, absent, Place(), 9) == []


async def test_a_listing_goes_on_over_entries_that_are_logged_meanwhile(database: Database) -> None:
    queue = Queue(1000)
    worker = sequencer(database, queue)
    await accept(database, 0, 4, queue)
    await worker.step()
    await accept(database, 4, 3, queue)
    await accept(database, 7, 2, queue)
    found: list[bytes] = []
    after = Place()
    wanted = Search(issuer=DID.text)
    for page in range(5):
        async with database.read() as connection:
            for row in await storage.search_entries(connection, wanted, after, 2):
                found.append(row.raw)
                after = after.after(row)
        if page == 2:  # six are told, two of which waited
            await worker.step()
    assert found == [raw(number) for number in range(9)]
