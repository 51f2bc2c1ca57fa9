"""A tree that grows at its right edge and hands out each tile as it fills. Memory: one tile a level."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from silkledger.log.tiles import HEIGHT, WIDTH, Tile, node_in_tile, tile_of
from silkledger.log.tree import Node, Tree
from silkledger.values import MerkleRoot

_HASH = 32


class EdgeTree:
    """Leaves from `size` on. `read` gives the tiles of the tree of `size`; `emit` gets every full tile."""

    def __init__(self, size: int, read: Callable[[Tile], bytes], emit: Callable[[Tile, bytes], None]) -> None:
        self._emit = emit
        self._edges: dict[int, bytearray] = {}
        self._counts: dict[int, int] = {}
        self._latest: dict[int, tuple[int, bytes]] = {}
        level = 0
        while count := size >> (level * HEIGHT):
            width = count % WIDTH
            edge = read(Tile(level, count // WIDTH, width)) if width else b""
            self._edges[level], self._counts[level] = bytearray(edge), count
            level += 1
        self._base, self._read_tile = size, read
        self._tree = Tree(self, size)

    @property
    def size(self) -> int:
        return self._tree.size

    def append(self, entry: bytes) -> None:
        self._tree.append(entry)

    def root(self) -> MerkleRoot:
        return self._tree.root()

    def partial(self) -> list[tuple[Tile, bytes]]:
        """The tiles at the edge that are not full."""
        return [
            (Tile(level, self._counts[level] // WIDTH, len(edge) // _HASH), bytes(edge))
            for level, edge in self._edges.items()
            if edge
        ]

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        """The node store of the tree: it only ever asks for the last complete node of a level."""
        found = []
        for node in nodes:
            position, value = self._latest.get(node.level, (-1, b""))
            if position != node.position:
                value = node_in_tile(node, self._read_tile(tile_of(node, self._base)))
                self._latest[node.level] = (node.position, value)
            found.append(value)
        return found

    def write(self, node: Node, value: bytes) -> None:
        self._latest[node.level] = (node.position, value)
        level, rest = divmod(node.level, HEIGHT)
        if rest:
            return
        edge = self._edges.setdefault(level, bytearray())
        edge += value
        self._counts[level] = node.position + 1
        if len(edge) == WIDTH * _HASH:
            self._emit(Tile(level, node.position // WIDTH), bytes(edge))
            edge.clear()
