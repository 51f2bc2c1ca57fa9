"""Whatever bytes a verifier is given, it answers; and only the untouched bundle gets a good answer."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from silkledger import cbor
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evidence.verdict import Outcome
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Digest
from tests.unit.evidence.full_bundle import full_bundle
from tests.unit.evidence.world import DOCUMENT, World

DIGEST = Digest(sha256(DOCUMENT).digest())

CBOR = st.recursive(
    st.integers(0, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=5) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 8), inner, max_size=4),
    max_leaves=10,
)


@cache
def good() -> tuple[bytes, TrustRoots]:
    world = World()
    return world.evidence().encode(), world.roots()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_get_an_answer(data: bytes) -> None:
    assert verify_bundle(DIGEST, data, good()[1]).outcome is Outcome.FAIL


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(range(2, 8)), CBOR)
def test_any_section_may_be_anything(section: int, value: object) -> None:
    data, roots = good()
    whole = cbor.decode(data)
    whole[section] = value
    assert not verify_bundle(DIGEST, cbor.encode(whole), roots).outcome.good


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(range(2, 10)), CBOR)
def test_any_section_of_a_full_bundle_may_be_anything(section: int, value: object) -> None:
    bundle, roots = full_bundle()
    whole = cbor.decode(bundle.encode())
    whole[section] = value
    assert not verify_bundle(DIGEST, cbor.encode(whole), roots).outcome.good


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=4))
def test_several_changed_bytes_never_pass(changes: list[tuple[int, int]]) -> None:
    data, roots = good()
    changed = bytearray(data)
    for position, flip in changes:
        changed[position % len(data)] ^= flip
    if bytes(changed) != data:
        assert not verify_bundle(DIGEST, bytes(changed), roots).outcome.good


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 11),
    st.integers(0, 10),
    st.one_of(st.none(), st.integers(1, 12)),
    st.integers(0, 11),
)
def test_a_world_passes_exactly_when_its_anchor_registers_the_leaf(
    size: int, leaf: int, checkpoint: int | None, previous: int
) -> None:
    """Whatever the sizes: good if and only if this anchor is the first whose tree has the leaf."""
    noted = checkpoint or size
    if leaf >= noted or previous >= size:
        return
    world = World(size=size, previous_size=previous, leaf_index=leaf, checkpoint_size=checkpoint)
    assert world.verify().outcome.good == (previous <= leaf < size)
