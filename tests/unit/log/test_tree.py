"""The tree against RFC 9162 as written, the certificate-transparency vectors and an outside
implementation."""

from __future__ import annotations

import pytest
from pymerkle import InmemoryTree
from pymerkle import verify_consistency as outside_verify

from silkledger.log.tree import (
    EMPTY_ROOT,
    MAX_SIZE,
    MemoryStore,
    Node,
    ProofInvalid,
    Tree,
    inclusion_ranges,
    leaf_hash,
    range_nodes,
    verify_consistency,
    verify_inclusion,
)
from tests.unit.log import reference

SIZE = 65
ENTRIES = [b"entry %d" % i for i in range(SIZE)]


@pytest.fixture(scope="module")
def tree() -> Tree:
    tree = Tree()
    tree.extend(ENTRIES)
    return tree


@pytest.fixture(scope="module")
def outside() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for entry in ENTRIES:
        tree.append_entry(entry)
    return tree


def reason_of(call: object, *args: object) -> str:
    with pytest.raises(ProofInvalid) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.reason


def test_the_certificate_transparency_roots() -> None:
    tree = Tree()
    assert tree.root().hex() == reference.CT_ROOTS[0] == EMPTY_ROOT.hex()
    for size, entry in enumerate(reference.CT_ENTRIES, start=1):
        assert tree.append(entry) == size - 1
        assert tree.root().hex() == reference.CT_ROOTS[size]
    assert [tree.root(size).hex() for size in range(9)] == reference.CT_ROOTS


def test_every_inclusion_proof_agrees_with_the_text_and_the_outside_tree(
    tree: Tree, outside: InmemoryTree
) -> None:
    for size in range(1, SIZE + 1):
        root = tree.root(size)
        assert root == outside.get_root(size)
        for index in range(size):
            path = tree.inclusion_path(index, size)
            assert path == reference.path(index, ENTRIES[:size])
            theirs = outside.prove_inclusion(index + 1, size).serialize()["path"]
            assert [value.hex() for value in path] == theirs[1:]
            verify_inclusion(index, size, leaf_hash(ENTRIES[index]), path, root)


def test_every_consistency_proof_agrees_with_the_text_and_the_outside_tree(
    tree: Tree, outside: InmemoryTree
) -> None:
    for new in range(1, SIZE + 1):
        for old in range(1, new + 1):
            path = tree.consistency_path(old, new)
            assert path == reference.proof(old, ENTRIES[:new])
            verify_consistency(old, new, tree.root(old), tree.root(new), path)
            # The outside tree decomposes its proofs otherwise, so it is asked about our roots instead.
            outside_verify(tree.root(old), tree.root(new), outside.prove_consistency(old, new))


def test_no_inclusion_proof_verifies_for_another_leaf_root_or_index(tree: Tree) -> None:
    size = 13
    root = tree.root(size)
    for index in range(size):
        leaf, path = leaf_hash(ENTRIES[index]), tree.inclusion_path(index, size)
        wrong_leaf = leaf_hash(ENTRIES[index] + b".")
        assert reason_of(verify_inclusion, index, size, wrong_leaf, path, root) == "ROOT_MISMATCH"
        assert reason_of(verify_inclusion, index, size, leaf, path, tree.root(12)) == "ROOT_MISMATCH"
        for other in set(range(size)) - {index}:
            assert reason_of(verify_inclusion, other, size, leaf, path, root) in (
                "ROOT_MISMATCH",
                "PATH_TOO_LONG",
                "PATH_TOO_SHORT",
            )
        for at in range(len(path)):
            turned = [*path[:at], bytes([path[at][0] ^ 1]) + path[at][1:], *path[at + 1 :]]
            assert reason_of(verify_inclusion, index, size, leaf, turned, root) == "ROOT_MISMATCH"


def test_paths_of_the_wrong_length_are_named(tree: Tree) -> None:
    leaf, path, root = leaf_hash(ENTRIES[5]), tree.inclusion_path(5, 13), tree.root(13)
    assert reason_of(verify_inclusion, 5, 13, leaf, [*path, bytes(32)], root) == "PATH_TOO_LONG"
    assert reason_of(verify_inclusion, 5, 13, leaf, path[:-1], root) == "PATH_TOO_SHORT"
    assert reason_of(verify_inclusion, 0, 1, leaf, [bytes(32)], root) == "PATH_TOO_LONG"
    assert reason_of(verify_inclusion, 5, 13, leaf, [*path[:-1], b"short"], root) == "HASH_LENGTH"
    assert reason_of(verify_inclusion, 5, 13, leaf[1:], path, root) == "HASH_LENGTH"


def test_sizes_and_indexes_outside_a_tree_are_named(tree: Tree) -> None:
    leaf = leaf_hash(ENTRIES[0])
    assert reason_of(verify_inclusion, 0, 0, leaf, [], EMPTY_ROOT) == "SIZE_ZERO"
    assert reason_of(verify_inclusion, 0, -1, leaf, [], EMPTY_ROOT) == "SIZE_ZERO"
    assert reason_of(verify_inclusion, 1, 1, leaf, [], tree.root(1)) == "INDEX_OUT_OF_RANGE"
    assert reason_of(verify_inclusion, -1, 1, leaf, [], tree.root(1)) == "INDEX_OUT_OF_RANGE"
    assert reason_of(verify_inclusion, 0, MAX_SIZE + 1, leaf, [], tree.root(1)) == "SIZE_TOO_LARGE"
    assert reason_of(tree.inclusion_path, 0, SIZE + 1) == "SIZE_ORDER"
    assert reason_of(tree.root, SIZE + 1) == "SIZE_ORDER"
    assert reason_of(tree.consistency_path, 5, 4) == "SIZE_ORDER"
    assert reason_of(tree.consistency_path, 0, 4) == "SIZE_ZERO"


def test_a_consistency_proof_holds_only_for_its_two_trees(tree: Tree) -> None:
    for old, new in ((6, 13), (8, 13), (1, 2), (7, 64)):
        first, second, path = tree.root(old), tree.root(new), tree.consistency_path(old, new)
        fork = reference.root([*ENTRIES[: old - 1], b"swapped"])
        # With a power of two the old root itself starts the proof, so a wrong one leads to a wrong new root.
        wrong_old = "NEW_ROOT_MISMATCH" if old & (old - 1) == 0 else "OLD_ROOT_MISMATCH"
        assert reason_of(verify_consistency, old, new, fork, second, path) == wrong_old
        assert reason_of(verify_consistency, old, new, first, fork, path) == "NEW_ROOT_MISMATCH"
        assert reason_of(verify_consistency, old, new, first, second, [*path, bytes(32)]) == "PATH_TOO_LONG"
        assert reason_of(verify_consistency, old, new, first, second, path[:-1]) == "PATH_TOO_SHORT"


def test_consistency_of_equal_zero_and_shrunk_sizes(tree: Tree) -> None:
    root = tree.root(6)
    verify_consistency(6, 6, root, root, [])
    assert reason_of(verify_consistency, 6, 6, root, tree.root(7), []) == "NEW_ROOT_MISMATCH"
    assert reason_of(verify_consistency, 6, 6, root, root, [bytes(32)]) == "PATH_TOO_LONG"
    assert reason_of(verify_consistency, 0, 6, EMPTY_ROOT, root, []) == "SIZE_ZERO"
    assert reason_of(verify_consistency, 7, 6, tree.root(7), root, []) == "SIZE_ORDER"
    assert reason_of(verify_consistency, 6, 13, root, tree.root(13), []) == "PATH_TOO_SHORT"


def test_a_tree_reopened_over_its_store_goes_on(tree: Tree) -> None:
    store = MemoryStore()
    first = Tree(store)
    first.extend(ENTRIES[:21])
    again = Tree(store, 21)
    again.extend(ENTRIES[21:])
    assert again.root() == tree.root()


def test_a_store_takes_each_node_once_and_in_order() -> None:
    store = MemoryStore()
    store.write(Node(0, 0), bytes(32))
    with pytest.raises(ValueError, match="in order"):
        store.write(Node(0, 0), bytes(32))
    with pytest.raises(KeyError):
        store.read([Node(0, 1)])


def test_reads_grow_with_the_logarithm_of_the_size() -> None:
    size = 10**9 + 7
    nodes = [node for start, end in inclusion_ranges(123_456_789, size) for node in range_nodes(start, end)]
    assert len(nodes) <= 2 * size.bit_length()
    assert len(inclusion_ranges(123_456_789, size)) == 30
