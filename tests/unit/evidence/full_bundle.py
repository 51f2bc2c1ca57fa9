"""A small bundle with everything that one can hold: a document of a manifest, cosignatures, a promise."""

from __future__ import annotations

from dataclasses import replace

from silkledger.evidence.bundle import Bundle
from silkledger.evidence.trust_roots import TrustRoots
from tests.unit.evidence.manifest_world import ManifestWorld
from tests.unit.evidence.witnesses import NAMES, pin, promise, with_cosignatures
from tests.unit.evidence.world import CN


def full_bundle() -> tuple[Bundle, TrustRoots]:
    """Registration and as-of block are one, the issuer's own country relies; two witnesses cosigned, of whom
    one is pinned. About the document of `world.DOCUMENT`.
    """
    world = ManifestWorld(documents=3, index=1, registration=11, as_of=11, relying=(CN,))
    bundle = replace(with_cosignatures(world.evidence(), *NAMES[:2]), promise=promise(world))
    return bundle, replace(world.roots(relying=CN), witnesses=pin(1, NAMES[:1]))
