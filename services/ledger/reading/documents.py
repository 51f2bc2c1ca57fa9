"""The documents of manifests: their leaves, kept under the manifest's statement id.

A log's mirror has no leaves of manifests, only the manifests: after a restore they are missing until the
holder of the manifest submits it again. What cannot be had is not found; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.log.tree import Tree, leaf_hash
from silkledger.manifest import ManifestLeaf
from silkledger.manifest_leaves import leaf_length
from silkledger.projections.statements import DOCUMENT_PACK, manifest_pack
from silkledger.values import DocumentType

if TYPE_CHECKING:
    from services.ledger.reading.entries import EntryRow


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """One document of a manifest."""

    index: int
    leaf: bytes
    digest: bytes
    salted_subject: bytes


async def document_at(connection: AsyncConnection, manifest: EntryRow, index: int) -> ManifestDocument | None:
    """The manifest's document at the index, or None where its leaves are not here."""
    if manifest.manifest_size is None or not 0 <= index < manifest.manifest_size:
        return None
    pack = manifest_pack.c
    first = index - index % DOCUMENT_PACK
    query = select(pack.leaves).where(pack.manifest == manifest.statement_id, pack.first_document == first)
    leaves = await connection.scalar(query)
    if leaves is None:
        return None
    length = leaf_length(DocumentType(manifest.document_type))
    at = (index - first) * length
    raw = bytes(leaves)[at : at + length]
    leaf = ManifestLeaf.decode(raw)
    return ManifestDocument(index, raw, bytes(leaf.digest), leaf.salted_subject)


async def document_path(connection: AsyncConnection, manifest: EntryRow, index: int) -> list[bytes] | None:
    """The document's inclusion path under the manifest's root; None where leaves are missing."""
    leaves = await manifest_leaves(connection, manifest)
    if leaves is None:
        return None
    tree = Tree()
    for leaf in leaves:
        tree.append_hash(leaf_hash(leaf))
    return tree.inclusion_path(index)


async def manifest_leaves(connection: AsyncConnection, manifest: EntryRow) -> Sequence[bytes] | None:
    """All leaves of the manifest, in order; None where some are missing."""
    pack = manifest_pack.c
    query = select(pack.leaves).where(pack.manifest == manifest.statement_id).order_by(pack.first_document)
    rows = (await connection.execute(query)).scalars().all()
    whole = b"".join(bytes(leaves) for leaves in rows)
    length = leaf_length(DocumentType(manifest.document_type))
    if len(whole) != length * (manifest.manifest_size or 0):
        return None
    return [whole[at : at + length] for at in range(0, len(whole), length)]


async def has_documents(connection: AsyncConnection, statement_id: bytes) -> bool:
    """Whether the leaves of the manifest are here."""
    query = select(manifest_pack.c.width).where(manifest_pack.c.manifest == statement_id).limit(1)
    return await connection.scalar(query) is not None
