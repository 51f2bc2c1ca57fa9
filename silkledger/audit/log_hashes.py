"""Roots and tiles of a log from nothing but its leaf hashes. Pure; keeps one level of the tree at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from silkledger.log.tiles import HEIGHT, WIDTH
from silkledger.log.tree import EMPTY_ROOT, node_hash

HASH: Final = 32
"""Bytes of a hash."""


def roots_at(hashes: bytes | bytearray, sizes: Sequence[int]) -> dict[int, bytes]:
    """Root of the tree at each of the sizes; of those that there are leaves for."""
    wanted = set(sizes)
    found = {0: bytes(EMPTY_ROOT)} if 0 in wanted else {}
    frontier: list[bytes] = []
    for index in range(len(hashes) // HASH):
        value, place = bytes(hashes[index * HASH : (index + 1) * HASH]), index
        while place & 1:
            value = node_hash(frontier.pop(), value)
            place >>= 1
        frontier.append(value)
        if index + 1 in wanted:
            found[index + 1] = _fold(frontier)
    return found


def _fold(frontier: Sequence[bytes]) -> bytes:
    total = frontier[-1]
    for left in reversed(frontier[:-1]):
        total = node_hash(left, total)
    return total


def tiles_of(hashes: bytes | bytearray) -> Iterator[tuple[int, int, bytes]]:
    """(level, number, bytes) of every hash tile of the tree (C2SP tlog-tiles), partial ones included."""
    level, nodes = 0, bytes(hashes)
    step = WIDTH * HASH
    while nodes:
        for number, at in enumerate(range(0, len(nodes), step)):
            yield level, number, nodes[at : at + step]
        full = len(nodes) // step * step
        nodes = b"".join(_rise(nodes[at : at + step]) for at in range(0, full, step))
        level += 1


def _rise(tile: bytes) -> bytes:
    """The node above a full tile."""
    nodes = [tile[at : at + HASH] for at in range(0, len(tile), HASH)]
    for _ in range(HEIGHT):
        nodes = [node_hash(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
    return nodes[0]
