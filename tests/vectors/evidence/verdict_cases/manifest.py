"""A document in a manifest: its leaf, index and path, and manifests that are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from silkledger import cbor
from silkledger.evidence.assemble import document_section
from silkledger.evidence.bundle import Bundle
from silkledger.log.tree import Tree
from silkledger.values import Digest, DocumentType
from tests.unit.evidence.manifest_world import ManifestWorld, content_of, leaf, leaves, resigned
from tests.unit.evidence.world import DOCUMENT, World
from tests.unit.registry import records
from tests.vectors.evidence.verdict_cases import Case, case


def cases() -> Iterator[Case]:
    yield from _good()
    yield from _proofs()
    yield from _leaves()
    yield from _payloads()
    yield from _forms()


def _good() -> Iterator[Case]:
    for documents, index in ((1, 0), (2, 1), (5, 2), (5, 4), (8, 3), (13, 12)):
        yield case(f"manifest-{index}-of-{documents}", ManifestWorld(documents=documents, index=index))
    world = ManifestWorld()
    yield Case("manifest-other-document", world.evidence().encode(), world.roots(), digest=Digest(bytes(32)))
    revoked = ManifestWorld()
    revoked.status_record(records.document_status(23, 1, 23))
    yield case("manifest-revoked", revoked)
    yield case("manifest-revoked-later", revoked, as_of=22)


def _proofs() -> Iterator[Case]:
    world = ManifestWorld()
    bundle, path = world.evidence(), world.evidence().document.path  # type: ignore[union-attr]
    changes: dict[str, dict[str, Any]] = {
        "index-other": {"index": 3},
        "index-beyond": {"index": 5},
        "index-far-beyond": {"index": 2**64 - 1},
        "path-long": {"path": (*path, bytes(32))},
        "path-short": {"path": path[:-1]},
        "path-empty": {"path": ()},
        "path-reversed": {"path": path[::-1]},
        "path-altered": {"path": (bytes(32), *path[1:])},
        "leaf-of-a-neighbour": {"leaf": world.leaves()[3].encode()},
    }
    for name, change in changes.items():
        yield case(f"manifest-{name}", world, _with(bundle, **change))
    longer = document_section(leaves(8, 2), 2)
    yield case("manifest-path-of-another", world, replace(bundle, document=longer))
    whole = replace(bundle, document=None)
    yield case("manifest-without-document", world, whole)
    plain = World()
    section = document_section(leaves(1, 0), 0)
    yield case("statement-with-document", plain, replace(plain.evidence(), document=section))


def _leaves() -> Iterator[Case]:
    """Leaves that are under the root, but of no form that a leaf has; and others."""
    world = ManifestWorld()
    good = cbor.decode(world.leaves()[2].encode())
    odd: dict[str, bytes] = {
        "format": cbor.encode([2, *good[1:]]),
        "format-true": cbor.encode([True, *good[1:]]),
        "salt-short": cbor.encode([1, bytes(15), *good[2:]]),
        "digest-short": cbor.encode([*good[:2], bytes(31), *good[3:]]),
        "type-long": cbor.encode([*good[:3], "123456789", good[4]]),
        "type-bytes": cbor.encode([*good[:3], b"705", good[4]]),
        "subject-short": cbor.encode([*good[:4], bytes(31)]),
        "four-items": cbor.encode(good[:4]),
        "six-items": cbor.encode([*good, 0]),
        "a-map": cbor.encode(dict(enumerate(good))),
        "no-cbor": b"\xff",
        "empty": b"",
        "trailing-byte": cbor.encode(good) + b"\0",
        "long-integer": b"\x85\x18\x01" + cbor.encode(good)[2:],
    }
    for name, data in odd.items():
        yield case(f"manifest-leaf-{name}", *_over(data))
    yield case("manifest-leaf-type-mixed", *_over(leaf(2, DOCUMENT, DocumentType("380")).encode()))


@dataclass
class OddWorld(ManifestWorld):
    """A manifest of this payload."""

    payload: bytes = b""

    def sign(self, *given: Any, **named: Any) -> bytes:
        return resigned(super().sign(*given, **named), self.issuer.key, self.payload)


def _over(data: bytes) -> tuple[World, Bundle]:
    """A world whose manifest is over this one leaf."""
    tree = Tree()
    tree.append(data)
    world = OddWorld(payload=cbor.encode({1: 1, 2: bytes(tree.root()), 3: 1}), documents=1, index=0)
    return world, _with(world.evidence(), leaf=data)


def _payloads() -> Iterator[Case]:
    """Manifests by the issuer's key that are none, in the place of the one that the log holds."""
    world = ManifestWorld()
    bundle = world.evidence()
    good = content_of(world.statement.raw)
    payloads: dict[str, bytes] = {
        "size-zero": cbor.encode(good | {1: 0}),
        "size-10000": cbor.encode(good | {1: 10_000}),
        "size-10001": cbor.encode(good | {1: 10_001}),
        "size-negative": cbor.encode(good | {1: -1}),
        "size-true": cbor.encode(good | {1: True}),
        "size-text": cbor.encode(good | {1: "5"}),
        "root-short": cbor.encode(good | {2: bytes(31)}),
        "leaf-format-2": cbor.encode(good | {3: 2}),
        "leaf-format-true": cbor.encode(good | {3: True}),
        "unknown-key": cbor.encode(good | {4: 0}),
        "lacks-format": cbor.encode({1: good[1], 2: good[2]}),
        "a-list": cbor.encode(list(good.values())),
        "no-cbor": b"\xff",
        "empty": b"",
    }
    for name, payload in payloads.items():
        raw = resigned(world.statement.raw, world.issuer.key, payload)
        yield case(f"manifest-payload-{name}", world, replace(bundle, statement=raw))


def _forms() -> Iterator[Case]:
    """The bundle's field 8."""
    world = ManifestWorld()
    fields = cbor.decode(world.evidence().encode())
    document = fields[8]
    for name, changed in {
        "no-map": [],
        "lacks-path": {1: document[1], 2: document[2]},
        "unknown-key": document | {4: 0},
        "index-negative": document | {2: -1},
        "index-true": document | {2: True},
        "path-hash-short": document | {3: [bytes(31)]},
        "leaf-text": document | {1: "leaf"},
    }.items():
        yield case(f"manifest-field-{name}", world, cbor.encode(fields | {8: changed}))
    yield case("manifest-version-1", world, cbor.encode(fields | {1: 1}))


def _with(bundle: Bundle, **changes: Any) -> Bundle:
    assert bundle.document is not None
    return replace(bundle, document=replace(bundle.document, **changes))
