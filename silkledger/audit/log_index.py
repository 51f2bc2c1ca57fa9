"""The log's index: every record made again from the entries and their runs, and compared with the pages."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.documents import Manifests
from silkledger.audit.report import Difference
from silkledger.envelope import StatementError
from silkledger.log.index import (
    KEY,
    RECORD,
    Kind,
    absolute,
    manifest_records,
    run_records,
    split,
    statement_records,
    unpack,
)
from silkledger.projections.log_index import index_page, index_segment
from silkledger.projections.statements import (
    Run,
    entries_of,
    parse_entry,
    runs_from,
)
from silkledger.statement import SignedStatement


async def check_index(
    database: str, live: AsyncConnection, size: int, manifests: Manifests
) -> list[Difference]:
    """Records that are missing, and records that should not be there, each by what it says.

    Those of documents whose leaves are damaged are passed over: the damage is told by `manifests`.
    """
    expected: Counter[bytes] = Counter()
    leaf = 0
    while leaf < size and (runs := await runs_from(live, leaf)):
        for run in runs:
            expected.update(await _records(live, run, manifests))
            leaf = run.end_leaf
    stored: Counter[bytes] = Counter()
    readable = select(index_segment.c.segment).where(index_segment.c.level >= 0)
    query = select(index_page.c.records).where(index_page.c.segment.in_(readable))
    for (page,) in await live.execute(query):
        stored.update(record for record in split(bytes(page)) if not manifests.is_damaged(record))
    missing, surplus = expected - stored, stored - expected
    return [_difference(database, record, "present", "missing") for record in sorted(missing)] + [
        _difference(database, record, "absent", "present") for record in sorted(surplus)
    ]


def _difference(database: str, record: bytes, replayed: str, found: str) -> Difference:
    if len(record) != RECORD or record[KEY - 1] not in list(Kind):
        return Difference(database, "index_page", f"record 0x{record.hex()}", "records", replayed, found)
    place, kind = unpack(record[KEY:]), Kind(record[KEY - 1])
    key = f"leaf_index={place.leaf}, document={place.document}, key=0x{record[:KEY].hex()}"
    return Difference(database, "index_page", key, kind.name.lower(), replayed, found)


async def _records(live: AsyncConnection, run: Run, manifests: Manifests) -> list[bytes]:
    """The records of a run: of each entry, and of the run itself. An entry that cannot be read has none."""
    found: list[bytes] = []
    types, issuer = set(), ""
    entries = await entries_of(live, run.call, run.first_item, run.first_item + run.width)
    for leaf, raw in enumerate(entries, run.first_leaf):
        try:
            item = parse_entry(raw)
        except StatementError:
            continue
        types.add(str(item.document_type))
        issuer = item.issuer.text
        if isinstance(item, SignedStatement):
            relative = statement_records(0, item.id, item.digest, item.subject)
        else:
            documents = await manifests.documents(item, leaf)
            relative = manifest_records(item.id, item.subject, documents)
        found += absolute(relative, [leaf])
    return found + (run_records(run.first_leaf, issuer, types) if issuer else [])
