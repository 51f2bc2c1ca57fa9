"""The log: its tree computed again from its entries, and compared with every anchored root.

1. every leaf's bytes are a signed statement that carries a good signature of the key it names;
2. what the database says about the leaf is what its bytes say;
3. the stored tree is the tree of those bytes;
4. every anchored root of this log is the root of the tree at that size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import shown
from silkledger.audit.leaves import CheckedLeaf, checked
from silkledger.audit.report import Difference
from silkledger.audit.workers import Workers
from silkledger.evidence.keccak import keccak256
from silkledger.log.tree import MemoryStore, Node, Tree
from silkledger.projections.anchors import anchor
from silkledger.projections.statements import StatementRow, differing_fields, row_of, stored_rows


@dataclass(frozen=True, slots=True)
class LogAudit:
    """What was found about one log."""

    entries: int
    anchors: int
    differences: tuple[Difference, ...]
    unavailable: tuple[str, ...]


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


async def audit_log(
    database: str, live: AsyncConnection, anchors: Sequence[tuple[int, bytes]], workers: Workers
) -> LogAudit:
    """Steps (1) to (4) on the ledger's database."""
    nodes = MemoryStore()
    tree = Tree(nodes)
    differences: list[Difference] = []
    stored: deque[StatementRow] = deque()

    async def leaves() -> AsyncIterator[tuple[int, bytes]]:
        async for row, raw in stored_rows(live):
            stored.append(row)
            yield row.leaf_index, raw

    async for item in checked(workers, leaves()):
        row = stored.popleft()
        if item.index != tree.size:
            differences.append(_leaf(database, tree.size, "(row)", "present", "missing"))
            break
        differences += _check_entry(database, row, item)  # (1) (2)
        tree.append_hash(item.hash)
    differences += await _check_nodes(database, live, nodes, tree.size)  # (3)
    unavailable = _check_anchors(database, tree, anchors, differences)  # (4)
    return LogAudit(tree.size, len(anchors), tuple(differences), tuple(unavailable))


async def audit_source(
    source: EntriesSource, anchors: Sequence[tuple[int, bytes]], workers: Workers
) -> LogAudit:
    """Steps (1) and (4) on a log's entries as the log or a mirror gives them, up to the last anchored one."""
    tree = Tree(MemoryStore())
    differences: list[Difference] = []
    unavailable = []
    wanted = anchors[-1][0] if anchors else 0
    try:
        async for item in checked(workers, source.entries(wanted)):
            if item.index != tree.size or item.index >= wanted:
                break
            differences += _check_statement(source.name, item)  # (1)
            tree.append_hash(item.hash)
    except EntriesUnavailable as error:
        unavailable.append(f"{source.name}: {error}")
    unavailable += _check_anchors(source.name, tree, anchors, differences)  # (4)
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
    if item.refused is None:
        return []
    return [_leaf(database, item.index, "raw", "a signed statement", item.refused)]


def _check_entry(database: str, stored: StatementRow, item: CheckedLeaf) -> list[Difference]:
    if bad := _check_statement(database, item):
        return bad
    computed = row_of(item.index, item.raw)
    return [
        _leaf(database, item.index, name, shown(getattr(computed, name)), shown(getattr(stored, name)))
        for name in differing_fields(stored, computed)
    ]


async def _check_nodes(
    database: str, live: AsyncConnection, nodes: MemoryStore, size: int
) -> list[Difference]:
    """Level 0 names the very leaf whose bytes were altered; higher levels are checked likewise."""
    differences = []
    query = text("SELECT level, node_index, hash FROM tree_node ORDER BY level, node_index")
    for level, index, stored in await live.execute(query):
        if (index + 1) << level > size:
            continue
        (computed,) = nodes.read([Node(level, index)])
        if computed != bytes(stored):
            key = f"level={level}, node_index={index}"
            differences.append(
                Difference(database, "tree_node", key, "hash", shown(computed), shown(bytes(stored)))
            )
    return differences
