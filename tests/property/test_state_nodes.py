"""Kept trie nodes: what one capture kept, with the proofs of what was written since, proves everything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silkledger.evidence import rlp
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.keccak import keccak256
from silkledger.evidence.trie import NodeMissing, Trie, proof_from, verify_proof
from silkledger.evm.state_nodes import KeptState

SLOTS = st.integers(0, 40)
WORDS = st.integers(1, 2**256 - 1)
STORAGE = st.dictionaries(SLOTS, WORDS, min_size=1, max_size=24)
CHANGES = st.dictionaries(SLOTS, st.none() | WORDS, max_size=8)


def hashed(slot: int) -> bytes:
    return keccak256(slot.to_bytes(32, "big"))


def trie_of(storage: Mapping[int, int]) -> Trie:
    return Trie({hashed(slot): rlp.encode(rlp.encode_int(word)) for slot, word in storage.items()})


class Kept:
    """Nodes in memory."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.asked = 0

    def keep(self, trie: Trie, slots: Iterable[int]) -> None:
        self.held |= {keccak256(node): node for slot in slots for node in trie.prove(hashed(slot))}

    async def nodes(self, names: Iterable[bytes]) -> Mapping[bytes, bytes]:
        self.asked += 1
        return {name: self.held[name] for name in names if name in self.held}


@settings(max_examples=80, deadline=None)
@given(STORAGE, CHANGES)
def test_the_proofs_of_what_was_written_complete_what_was_kept(
    before: dict[int, int], changes: dict[int, int | None]
) -> None:
    """Any slot, written or never: the ground on which DocumentStatus is captured by its changes alone."""
    after = before | {slot: word for slot, word in changes.items() if word is not None}
    after = {slot: word for slot, word in after.items() if changes.get(slot, word) is not None}
    kept = Kept()
    kept.keep(trie_of(before), before)
    new = trie_of(after)
    written = Kept()
    written.keep(new, changes)
    kept.held |= written.held

    async def prove() -> dict[int, tuple[bytes, ...] | None]:
        state = KeptState(kept)
        grown = await state.grown(trie_of(before).root, new.root, written.held)
        assert grown.missing == 0
        kept.held |= grown.rebuilt
        return await KeptState(kept).slots(new.root, range(45))

    found = asyncio.run(prove())
    for slot, proof in found.items():
        assert proof is not None
        value = verify_proof(new.root, hashed(slot), proof)
        assert value == (rlp.encode(rlp.encode_int(after[slot])) if slot in after else None)


@settings(max_examples=40, deadline=None)
@given(STORAGE, SLOTS, WORDS)
def test_a_change_that_was_not_kept_is_missed_and_not_made_up(
    before: dict[int, int], slot: int, word: int
) -> None:
    """The negative twin."""
    new = trie_of(before | {slot: word})
    kept = Kept()
    kept.keep(trie_of(before), before)
    found = asyncio.run(KeptState(kept).slots(new.root, [slot]))
    assert (found[slot] is None) == (before.get(slot) != word)


def test_without_the_old_trie_the_cut_node_is_missed() -> None:
    """The negative twin: what was written cuts the leaf beside it, and no proof of it has that leaf."""
    before = {0: 1}
    new = trie_of(before | {1: 1})
    written = Kept()
    written.keep(new, [1])
    assert asyncio.run(KeptState(written).slots(new.root, [0, 1]))[0] is None
    lost = asyncio.run(KeptState(written).grown(trie_of({0: 2}).root, new.root, written.held))
    assert (lost.rebuilt, lost.missing) == ({}, 1)
    written.keep(trie_of(before), before)
    found = asyncio.run(KeptState(written).grown(trie_of(before).root, new.root, written.held))
    assert (len(found.rebuilt), found.missing) == (1, 0)


def test_however_much_was_written_the_store_is_asked_once_a_level() -> None:
    before = dict.fromkeys(range(400), 7)
    written = range(400, 1200)
    new = trie_of(before | dict.fromkeys(written, 7))
    kept, proofs = Kept(), Kept()
    kept.keep(trie_of(before), before)
    proofs.keep(new, written)
    grown = asyncio.run(KeptState(kept).grown(trie_of(before).root, new.root, proofs.held))
    assert len(grown.rebuilt) > 50 and grown.missing == 0
    assert kept.asked < 10


def test_an_altered_node_is_no_proof() -> None:
    trie = trie_of(dict.fromkeys(range(1, 20), 7))
    kept = Kept()
    kept.keep(trie, range(1, 20))
    kept.held[trie.root] = kept.held[keccak256(trie.prove(hashed(3))[1])]
    proof = asyncio.run(KeptState(kept).slots(trie.root, [3]))[3]
    assert proof is not None
    with pytest.raises(EvidenceInvalid):
        verify_proof(trie.root, hashed(3), proof)


def test_a_missing_node_is_named() -> None:
    trie = trie_of({1: 7})
    with pytest.raises(NodeMissing) as caught:
        proof_from({}, trie.root, hashed(1))
    assert caught.value.name == trie.root
