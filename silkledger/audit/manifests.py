"""Documents of a manifest as the database keeps them, held against the root that the manifest signs."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.compare import shown
from silkledger.audit.report import Difference
from silkledger.envelope import StatementError
from silkledger.log.index import manifest_records
from silkledger.manifest import ManifestLeaf, SignedManifest, parse_manifest
from silkledger.manifest_leaves import leaf_length, split_leaves
from silkledger.projections.statements import manifest_pack


@dataclass(slots=True)
class Documents:
    """What one manifest's packs hold."""

    database: str
    manifest: bytes
    records: bytes = b""
    """Relative records of the documents, as the index must have them."""
    packs: list[tuple[int, int]] = field(default_factory=list)
    """(first document, how many) of each pack."""
    wrong: str = ""
    """Why the documents do not lead to the manifest's root; empty: they do."""
    differences: list[Difference] = field(default_factory=list)
    missing: bool = False
    """The database has none of them."""
    _pointed: set[int] = field(default_factory=set)

    def point_at(self, document: int) -> None:
        """This document is malformed, or the index has another record of it: its pack was altered."""
        self._pointed.add(max(first for first, _ in self.packs if first <= document))

    def named(self) -> list[Difference]:
        """The pack that was pointed at, or the only one; else the documents as a whole."""
        told = "documents that lead to the manifest's root"
        firsts = self._pointed or {first for first, _ in self.packs}
        if len(firsts) > 1 and not self._pointed:
            return [self.differs(None, "leaves", told, self.wrong)]
        return [self.differs(first, "leaves", told, self.wrong) for first in sorted(firsts)]

    def differs(self, first: int | None, name: str, replayed: str, found: str) -> Difference:
        key = f"manifest={shown(self.manifest)}"
        key += "" if first is None else f", first_document={first}"
        return Difference(self.database, "manifest_pack", key, name, replayed, found)


async def documents_of(database: str, live: AsyncConnection, raw: bytes) -> Documents:
    """The documents of the manifest `raw`. After a restore from a mirror the database has none."""
    manifest = parse_manifest(raw)
    found = Documents(database, bytes(manifest.id))
    pack = manifest_pack.c
    query = select(manifest_pack).where(pack.manifest == found.manifest).order_by(pack.first_document)
    rows = (await live.execute(query)).all()
    if not rows:
        found.missing = True
        return found
    length = leaf_length(manifest.document_type)
    leaves = b""
    for row in rows:
        found.packs.append((row.first_document, len(bytes(row.leaves)) // length))
        leaves += bytes(row.leaves)
    try:
        split_leaves(manifest, leaves)
    except StatementError as error:
        found.wrong = str(error)
    for row, (first, count) in zip(rows, found.packs, strict=True):
        if row.width != count and not found.wrong:
            found.differences.append(found.differs(first, "width", str(count), str(row.width)))
    own = manifest_records(manifest.id, manifest.subject, [])
    found.records = _records(found, manifest, leaves, length)[len(own) :]
    return found


def _records(found: Documents, manifest: SignedManifest, leaves: bytes, length: int) -> bytes:
    """As far as the leaves can be read: one that cannot be keeps its place, with a digest of zeros."""
    documents = []
    for at in range(0, len(leaves), length):
        try:
            leaf = ManifestLeaf.decode(leaves[at : at + length])
        except StatementError:
            found.point_at(at // length)
            documents.append((bytes(32), bytes(32)))
        else:
            documents.append((bytes(leaf.digest), leaf.salted_subject))
    return manifest_records(manifest.id, manifest.subject, documents)
