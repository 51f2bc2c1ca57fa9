"""The log as itself or a mirror gives it: its tree computed again, and held against every anchored root.

1. every leaf's bytes are a signed statement or manifest that carries a good signature of the key it names;
2. every anchored root of this log is the root of the tree at that size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import shown
from silkledger.audit.leaves import CheckedLeaf, checked
from silkledger.audit.log_database import LogAudit
from silkledger.audit.report import Difference
from silkledger.audit.workers import Workers
from silkledger.evidence.keccak import keccak256
from silkledger.log.tree import MemoryStore, Tree
from silkledger.projections.anchors import anchor


class EntriesUnavailable(RuntimeError):
    """A source cannot give the log's entries. The message says why."""


class EntriesSource(Protocol):
    """Where a log's entries are read that is no database: the log itself, or a mirror."""

    @property
    def name(self) -> str: ...

    def entries(self, upto: int) -> AsyncIterator[tuple[int, bytes]]:
        """(leaf index, leaf) from 0 to `upto`, not included; fewer if it has fewer. Raises:
        EntriesUnavailable.
        """
        ...


async def anchors_of(replayed: AsyncConnection, origin: str, upto_block: int) -> list[tuple[int, bytes]]:
    """(size, root) of every anchor of the log, as the chain tells them."""
    query = (
        anchor.select()
        .where(anchor.c.origin_id == keccak256(origin.encode()), anchor.c.block_number <= upto_block)
        .order_by(anchor.c.size)
    )
    return [(row.size, bytes(row.root)) for row in await replayed.execute(query)]


async def audit_source(
    source: EntriesSource, anchors: Sequence[tuple[int, bytes]], workers: Workers
) -> LogAudit:
    """Steps (1) and (2) on a log's entries as the log or a mirror gives them, up to the last anchored one."""
    tree = Tree(MemoryStore())
    differences: list[Difference] = []
    unavailable = []
    wanted = anchors[-1][0] if anchors else 0
    try:
        async for item in checked(workers, source.entries(wanted)):
            if item.index != tree.size or item.index >= wanted:
                break
            differences += _check_statement(source.name, item)  # (1)
            tree.append_hash(item.says.hash)
    except EntriesUnavailable as error:
        unavailable.append(f"{source.name}: {error}")
    unavailable += _check_anchors(source.name, tree, anchors, differences)  # (2)
    return LogAudit(tree.size, len(anchors), tuple(differences), tuple(unavailable))


def _check_anchors(
    database: str, tree: Tree, anchors: Sequence[tuple[int, bytes]], differences: list[Difference]
) -> list[str]:
    """Adds the differences; what is UNAVAILABLE."""
    missing = [size for size, _ in anchors if size > tree.size]
    for size, root in anchors:
        if size <= tree.size and tree.root(size) != root:
            found = f"the entries have root {shown(tree.root(size))}"
            differences.append(
                Difference(database, "leaf", f"tree size {size}", "root", f"anchored {shown(root)}", found)
            )
    if not missing:
        return []
    return [f"{database}: the log's entries {tree.size} to {max(missing) - 1}, which are anchored"]


def _leaf(database: str, index: int, field: str, replayed: str, found: str) -> Difference:
    return Difference(database, "entry", f"leaf_index={index}", field, replayed, found)


def _check_statement(database: str, item: CheckedLeaf) -> list[Difference]:
    if item.says.refused is None:
        return []
    return [_leaf(database, item.index, "raw", "a signed statement or manifest", item.says.refused)]
