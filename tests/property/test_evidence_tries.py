"""Our RLP and tries agree with independent implementations, for whatever content."""

from __future__ import annotations

import rlp as outside_rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.trie import EMPTY_TRIE_ROOT, Trie, verify_proof

ITEMS = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=12)
KEYS = st.binary(min_size=3, max_size=3)
ENTRIES = st.dictionaries(KEYS, st.binary(min_size=1, max_size=50), max_size=24)


@settings(max_examples=80, deadline=None)
@given(ITEMS)
def test_rlp_agrees_with_the_library(item: rlp.Item) -> None:
    assert rlp.encode(item) == outside_rlp.encode(item)
    assert rlp.decode(rlp.encode(item)) == item


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40))
def test_whatever_decodes_re_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except EvidenceInvalid:
        return
    assert rlp.encode(item) == data


@settings(max_examples=60, deadline=None)
@given(ENTRIES, KEYS)
def test_trie_agrees_with_the_library(entries: dict[bytes, bytes], other: bytes) -> None:
    outside = HexaryTrie({})
    for key, value in entries.items():
        outside[key] = value
    trie = Trie(entries)
    assert trie.root == outside.root_hash
    for key in [*entries, other]:
        assert verify_proof(trie.root, key, trie.prove(key)) == entries.get(key)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300))
def test_index_keys_of_any_count_prove(count: int) -> None:
    entries = {rlp.encode(rlp.encode_int(i)): i.to_bytes(2, "big") * 20 for i in range(count)}
    trie = Trie(entries)
    for index in {0, count - 1, count // 2, min(127, count - 1), min(128, count - 1)}:
        key = rlp.encode(rlp.encode_int(index))
        assert verify_proof(trie.root, key, trie.prove(key)) == entries[key]


@settings(max_examples=60, deadline=None)
@given(ENTRIES, KEYS, st.data())
def test_a_changed_proof_never_proves(entries: dict[bytes, bytes], key: bytes, data: st.DataObject) -> None:
    trie = Trie(entries)
    proof = trie.prove(key)
    if trie.root == EMPTY_TRIE_ROOT:
        return
    node = data.draw(st.integers(0, len(proof) - 1))
    position = data.draw(st.integers(0, len(proof[node]) - 1))
    changed = bytearray(proof[node])
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        verify_proof(trie.root, key, [*proof[:node], bytes(changed), *proof[node + 1 :]])
    except EvidenceInvalid:
        return
    raise AssertionError("a changed proof was accepted")
