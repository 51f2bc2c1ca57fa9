"""C2SP tlog-tiles: where each hash and each entry of the tree is published, and how to read them back.

A hash tile (L, N) holds up to 256 hashes of nodes at tree level 8·L. The levels between are hashed from
them, so a proof in a log of 10⁹ entries needs at most a dozen tiles. Tiles only ever grow at the right
edge; a full one never changes. Pure: paths, bytes and coordinates, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from silkledger.log.tree import MAX_SIZE, Node, node_hash

HEIGHT: Final = 8
"""Tree levels per tile."""
WIDTH: Final = 256
"""Hashes in a full tile, and entries in a full bundle."""
MAX_ENTRY: Final = 65_535
"""Longest entry: bundles have 16-bit lengths."""

_HASH: Final = 32
_PATH: Final = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_MAX_LEVEL: Final = 63


class TileError(ValueError):
    """A tile, bundle or path is not in the form of the specification. `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Tile(NamedTuple):
    """Coordinate of a hash tile. `level` counts tiles, not tree levels; `width` 256 means full."""

    level: int
    number: int
    width: int = WIDTH

    def path(self) -> str:
        """`tile/<L>/<N>[.p/<W>]`, relative to the log's prefix."""
        return f"tile/{self.level}/{_number(self.number)}{_partial(self.width)}"


class Bundle(NamedTuple):
    """Coordinate of an entry bundle; `width` 256 means full."""

    number: int
    width: int = WIDTH

    def path(self) -> str:
        """`tile/entries/<N>[.p/<W>]`, relative to the log's prefix."""
        return f"tile/entries/{_number(self.number)}{_partial(self.width)}"


def _number(number: int) -> str:
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    return "/".join(reversed(groups))


def _partial(width: int) -> str:
    return "" if width == WIDTH else f".p/{width}"


def parse_path(path: str) -> Tile | Bundle:
    """The coordinate that a path names, in its one spelling.

    Raises:
        TileError: TILE_PATH.
    """
    match = _PATH.fullmatch(path)
    if match is not None and len(path) <= 64:
        kind, groups, partial = match.groups()
        number = int(groups.replace("x", "").replace("/", ""))
        width = WIDTH if partial is None else int(partial)
        found: Tile | Bundle = Bundle(number, width) if kind == "entries" else Tile(int(kind), number, width)
        level = 0 if kind == "entries" else int(kind)
        if found.path() == path and level <= _MAX_LEVEL and (partial is None or width < WIDTH):
            return found
    raise TileError("TILE_PATH", "must be tile/<level or entries>/<number in groups of three>[.p/<1 to 255>]")


def tile_of(node: Node, size: int) -> Tile:
    """The tile from which a complete node's hash is had, as wide as a tree of `size` has it.

    Raises:
        TileError: TILE_BEYOND if the node is not complete in that tree.
    """
    if (node.position + 1) << node.level > size:
        raise TileError("TILE_BEYOND", f"node {tuple(node)} is not complete in a tree of {size}")
    level = node.level // HEIGHT
    first = node.position << (node.level - level * HEIGHT)
    number = first // WIDTH
    return Tile(level, number, min(WIDTH, (size >> (level * HEIGHT)) - number * WIDTH))


def tiles_for(nodes: Iterable[Node], size: int) -> list[Tile]:
    """The different tiles that `nodes` need in a tree of `size`, in the order first needed."""
    return list(dict.fromkeys(tile_of(node, size) for node in nodes))


def tiles_between(old: int, new: int) -> list[Tile]:
    """Every hash tile that growing from `old` to `new` leaves makes or widens, as wide as it then is.

    Raises:
        TileError: TILE_BEYOND unless 0 ≤ old ≤ new < 2^63.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise TileError("TILE_BEYOND", f"a tree of {old} does not grow to {new}")
    tiles, level = [], 0
    while count := new >> (level * HEIGHT):
        before = old >> (level * HEIGHT)
        if count > before:
            last = (count - 1) // WIDTH
            tiles += [Tile(level, n, min(WIDTH, count - n * WIDTH)) for n in range(before // WIDTH, last + 1)]
        level += 1
    return tiles


def bundles_between(old: int, new: int) -> list[Bundle]:
    """Every entry bundle that growing from `old` to `new` leaves makes or widens."""
    return [Bundle(tile.number, tile.width) for tile in tiles_between(old, new) if tile.level == 0]


def node_in_tile(node: Node, data: bytes) -> bytes:
    """The node's hash from the bytes of its tile, hashing up to seven levels.

    Raises:
        TileError: TILE_SIZE if the bytes are no tile, or too narrow a one.
    """
    rise = node.level % HEIGHT
    start = ((node.position << rise) % WIDTH) * _HASH
    end = start + (_HASH << rise)
    if len(data) % _HASH or len(data) > WIDTH * _HASH or len(data) < end:
        raise TileError("TILE_SIZE", f"{len(data)} bytes do not hold hashes up to byte {end}")
    hashes = [data[i : i + _HASH] for i in range(start, end, _HASH)]
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


class TileStore:
    """A node store over tiles: reads whole tiles through `fetch`, writes only the levels that tiles hold.

    `fetch` takes a tile of the width that a tree of `size()` leaves has and returns its bytes (a wider one
    will do). Each call of `read` fetches a tile at most once. New hashes gather in `pending` until
    `taken`, and are read from there first: whoever persists them does so in the transaction that records
    the new size.
    """

    def __init__(self, fetch: Callable[[Tile], bytes], size: Callable[[], int]) -> None:
        self._fetch = fetch
        self._size = size
        self.pending: dict[Node, bytes] = {}

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        tiles: dict[Tile, bytes] = {}
        found = []
        for node in nodes:
            if node in self.pending:
                found.append(self.pending[node])
                continue
            tile = tile_of(node, self._size())
            if tile not in tiles:
                tiles[tile] = self._fetch(tile)
            found.append(node_in_tile(node, tiles[tile]))
        return found

    def write(self, node: Node, value: bytes) -> None:
        self.pending[node] = value

    def taken(self) -> list[tuple[Node, bytes]]:
        """The new hashes at tile levels, in order, and forget them. Level of a node / 8 is its tile's
        level."""
        hashes = [(node, value) for node, value in self.pending.items() if node.level % HEIGHT == 0]
        self.pending = {}
        return hashes


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries, each after its length in two bytes, big-endian.

    Raises:
        TileError: BUNDLE_SIZE for more than 256 entries or one longer than 65,535 bytes.
    """
    if not 0 < len(entries) <= WIDTH or any(len(entry) > MAX_ENTRY for entry in entries):
        raise TileError("BUNDLE_SIZE", f"1 to {WIDTH} entries of at most {MAX_ENTRY} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int = WIDTH) -> list[bytes]:
    """The `width` entries of a bundle.

    Raises:
        TileError: BUNDLE_MALFORMED if the bytes hold another number of entries, or end inside one.
    """
    entries, at = [], 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise TileError("BUNDLE_MALFORMED", "the bytes end inside an entry")
        entries.append(data[start:at])
    if len(entries) != width:
        raise TileError("BUNDLE_MALFORMED", f"{len(entries)} entries instead of {width}")
    return entries
