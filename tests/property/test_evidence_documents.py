"""Documents of manifests of any size: each is proven at its place, and at no other."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from silkledger.evidence.assemble import document_section
from silkledger.evidence.bundle import Bundle, DocumentSection
from silkledger.evidence.document import check_document
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.manifest import ManifestLeaf, SignedManifest
from silkledger.values import Digest
from tests.unit.evidence.full_bundle import full_bundle
from tests.unit.evidence.manifest_world import ManifestWorld
from tests.unit.evidence.world import DOCUMENT

DIGEST = Digest(sha256(DOCUMENT).digest())


@lru_cache(maxsize=64)
def manifest(documents: int) -> tuple[SignedManifest, list[ManifestLeaf]]:
    """One with DOCUMENT in its last place."""
    world = ManifestWorld(documents=documents, index=documents - 1)
    assert isinstance(world.statement, SignedManifest)
    return world.statement, world.leaves()


def holds(statement: SignedManifest, section: DocumentSection, digest: Digest) -> bool:
    try:
        check_document(statement, section, digest)
    except EvidenceInvalid:
        return False
    return True


places = st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@settings(deadline=None, max_examples=150)
@given(places, st.data())
def test_a_document_is_proven_at_its_place_alone(place: tuple[int, int], data: st.DataObject) -> None:
    size, index = place
    statement, listed = manifest(size)
    section = document_section(listed, index)
    assert holds(statement, section, listed[index].digest)
    other = data.draw(st.integers(0, size + 3), label="other index")
    assert holds(statement, replace(section, index=other), listed[index].digest) == (other == index)
    for number, leaf in enumerate(listed):
        assert holds(statement, section, leaf.digest) == (number == index)


@settings(deadline=None, max_examples=150)
@given(places, st.data())
def test_no_other_path_proves_it(place: tuple[int, int], data: st.DataObject) -> None:
    size, index = place
    statement, listed = manifest(size)
    section = document_section(listed, index)
    path = list(section.path)
    at = data.draw(st.integers(0, len(path)), label="where")
    changed = data.draw(
        st.sampled_from(
            [
                [*path[:at], bytes(32), *path[at:]],
                [*path[:at], *path[at + 1 :]],
                path[::-1],
                [*path, *path],
                [bytes(hash_[:-1]) + bytes([hash_[-1] ^ 1]) for hash_ in path],
            ]
        ),
        label="path",
    )
    proven = holds(statement, replace(section, path=tuple(changed)), listed[index].digest)
    assert proven == (changed == path)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40))
def test_a_manifest_proves_no_document_of_another_size(one: int, other: int) -> None:
    section = document_section(manifest(other)[1], other - 1)
    assert holds(manifest(one)[0], section, DIGEST) == (one == other)


@settings(deadline=None)
@given(st.booleans(), st.booleans(), st.booleans())
def test_a_bundle_has_the_lowest_version_that_holds_it(document: bool, promise: bool, cosigned: bool) -> None:
    full, _ = full_bundle()
    bundle: Bundle = replace(
        full,
        document=full.document if document else None,
        promise=full.promise if promise else None,
        log=full.log if cosigned else replace(full.log, cosigners=()),
    )
    assert bundle.version == (2 if document or promise or cosigned else 1)
