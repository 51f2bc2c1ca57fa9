"""Leaves of a log, checked on all cores: each with a good signature of the key that it carries."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.audit.workers import Workers
from silkledger.envelope import StatementError
from silkledger.log.index import manifest_records, statement_records
from silkledger.log.tree import leaf_hash
from silkledger.projections.statements import parse_entry
from silkledger.statement import SignedStatement

CHUNK: Final = 250
"""Leaves that one worker takes at once."""


@dataclass(frozen=True, slots=True)
class LeafSays:
    """What a leaf's bytes say, as far as they can be read."""

    hash: bytes
    """RFC 9162 leaf hash."""
    refused: str | None
    """Why it is no statement or manifest of the key it names; None: it is one."""
    records: bytes = b""
    """Relative records of the index, without a manifest's documents; none where it cannot be read."""
    issuer: str = ""
    document_type: str = ""
    manifest: bool = False


@dataclass(frozen=True, slots=True)
class CheckedLeaf:
    """One leaf, and what it says."""

    index: int
    raw: bytes
    says: LeafSays


def check_leaves(raws: Sequence[bytes]) -> list[LeafSays]:
    """In a worker: read each, and check its signature by the key it carries.

    Not a check that the key was the issuer's at registration: that is a verdict's work.
    """
    return [_says(raw) for raw in raws]


def _says(raw: bytes) -> LeafSays:
    digest = leaf_hash(raw)
    try:
        item = parse_entry(raw)
    except StatementError as error:
        return LeafSays(digest, str(error))
    refused = None
    try:
        key = item.carried_key()
        if key is not None:
            item.verify(key)
    except StatementError as error:
        refused = str(error)
    manifest = not isinstance(item, SignedStatement)
    if isinstance(item, SignedStatement):
        records = statement_records(0, item.id, item.digest, item.subject)
    else:
        records = manifest_records(item.id, item.subject, ())
    return LeafSays(digest, refused, records, str(item.issuer), str(item.document_type), manifest)


async def checked(workers: Workers, leaves: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[CheckedLeaf]:
    """The leaves in their order, each checked; at most two chunks per worker are held."""
    under_way: deque[asyncio.Task[list[CheckedLeaf]]] = deque()
    chunk: list[tuple[int, bytes]] = []
    try:
        async for leaf in leaves:
            chunk.append(leaf)
            if len(chunk) == CHUNK:
                under_way.append(asyncio.create_task(_chunk(workers, chunk)))
                chunk = []
            if len(under_way) > 2 * workers.parallel:
                for item in await under_way.popleft():
                    yield item
        if chunk:
            under_way.append(asyncio.create_task(_chunk(workers, chunk)))
        while under_way:
            for item in await under_way.popleft():
                yield item
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _chunk(workers: Workers, chunk: Sequence[tuple[int, bytes]]) -> list[CheckedLeaf]:
    answers = await workers.run(check_leaves, [raw for _, raw in chunk])
    return [CheckedLeaf(index, raw, says) for (index, raw), says in zip(chunk, answers, strict=True)]
