"""LogAnchor, the Python tree and pymerkle agree on all trees up to 65 leaves.

pymerkle is an independent implementation of the RFC 9162 tree. Its inclusion paths are the RFC's with the
leaf in front. Its consistency proofs have a form of their own, so they are verified by pymerkle over the same
two roots, and the RFC's proof is built from subtree roots that pymerkle computed (section 2.1.4.1).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from pymerkle import InmemoryTree, verify_consistency

from silkledger.log.tree import Tree

if TYPE_CHECKING:
    from tests.integration.contracts.conftest import LogAnchorContract

MAX_SIZE = 65
ENTRIES = [f"statement {i}".encode() for i in range(MAX_SIZE)]
PAIRS = [(m, n) for n in range(2, MAX_SIZE + 1) for m in range(1, n)]
PLACES = [(n, i) for n in range(1, MAX_SIZE + 1) for i in range(n)]


@pytest.fixture(scope="module")
def ours() -> Tree:
    tree = Tree()
    tree.extend(ENTRIES)
    return tree


@pytest.fixture(scope="module")
def theirs() -> InmemoryTree:
    return InmemoryTree.init_from_entries(ENTRIES, algorithm="sha256")


@cache
def subtree_root(start: int, end: int) -> bytes:
    """Root over the entries [start, end), computed by pymerkle."""
    return bytes(InmemoryTree.init_from_entries(ENTRIES[start:end], algorithm="sha256").get_root())


def subproof(m: int, start: int, end: int, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b) of RFC 9162 section 2.1.4.1."""
    size = end - start
    if m == size:
        return [] if whole else [subtree_root(start, end)]
    k = 1 << ((size - 1).bit_length() - 1)
    if m <= k:
        return [*subproof(m, start, start + k, whole), subtree_root(start + k, end)]
    return [*subproof(m - k, start + k, end, False), subtree_root(start, start + k)]


def test_roots_agree(ours: Tree, theirs: InmemoryTree) -> None:
    for size in range(1, MAX_SIZE + 1):
        assert bytes(ours.root(size)) == bytes(theirs.get_root(size))


def test_consistency_of_all_pairs(ours: Tree, theirs: InmemoryTree, log_anchor: LogAnchorContract) -> None:
    questions = []
    for m, n in PAIRS:
        proof = [bytes(node) for node in ours.consistency_path(m, n)]
        assert proof == subproof(m, 0, n, True), (m, n)
        verify_consistency(theirs.get_root(m), theirs.get_root(n), theirs.prove_consistency(m, n))
        questions.append((bytes(ours.root(m)), m, bytes(ours.root(n)), n, proof))
    answers = log_anchor.ask("verifyConsistency", questions)
    assert answers == [True] * len(PAIRS)


def test_no_consistency_proof_holds_for_another_pair(ours: Tree, log_anchor: LogAnchorContract) -> None:
    """The negative twin: the old root of another size, a bit of the proof, a forked leaf."""
    forked = Tree()
    forked.extend([b"altered", *ENTRIES[1:]])
    questions = []
    for m, n in PAIRS:
        proof = [bytes(node) for node in ours.consistency_path(m, n)]
        other = m - 1 if m > 1 else n
        questions.append((bytes(ours.root(other)), m, bytes(ours.root(n)), n, proof))
        flipped = [bytes([proof[-1][0] ^ 1, *proof[-1][1:]])]
        questions.append((bytes(ours.root(m)), m, bytes(ours.root(n)), n, [*proof[:-1], *flipped]))
        fork = [bytes(node) for node in forked.consistency_path(m, n)]
        questions.append((bytes(ours.root(m)), m, bytes(forked.root(n)), n, fork))
    answers = log_anchor.ask("verifyConsistency", questions)
    assert answers == [False] * len(questions)


def test_inclusion_of_all_leaves(ours: Tree, theirs: InmemoryTree, log_anchor: LogAnchorContract) -> None:
    questions = []
    for n, i in PLACES:
        path = [bytes(node) for node in ours.inclusion_path(i, n)]
        leaf = bytes(theirs.get_leaf(i + 1))
        outside = [bytes.fromhex(item) for item in theirs.prove_inclusion(i + 1, n).serialize()["path"]]
        assert outside == [leaf, *path], (n, i)
        questions.append((bytes(theirs.get_root(n)), n, i, leaf, path))
    assert log_anchor.ask("verifyInclusion", questions) == [True] * len(PLACES)


def test_no_inclusion_proof_holds_elsewhere(
    ours: Tree, theirs: InmemoryTree, log_anchor: LogAnchorContract
) -> None:
    """The negative twin: another index, another leaf, an index beyond the tree, a path one hash too long."""
    questions = []
    for n, i in PLACES:
        path = [bytes(node) for node in ours.inclusion_path(i, n)]
        root, leaf = bytes(ours.root(n)), bytes(theirs.get_leaf(i + 1))
        if n > 1:
            questions.append((root, n, (i + 1) % n, leaf, path))
        questions.append((root, n, i, bytes(32), path))
        questions.append((root, n, i + n, leaf, path))
        questions.append((root, n, i, leaf, [*path, bytes(32)]))
    assert log_anchor.ask("verifyInclusion", questions) == [False] * len(questions)
