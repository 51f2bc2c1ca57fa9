"""Tiles: the specification's own examples, and proofs read back from published bytes only."""

from __future__ import annotations

import pytest

from silkledger.log.tiles import (
    Bundle,
    Tile,
    TileError,
    TileStore,
    bundles_between,
    decode_bundle,
    encode_bundle,
    node_in_tile,
    parse_path,
    tile_of,
    tiles_between,
    tiles_for,
)
from silkledger.log.tree import Node, Tree, consistency_ranges, inclusion_ranges, range_nodes


def reason_of(call: object, *args: object) -> str:
    with pytest.raises(TileError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.reason


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999, 17), "tile/1/999.p/17"),
        (Tile(0, 1000, 1), "tile/0/x001/000.p/1"),
        (Bundle(273, 112), "tile/entries/273.p/112"),
    ],
)
def test_paths_as_the_specification_spells_them(tile: Tile | Bundle, path: str) -> None:
    assert tile.path() == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/entries/000/",
        "../tile/0/000",
        "tile/0/" + "x001/" * 30 + "000",
    ],
)
def test_other_spellings_are_refused(path: str) -> None:
    assert reason_of(parse_path, path) == "TILE_PATH"


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    tiles = tiles_between(0, 70_000)
    assert [t for t in tiles if t.level == 0 and t.width < 256] == [Tile(0, 273, 112)]
    assert sum(t.level == 0 and t.width == 256 for t in tiles) == 273
    assert [t for t in tiles if t.level == 1] == [Tile(1, 0), Tile(1, 1, 17)]
    assert [t for t in tiles if t.level == 2] == [Tile(2, 0, 1)]
    assert tiles_between(0, 256) == [Tile(0, 0), Tile(1, 0, 1)]
    assert bundles_between(255, 257) == [Bundle(0), Bundle(1, 1)]


def test_growth_names_only_what_changes() -> None:
    assert tiles_between(300, 301) == [Tile(0, 1, 45)]
    assert tiles_between(300, 300) == []
    assert reason_of(tiles_between, 2, 1) == "TILE_BEYOND"


class Published:
    """A tile server: only what was published can be fetched, and fetches are counted."""

    def __init__(self) -> None:
        self.hashes: dict[tuple[int, int], bytearray] = {}
        self.fetched: list[Tile] = []

    def publish(self, hashes: list[tuple[Node, bytes]]) -> None:
        for node, value in hashes:
            self.hashes.setdefault((node.level // 8, node.position // 256), bytearray()).extend(value)

    def fetch(self, tile: Tile) -> bytes:
        self.fetched.append(tile)
        return bytes(self.hashes[tile.level, tile.number][: tile.width * 32])


def test_proofs_from_tiles_are_the_proofs_of_the_tree() -> None:
    entries = [b"%d" % i for i in range(1500)]
    whole, published, size = Tree(), Published(), 0
    whole.extend(entries)
    store = TileStore(published.fetch, lambda: size)
    tree = Tree(store)
    for start in range(0, 1500, 125):
        tree.extend(entries[start : start + 125])
        published.publish(store.taken())
        size = tree.size
        assert tree.root() == whole.root(size)
    again = Tree(TileStore(published.fetch, lambda: size), size)
    for index, at in ((0, 1), (0, 1500), (255, 256), (256, 257), (1023, 1024), (777, 1500), (1499, 1500)):
        assert again.inclusion_path(index, at) == whole.inclusion_path(index, at)
    for old, new in ((1, 1500), (256, 1024), (300, 1499), (1024, 1500)):
        assert again.consistency_path(old, new) == whole.consistency_path(old, new)
    published.fetched.clear()
    again.inclusion_path(777)
    assert len(published.fetched) == len(set(published.fetched)) <= 3


def test_a_proof_in_a_billion_entries_needs_few_tiles() -> None:
    size = 10**9
    for ranges in (inclusion_ranges(123_456_789, size), consistency_ranges(987_654_321, size)):
        nodes = [node for start, end in ranges for node in range_nodes(start, end)]
        assert len(tiles_for(nodes, size)) <= 8


def test_a_node_beyond_the_tree_has_no_tile() -> None:
    assert tile_of(Node(8, 0), 256) == Tile(1, 0, 1)
    assert reason_of(tile_of, Node(8, 0), 255) == "TILE_BEYOND"


def test_a_tile_too_narrow_or_not_of_hashes_is_refused() -> None:
    assert reason_of(node_in_tile, Node(1, 0), bytes(32)) == "TILE_SIZE"
    assert reason_of(node_in_tile, Node(0, 0), bytes(33)) == "TILE_SIZE"
    assert reason_of(node_in_tile, Node(0, 0), bytes(257 * 32)) == "TILE_SIZE"


def test_bundles_come_back_whole_or_not_at_all() -> None:
    entries = [b"", b"a", b"b" * 65_535]
    data = encode_bundle(entries)
    assert decode_bundle(data, 3) == entries
    assert data[:5] == b"\0\0\0\1a"
    for cut in (1, 4, len(data) - 1):
        assert reason_of(decode_bundle, data[:cut], 3) == "BUNDLE_MALFORMED"
    assert reason_of(decode_bundle, data, 2) == "BUNDLE_MALFORMED"
    assert reason_of(encode_bundle, [b"c" * 65_536]) == "BUNDLE_SIZE"
    assert reason_of(encode_bundle, []) == "BUNDLE_SIZE"
    assert reason_of(encode_bundle, [b""] * 257) == "BUNDLE_SIZE"
