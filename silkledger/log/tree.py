"""RFC 9162 Merkle trees with SHA-256: roots, inclusion and consistency proofs for any size that ever was.

Nodes are named by (level, position): level 0 are leaf hashes, node (l, i) covers leaves [i·2^l,
(i+1)·2^l). Only complete nodes are ever stored; they never change, so every historic size can be answered
from them with O(log n) reads. Which nodes an answer needs is computed first (`…_ranges`, `range_nodes`),
so that an asynchronous store can fetch them in one go and the rest stays pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from silkledger.values import MerkleRoot

EMPTY_ROOT: Final = MerkleRoot(hashlib.sha256(b"").digest())
"""Root of the tree without leaves: the hash of nothing (RFC 9162 section 2.1.1)."""

MAX_SIZE: Final = 2**63 - 1
"""Largest tree size: what a signed 64-bit column holds, and what C2SP allows."""


class ProofInvalid(ValueError):
    """A proof does not hold. `reason` is a stable code, see `verify_inclusion` and `verify_consistency`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Node(NamedTuple):
    """A complete subtree of 2^level leaves."""

    level: int
    position: int


class NodeStore(Protocol):
    """Where complete nodes live. Written once, never changed."""

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        """Hashes of the nodes, in order. Raises KeyError for a node that was never written."""
        ...

    def write(self, node: Node, value: bytes) -> None: ...


class MemoryStore:
    """All nodes in memory."""

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = []

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        try:
            return [self._levels[level][index] for level, index in nodes]
        except IndexError:
            raise KeyError("a node was never written") from None

    def write(self, node: Node, value: bytes) -> None:
        if node.level == len(self._levels):
            self._levels.append([])
        if node.position != len(self._levels[node.level]):
            raise ValueError("nodes of a level are written in order, once")
        self._levels[node.level].append(value)


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def range_nodes(start: int, end: int) -> list[Node]:
    """Complete nodes, left to right, that make up leaves [start, end); start must be aligned to the range."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def fold(hashes: Sequence[bytes]) -> bytes:
    """Hash of the range that `range_nodes` decomposed: the smaller right ends are joined first."""
    total = hashes[-1]
    for left in reversed(hashes[:-1]):
        total = node_hash(left, total)
    return total


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Leaf ranges whose hashes are PATH(index, D[size]), leaf to root (RFC 9162 section 2.1.3.1).

    Raises:
        ProofInvalid: SIZE_ZERO or INDEX_OUT_OF_RANGE.
    """
    _check_index(index, size)
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Leaf ranges whose hashes are PROOF(old, D[new]) (RFC 9162 section 2.1.4.1).

    Raises:
        ProofInvalid: SIZE_ZERO or SIZE_ORDER.
    """
    _check_sizes(old, new)
    ranges, start, end, known = [], 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, known = middle, False
    if not known:
        ranges.append((start, end))
    return ranges[::-1]


def _split(count: int) -> int:
    """The largest power of two smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _check_index(index: int, size: int) -> None:
    if size < 1:
        raise ProofInvalid("SIZE_ZERO", "an empty tree contains nothing")
    if size > MAX_SIZE:
        raise ProofInvalid("SIZE_TOO_LARGE", f"tree size {size} is beyond 2^63 - 1")
    if not 0 <= index < size:
        raise ProofInvalid("INDEX_OUT_OF_RANGE", f"leaf {index} is not in a tree of {size}")


def _check_sizes(old: int, new: int) -> None:
    if old < 1:
        raise ProofInvalid("SIZE_ZERO", "RFC 9162 defines no consistency proof from the empty tree")
    if new > MAX_SIZE:
        raise ProofInvalid("SIZE_TOO_LARGE", f"tree size {new} is beyond 2^63 - 1")
    if old > new:
        raise ProofInvalid("SIZE_ORDER", f"a tree of {new} cannot extend one of {old}")


class Tree:
    """An append-only tree over a node store.

    `size` is trusted to be that of the store; whoever reopens a store compares `root()` with a signed head.
    """

    def __init__(self, store: NodeStore | None = None, size: int = 0) -> None:
        self._store: NodeStore = MemoryStore() if store is None else store
        self._size = size
        self._frontier = self._store.read(range_nodes(0, size))

    @property
    def size(self) -> int:
        return self._size

    def append(self, entry: bytes) -> int:
        """Append one entry; returns its index."""
        return self.append_hash(leaf_hash(entry))

    def append_hash(self, value: bytes) -> int:
        """Append one leaf hash; returns its index."""
        index, level = self._size, 0
        self._store.write(Node(0, index), value)
        while index >> level & 1:
            value = node_hash(self._frontier.pop(), value)
            level += 1
            self._store.write(Node(level, index >> level), value)
        self._frontier.append(value)
        self._size += 1
        return index

    def extend(self, entries: Iterable[bytes]) -> None:
        for entry in entries:
            self.append(entry)

    def root(self, size: int | None = None) -> MerkleRoot:
        """Root at `size` (default: now).

        Raises:
            ProofInvalid: SIZE_ORDER for a size that has not been reached.
        """
        size = self._size if size is None else size
        self._check_reached(size)
        return root_of(size, self._store.read)

    def inclusion_path(self, index: int, size: int | None = None) -> list[bytes]:
        """PATH(index, D[size]), leaf to root. Raises ProofInvalid as `inclusion_ranges`, or SIZE_ORDER."""
        size = self._size if size is None else size
        self._check_reached(size)
        return hash_ranges(inclusion_ranges(index, size), self._store.read)

    def consistency_path(self, old: int, new: int | None = None) -> list[bytes]:
        """PROOF(old, D[new]). Raises ProofInvalid as `consistency_ranges`, or SIZE_ORDER."""
        new = self._size if new is None else new
        self._check_reached(new)
        return hash_ranges(consistency_ranges(old, new), self._store.read)

    def _check_reached(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise ProofInvalid("SIZE_ORDER", f"the tree has {self._size} leaves, not {size}")


def root_of(size: int, read: Callable[[Sequence[Node]], list[bytes]]) -> MerkleRoot:
    """Root of the first `size` leaves, from the nodes that `read` returns."""
    return MerkleRoot(fold(read(range_nodes(0, size)))) if size else EMPTY_ROOT


def root_of_hashes(leaves: Sequence[bytes]) -> MerkleRoot:
    """Root over leaf hashes that are all at hand, level by level: the same as appending one by one."""
    if not leaves:
        return EMPTY_ROOT
    row = list(leaves)
    while len(row) > 1:
        odd = row[-1:] if len(row) & 1 else []
        pairs = zip(row[::2], row[1::2], strict=False)
        row = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return MerkleRoot(row[0])


def hash_ranges(
    ranges: Sequence[tuple[int, int]], read: Callable[[Sequence[Node]], list[bytes]]
) -> list[bytes]:
    """One hash per range, with a single call of `read` for all nodes."""
    nodes = [range_nodes(start, end) for start, end in ranges]
    hashes = iter(read([node for group in nodes for node in group]))
    return [fold([next(hashes) for _ in group]) for group in nodes]


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> MerkleRoot:
    """Root that the path leads to from `leaf` (a leaf hash), RFC 9162 section 2.1.3.2.

    Raises:
        ProofInvalid: SIZE_ZERO, INDEX_OUT_OF_RANGE, HASH_LENGTH, PATH_TOO_LONG or PATH_TOO_SHORT.
    """
    _check_index(index, size)
    _check_hashes((leaf, *path))
    at, last, total = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofInvalid("PATH_TOO_LONG", f"{len(path)} hashes for leaf {index} of {size}")
        if at & 1 or at == last:
            total = node_hash(sibling, total)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            total = node_hash(total, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofInvalid("PATH_TOO_SHORT", f"{len(path)} hashes for leaf {index} of {size}")
    return MerkleRoot(total)


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Verify that `leaf` (a leaf hash) is at `index` in the tree of `size` with `root`.

    Beware: for many leaves the same path also verifies under a neighbouring size. The size must come from a
    signed head, not from the proof.

    Raises:
        ProofInvalid: as `root_from_inclusion`, or ROOT_MISMATCH.
    """
    if root_from_inclusion(index, size, leaf, path) != MerkleRoot(root):
        raise ProofInvalid("ROOT_MISMATCH", f"leaf {index} of {size} does not lead to this root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Verify that the tree of `new` leaves extends the tree of `old` leaves (RFC 9162 section 2.1.4.2).

    Raises:
        ProofInvalid: SIZE_ZERO, SIZE_ORDER, HASH_LENGTH, PATH_TOO_LONG, PATH_TOO_SHORT, OLD_ROOT_MISMATCH or
            NEW_ROOT_MISMATCH.
    """
    _check_sizes(old, new)
    _check_hashes((old_root, new_root, *path))
    if old == new:
        if path:
            raise ProofInvalid("PATH_TOO_LONG", "equal sizes need no hashes")
        if old_root != new_root:
            raise ProofInvalid("NEW_ROOT_MISMATCH", "equal sizes with different roots")
        return
    hashes = list(path)
    if old & (old - 1) == 0:
        hashes.insert(0, bytes(old_root))
    if not hashes:
        raise ProofInvalid("PATH_TOO_SHORT", f"no hashes for {old} to {new}")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_total = new_total = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofInvalid("PATH_TOO_LONG", f"{len(path)} hashes for {old} to {new}")
        if at & 1 or at == last:
            old_total, new_total = node_hash(sibling, old_total), node_hash(sibling, new_total)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new_total = node_hash(new_total, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofInvalid("PATH_TOO_SHORT", f"{len(path)} hashes for {old} to {new}")
    if old_total != bytes(old_root):
        raise ProofInvalid("OLD_ROOT_MISMATCH", f"the proof does not contain the tree of {old}")
    if new_total != bytes(new_root):
        raise ProofInvalid("NEW_ROOT_MISMATCH", f"the proof does not lead to the tree of {new}")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(value) != 32 for value in hashes):
        raise ProofInvalid("HASH_LENGTH", "every hash must be 32 bytes")
