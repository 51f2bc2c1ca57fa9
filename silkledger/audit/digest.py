"""State digests: two auditors compare a few hashes and find the first block whose rows they have differently.

Pure. The format is docs/formats/replay.md: a digest per block over its projection rows in key order, and a
chain of digests over ranges of blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from silkledger import cbor
from silkledger.values import Address, BlockHash

RANGE: Final = 1_000
"""Blocks of one range: 1 to 1000, 1001 to 2000, and so on. The last one may be shorter."""

FORMAT: Final = "silkledger/replay/v1"

Values = tuple[Any, ...]
"""Values of one row in the order of the table's digested columns."""


@dataclass(frozen=True, slots=True, order=True)
class RangeDigest:
    """State up to and including block `last`: it commits to every earlier range as well."""

    first: int
    last: int
    digest: str
    """0x-hex."""


def block_digest(number: int, rows: Mapping[str, Sequence[Values]]) -> bytes:
    """SHA-256 of CBOR [number, [[table, [row, …]], …]]: tables by name, rows in the order given, which MUST
    be that of their keys. Tables without rows in the block are left out.
    """
    told = [[name, [list(row) for row in rows[name]]] for name in sorted(rows) if rows[name]]
    return hashlib.sha256(cbor.encode([number, told])).digest()


def start_digest(chain_id: int, genesis: BlockHash, directory: Address) -> bytes:
    """What the first range is chained to: the chain, and the contracts whose events count."""
    return hashlib.sha256(cbor.encode([FORMAT, chain_id, bytes(genesis), bytes(directory)])).digest()


def range_digests(start: bytes, blocks: Iterable[tuple[int, bytes]]) -> list[RangeDigest]:
    """The chained digests of (number, block digest) from block 1 on, without gaps.

    Raises:
        ValueError: a block is missing or out of order; a digest with a gap would say nothing.
    """
    found: list[RangeDigest] = []
    previous, first, count = start, 1, 0
    hasher = hashlib.sha256(previous)
    for expected, (number, digest) in enumerate(blocks, 1):
        if number != expected:
            raise ValueError(f"block {expected} has no digest")
        hasher.update(digest)
        count += 1
        if count == RANGE:
            previous = hasher.digest()
            found.append(RangeDigest(first, number, "0x" + previous.hex()))
            hasher, first, count = hashlib.sha256(previous), number + 1, 0
    if count:
        found.append(RangeDigest(first, first + count - 1, "0x" + hasher.hexdigest()))
    return found


def first_difference(ours: Sequence[RangeDigest], theirs: Sequence[RangeDigest]) -> RangeDigest | None:
    """The first of our ranges that the other auditor has differently; None: equal as far as both go.

    A last range that is shorter at one of them is compared with nothing.
    """
    known = {(item.first, item.last): item.digest for item in theirs}
    return next(
        (item for item in ours if known.get((item.first, item.last), item.digest) != item.digest), None
    )
