"""The log's tree over its stored tiles: proofs and roots of any size that ever was, in O(log n) rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from silkledger.log.tiles import HEIGHT, WIDTH, TileError, node_in_tile, tiles_between
from silkledger.log.tree import (
    Node,
    Tree,
    consistency_ranges,
    hash_ranges,
    inclusion_ranges,
    node_hash,
    range_nodes,
    root_of,
    verify_consistency,
)
from silkledger.values import MerkleRoot


@dataclass(slots=True)
class Nodes:
    """Complete nodes at hand: those loaded, and those written by a growing tree and not yet stored."""

    loaded: dict[tuple[int, int], bytes] = field(default_factory=dict)
    written: dict[tuple[int, int], bytes] = field(default_factory=dict)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        """Raises: KeyError for a node that is neither."""
        return [self.written.get(node) or self.loaded[node] for node in nodes]

    def write(self, node: Node, value: bytes) -> None:
        self.written[node] = value

    async def load(self, connection: AsyncConnection, nodes: Sequence[Node]) -> None:
        """Hash what is not at hand from its tiles, all fetched in one query. A node of which the tiles do
        not hold everything stays missing.
        """
        missing = [node for node in nodes if node not in self.loaded and node not in self.written]
        places = {node: _tile_place(node) for node in missing}
        wanted = [place for place in dict.fromkeys(places.values()) if place not in self.tiles]
        if wanted:
            self.tiles.update(await storage.load_tiles(connection, wanted))
        for node, place in places.items():
            try:
                self.loaded[node] = node_in_tile(node, self.tiles[place])
            except (KeyError, TileError):
                continue

    def grown_tiles(self, old_size: int, size: int) -> list[tuple[int, int, bytes]]:
        """Rows of the tiles that growing from `old_size` to `size` makes or widens. The last tiles of
        the old tree must be at hand: `open_tree` has loaded them.

        Raises: KeyError when one is missing.
        """
        rows = []
        for level, number, width in tiles_between(old_size, size):
            before = min(WIDTH, max(0, (old_size >> (level * HEIGHT)) - number * WIDTH))
            kept = self.tiles[(level, number)][: before * HASH] if before else b""
            first = number * WIDTH
            new = [self.written[(level * HEIGHT, first + place)] for place in range(before, width)]
            rows.append((level, number, kept + b"".join(new)))
        return rows


def _tile_place(node: Node) -> tuple[int, int]:
    """(level, number) of the tile from which the node is hashed."""
    level, rise = divmod(node.level, HEIGHT)
    return level, (node.position << rise) // WIDTH


def edge_tiles(size: int) -> list[tuple[int, int]]:
    """(level, number) of the tiles at the right edge of a tree of `size` that are not full."""
    places, level = [], 0
    while count := size >> (level * HEIGHT):
        if count % WIDTH:
            places.append((level, count // WIDTH))
        level += 1
    return places


HASH: Final = 32
"""Bytes of a hash."""


def _nodes_of(ranges: Sequence[tuple[int, int]]) -> list[Node]:
    return [node for start, end in ranges for node in range_nodes(start, end)]


async def open_tree(connection: AsyncConnection, size: int) -> tuple[Tree, Nodes]:
    """The tree of `size` leaves, ready to grow. What it writes is in the nodes, to be stored by the caller.

    Raises:
        KeyError: the database lacks a node of that size.
    """
    nodes = Nodes()
    nodes.tiles.update(await storage.load_tiles(connection, edge_tiles(size)))
    await nodes.load(connection, range_nodes(0, size))
    return Tree(nodes, size), nodes


def append_batch(nodes: Nodes, size: int, leaves: Sequence[bytes]) -> tuple[int, bytes]:
    """Let the tree of `size` leaves grow by these leaf hashes; returns its new size and root.

    The same nodes as appending one by one (RFC 9162 section 2.1.1), made level by level. `nodes` must hold
    the complete nodes of the old size, as `open_tree` loads them.
    """
    level, start, row = 0, size, list(leaves)
    written = nodes.written
    while row:
        for place, value in enumerate(row, start):
            written[(level, place)] = value
        if start & 1:
            start -= 1
            row = [*nodes.read([Node(level, start)]), *row]
        pairs = zip(row[::2], row[1::2], strict=False)  # the last may have no right neighbour yet
        row = [node_hash(left, right) for left, right in pairs]
        level, start = level + 1, start >> 1
    grown = size + len(leaves)
    return grown, bytes(root_of(grown, nodes.read))


async def root_at(connection: AsyncConnection, size: int) -> MerkleRoot:
    """Root of the first `size` leaves. Raises: KeyError for a size that was never reached."""
    nodes = Nodes()
    await nodes.load(connection, range_nodes(0, size))
    return root_of(size, nodes.read)


async def inclusion_path(connection: AsyncConnection, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]). Raises: ProofInvalid, KeyError."""
    ranges = inclusion_ranges(index, size)
    nodes = Nodes()
    await nodes.load(connection, _nodes_of(ranges))
    return hash_ranges(ranges, nodes.read)


async def consistency_path(connection: AsyncConnection, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]). Raises: ProofInvalid, KeyError."""
    ranges = consistency_ranges(old, new)
    nodes = Nodes()
    await nodes.load(connection, _nodes_of(ranges))
    return hash_ranges(ranges, nodes.read)


async def check_extends(
    connection: AsyncConnection, nodes: Nodes, old: tuple[int, bytes], new: tuple[int, bytes]
) -> None:
    """Verify, as any outsider would, that the head `new` (size, root) extends `old`.

    Raises:
        ProofInvalid: it does not. KeyError: nodes are missing.
    """
    (old_size, old_root), (new_size, new_root) = old, new
    if old_size == 0:
        return
    ranges = consistency_ranges(old_size, new_size)
    await nodes.load(connection, _nodes_of(ranges))
    verify_consistency(old_size, new_size, old_root, new_root, hash_ranges(ranges, nodes.read))
