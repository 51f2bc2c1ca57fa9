"""The holder's manifest: made, kept in a file, and every document proven from one bundle."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from silkledger.client.manifests import (
    HeldDocument,
    HeldManifest,
    ManifestDocument,
    ManifestFileError,
    sign_documents,
)
from silkledger.envelope import StatementError
from silkledger.evidence.verify import verify_bundle
from silkledger.manifest import ManifestLeaf, parse_manifest, salt_subject
from silkledger.values import Did, Digest, DocumentType
from tests.unit.evidence.manifest_world import ManifestWorld
from tests.unit.evidence.witnesses import promise
from tests.unit.evidence.world import BILL, CHAIN_ID, World, account

ISSUER = account(7)
DID = Did.of(CHAIN_ID, ISSUER.address)


def documents(count: int) -> list[ManifestDocument]:
    return [
        ManifestDocument(f"{i}.pdf", f"urn:bl:{i}", Digest(sha256(b"document %d" % i).digest()))
        for i in range(count)
    ]


def held(count: int = 5) -> HeldManifest:
    return sign_documents(ISSUER, DID, documents(count), subject="batch/1", document_type=BILL)


def of_world(world: ManifestWorld) -> HeldManifest:
    """What the issuer of the world's manifest holds."""
    listed = world.leaves()
    kept = [HeldDocument(f"{i}.pdf", f"SAMPLE-BL-{i}", leaf) for i, leaf in enumerate(listed)]
    return HeldManifest(world.statement.raw, tuple(kept))


def test_what_is_signed_is_one_manifest_over_the_documents_in_order() -> None:
    made = held()
    manifest = parse_manifest(made.raw)
    manifest.verify(ISSUER.key.verifying_key)
    assert (manifest.size, manifest.subject, manifest.issuer) == (5, "batch/1", DID)
    assert made.statement_id == manifest.id
    assert [item.leaf.digest for item in made.documents] == [item.digest for item in documents(5)]
    assert made.leaves == b"".join(item.leaf.encode() for item in made.documents)
    assert made.documents[3].leaf.salted_subject == salt_subject(manifest.salt, "urn:bl:3")


def test_every_salt_is_another_one() -> None:
    salts = [item.leaf.salt for made in (held(), held()) for item in made.documents]
    salts += [held().manifest.salt, held().manifest.salt]
    assert len(set(salts)) == len(salts)


def test_too_many_none_and_another_type_are_refused() -> None:
    for count in (0, 10_001):
        with pytest.raises(StatementError) as caught:
            held(count)
        assert caught.value.reason == "MANIFEST_SIZE"


def test_the_file_gives_back_what_was_saved_and_is_the_owner_s_alone(tmp_path: Path) -> None:
    made = held().with_promise(b"a promise")
    path = tmp_path / "batch.manifest"
    made.save(path)
    assert HeldManifest.load(path) == made
    assert HeldManifest.from_json(made.to_json()).to_json() == made.to_json()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["batch.manifest"]


Edit = Callable[[dict[str, Any]], Any]
EDITS: dict[str, Edit] = {
    "format": lambda f: f.update(format="silkledger-manifest-file/2"),
    "unknown-name": lambda f: f.update(more=1),
    "missing-name": lambda f: f.pop("promise"),
    "documents-no-list": lambda f: f.update(documents={}),
    "no-document": lambda f: f.update(documents=[]),
    "left-out": lambda f: f["documents"].pop(),
    "twice": lambda f: f["documents"].append(f["documents"][0]),
    "swapped": lambda f: f["documents"].reverse(),
    "other-subject": lambda f: f["documents"][1].update(subject="urn:bl:9"),
    "name-number": lambda f: f["documents"][1].update(name=1),
    "leaf-no-base64": lambda f: f["documents"][1].update(leaf="~"),
    "leaf-malformed": lambda f: f["documents"][1].update(leaf=base64.b64encode(b"\x80").decode()),
    "leaf-null": lambda f: f["documents"][1].update(leaf=None),
    "leaf-missing": lambda f: f["documents"][1].pop("leaf"),
    "document-text": lambda f: f["documents"].append("document"),
    "manifest-malformed": lambda f: f.update(manifest=""),
    "manifest-of-another": lambda f: f.update(manifest=base64.b64encode(held().raw).decode()),
    "promise-number": lambda f: f.update(promise=1),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_whose_parts_do_not_belong_together_is_refused(name: str) -> None:
    fields = json.loads(held().to_json())
    EDITS[name](fields)
    with pytest.raises(ManifestFileError):
        HeldManifest.from_json(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "[]", "{", b"\xff"])
def test_what_is_no_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(ManifestFileError):
        HeldManifest.from_json(text)


def test_one_bundle_of_the_service_proves_every_document() -> None:
    world = ManifestWorld(documents=7, index=4)
    bundle, roots, mine = world.evidence().encode(), world.roots(), of_world(world)
    for index, item in enumerate(mine.documents):
        digest = item.leaf.digest
        assert mine.indices_of(digest) == [index]
        assert verify_bundle(digest, mine.prove(bundle, index), roots).outcome.good
        neighbour = mine.documents[index - 1].leaf.digest
        assert verify_bundle(neighbour, mine.prove(bundle, index), roots).check("document").reason == (
            "DOCUMENT_DIGEST"
        )
    assert mine.prove(bundle, 4) == bundle


def test_a_held_promise_goes_into_the_bundle() -> None:
    world = ManifestWorld()
    mine = of_world(world).with_promise(promise(world))
    verdict = verify_bundle(
        mine.documents[0].leaf.digest, mine.prove(world.evidence().encode(), 0), world.roots()
    )
    assert verdict.outcome.good
    assert verdict.check("promise").reason == ""


def test_a_bundle_about_something_else_proves_nothing() -> None:
    for other in (World(), ManifestWorld(documents=6)):
        with pytest.raises(ManifestFileError, match="not about this manifest"):
            of_world(ManifestWorld()).prove(other.evidence().encode(), 0)


def test_a_document_put_in_twice_is_found_twice() -> None:
    twice = [*documents(2), documents(2)[0]]
    made = sign_documents(ISSUER, DID, twice, subject="batch/1", document_type=DocumentType("380"))
    assert made.indices_of(twice[0].digest) == [0, 2]
    assert made.indices_of(Digest(bytes(32))) == []


def test_leaves_of_another_salt_are_not_taken() -> None:
    made = held()
    stranger: ManifestLeaf = replace(made.documents[0].leaf, salt=bytes(16))
    documents = (replace(made.documents[0], leaf=stranger), *made.documents[1:])
    with pytest.raises(ManifestFileError):
        HeldManifest(made.raw, documents)
