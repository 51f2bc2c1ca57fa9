"""The log: its tree computed again from its entries, and compared with every anchored root.

1. every leaf's bytes are a signed statement or manifest that carries a good signature of the key it names;
2. the stored tree (its tiles) is the tree of those bytes;
3. the stored index has exactly the records that the entries and their runs make;
4. every anchored root of this log is the root of the tree at that size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import shown
from silkledger.audit.documents import Manifests
from silkledger.audit.leaves import CheckedLeaf, checked
from silkledger.audit.log_index import check_index
from silkledger.audit.report import Difference
from silkledger.audit.workers import Workers
from silkledger.evidence.keccak import keccak256
from silkledger.log.tiles import HEIGHT, WIDTH, tiles_between
from silkledger.log.tree import MemoryStore, Node, Tree
from silkledger.projections.anchors import anchor
from silkledger.projections.log_tiles import tile
from silkledger.projections.statements import stored_leaves


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
    async for item in checked(workers, stored_leaves(live)):
        if item.index != tree.size:
            differences.append(_leaf(database, tree.size, "(row)", "present", "missing"))
            break
        differences += _check_statement(database, item)  # (1)
        tree.append_hash(item.hash)
    differences += await _check_tiles(database, live, nodes, tree.size)  # (2)
    manifests = Manifests(database, live)
    differences += await check_index(database, live, tree.size, manifests)  # (3)
    differences += await manifests.differences()
    unavailable = _check_anchors(database, tree, anchors, differences) + manifests.unavailable  # (4)
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
    return [_leaf(database, item.index, "raw", "a signed statement or manifest", item.refused)]


async def _check_tiles(
    database: str, live: AsyncConnection, nodes: MemoryStore, size: int
) -> list[Difference]:
    """Tile level 0 names the very leaf whose bytes were altered; higher levels are checked likewise."""
    differences = []
    stored = {(row.level, row.number): bytes(row.hashes) for row in await live.execute(tile.select())}
    expected = tiles_between(0, size)
    for level, number, width in expected:
        places = [Node(level * HEIGHT, number * WIDTH + place) for place in range(width)]
        found = stored.pop((level, number), None)
        key = f"level={level}, number={number}"
        if found is None:
            differences.append(Difference(database, "tile", key, "(row)", "present", "missing"))
            continue
        for place, computed in enumerate(nodes.read(places)):
            if (at := found[place * 32 : place * 32 + 32]) != computed:
                field = f"hashes[{place}]"
                differences.append(Difference(database, "tile", key, field, shown(computed), shown(at)))
        if len(found) > width * 32:
            differences.append(
                Difference(database, "tile", key, "hashes", f"{width} hashes", f"{len(found)} bytes")
            )
    for level, number in stored:
        key = f"level={level}, number={number}"
        differences.append(Difference(database, "tile", key, "(row)", "absent", "present"))
    return differences
