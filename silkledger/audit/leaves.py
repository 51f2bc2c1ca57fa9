"""Leaves of a log, checked on all cores: each with a good signature of the key that it carries."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.audit.workers import Workers
from silkledger.envelope import StatementError
from silkledger.log.tree import leaf_hash
from silkledger.projections.statements import parse_entry

CHUNK: Final = 250
"""Leaves that one worker takes at once."""


@dataclass(frozen=True, slots=True)
class CheckedLeaf:
    """One leaf, and what is wrong with it."""

    index: int
    raw: bytes
    hash: bytes
    """RFC 9162 leaf hash."""
    refused: str | None
    """Why it is no statement or manifest of the key it names; None: it is one."""


def check_leaves(raws: Sequence[bytes]) -> list[tuple[bytes, str | None]]:
    """In a worker: (leaf hash, what is wrong) of each.

    Not a check that the key was the issuer's at registration: that is a verdict's work.
    """
    return [(leaf_hash(raw), _refused(raw)) for raw in raws]


def _refused(raw: bytes) -> str | None:
    try:
        statement = parse_entry(raw)
        key = statement.carried_key()
        if key is not None:
            statement.verify(key)
    except StatementError as error:
        return str(error)
    return None


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
    return [
        CheckedLeaf(index, raw, digest, refused)
        for (index, raw), (digest, refused) in zip(chunk, answers, strict=True)
    ]
