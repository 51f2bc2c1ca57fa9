"""Flipping any single byte of a bundle, or any byte of the document, never leaves a good outcome."""

from __future__ import annotations

from hashlib import sha256

import pytest

from silkledger.evidence.header import EngineKind
from silkledger.evidence.verify import verify_bundle
from silkledger.values import Digest
from tests.unit.evidence.full_bundle import full_bundle
from tests.unit.evidence.manifest_world import ManifestWorld
from tests.unit.evidence.qbft_chain import validators
from tests.unit.evidence.world import CN, DOCUMENT, World


def small_world(engine: EngineKind) -> World:
    """The smallest whole bundle: registration and as-of block are one, the issuer's own country relies."""
    first = 10 if engine is EngineKind.QBFT else None
    world = World(
        engine=engine, members=validators(1), registration=11, as_of=11, relying=(CN,), first_header=first
    )
    world.relying = (CN,)
    return world


@pytest.mark.parametrize("engine", list(EngineKind))
def test_no_byte_of_a_bundle_can_change(engine: EngineKind) -> None:
    """Without seals: every byte. With seals only the headers, which is where such a bundle differs."""
    world = small_world(engine)
    sealed = engine is EngineKind.QBFT
    roots = world.roots([10] if sealed else None, relying=CN)
    bundle = world.evidence()
    digest, data = Digest(sha256(DOCUMENT).digest()), bundle.encode()
    assert verify_bundle(digest, data, roots).outcome.good
    positions = range(len(data))
    if sealed:
        positions = range(
            data.index(bundle.headers[0]), data.index(bundle.headers[-1]) + len(bundle.headers[-1])
        )
    survivors = []
    for position in positions:
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        if verify_bundle(digest, bytes(changed), roots).outcome.good:
            survivors.append(position)
    assert survivors == []


def test_no_byte_of_a_full_bundle_can_change() -> None:
    """A document of a manifest, cosignatures by a pinned witness and by one that is not, and a promise: every
    byte, and every other value of the format version.
    """
    bundle, roots = full_bundle()
    digest, data = Digest(sha256(DOCUMENT).digest()), bundle.encode()
    verdict = verify_bundle(digest, data, roots)
    assert verdict.outcome.good
    assert verdict.reasons == (), "every check is made"
    survivors = []
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        if verify_bundle(digest, bytes(changed), roots).outcome.good:
            survivors.append(position)
    assert survivors == []
    version = data.index(bytes([1, 2]))
    assert data[version : version + 3] == bytes([1, 2, 2]), "key 1, version 2, key 2"
    for other in set(range(24)) - {2}:
        changed = bytearray(data)
        changed[version + 1] = other
        assert not verify_bundle(digest, bytes(changed), roots).outcome.good, other


def test_no_single_document_of_a_manifest_can_stand_for_another() -> None:
    bundle, roots = full_bundle()
    data = bundle.encode()
    for leaf in ManifestWorld(documents=3, index=1).leaves():
        outcome = verify_bundle(leaf.digest, data, roots).outcome
        assert outcome.good == (leaf.digest == Digest(sha256(DOCUMENT).digest()))


def test_no_byte_of_the_document_can_change() -> None:
    world = small_world(EngineKind.NO_SEALS)
    roots, data = world.roots(relying=CN), world.evidence().encode()
    for position in range(len(DOCUMENT)):
        changed = bytearray(DOCUMENT)
        changed[position] ^= 0x20
        verdict = verify_bundle(Digest(sha256(bytes(changed)).digest()), data, roots)
        assert not verdict.outcome.good


def test_no_truncation_or_extension_passes() -> None:
    world = small_world(EngineKind.NO_SEALS)
    roots, data = world.roots(relying=CN), world.evidence().encode()
    digest = Digest(sha256(DOCUMENT).digest())
    for cut in range(0, len(data), 97):
        assert not verify_bundle(digest, data[:cut], roots).outcome.good
    assert not verify_bundle(digest, data + b"\x00", roots).outcome.good
