"""The documents of manifests as a database has them, held against the roots that the manifests sign.

What a log restored from a mirror lacks is UNAVAILABLE, and must be listed as such in the database.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from silkledger.audit.report import Difference
from silkledger.envelope import StatementError
from silkledger.log.index import KEY, RECORD, unpack
from silkledger.manifest import SignedManifest
from silkledger.manifest_leaves import split_leaves
from silkledger.projections.statements import manifest_pack, undocumented


class Manifests:
    """Asked for each manifest of the log, in order; then for what was found."""

    def __init__(self, database: str, live: AsyncConnection) -> None:
        self._database = database
        self._live = live
        self._missing: set[bytes] = set()
        self._differences: list[Difference] = []
        self._damaged: set[int] = set()

    async def documents(self, manifest: SignedManifest, leaf: int) -> Sequence[tuple[bytes, bytes]]:
        """(digest, salted subject) of each document of the manifest, which is the log's leaf `leaf`; none
        where its leaves are missing or are not those that it signs.
        """
        pack, identifier = manifest_pack.c, bytes(manifest.id)
        query = select(pack.leaves).where(pack.manifest == identifier).order_by(pack.first_document)
        packs = [bytes(leaves) for leaves in (await self._live.execute(query)).scalars()]
        if not packs:
            self._missing.add(identifier)
            return ()
        try:
            found = split_leaves(manifest, b"".join(packs))
        except StatementError as error:
            self._damaged.add(leaf)
            signed = f"{manifest.size} leaves under {manifest.root}"
            self._differences.append(
                self._difference(manifest_pack.name, identifier, "leaves", signed, str(error))
            )
            return ()
        return [(document.digest, document.salted_subject) for document in found]

    def is_damaged(self, record: bytes) -> bool:
        """Whether a record of the index is about a document whose leaf cannot be told."""
        if not self._damaged or len(record) != RECORD:
            return False
        place = unpack(record[KEY:])
        return place.leaf in self._damaged and place.document > 0

    async def differences(self) -> list[Difference]:
        """Of the leaves, and between what is missing and what is listed as missing."""
        listed = {bytes(row.manifest) for row in await self._live.execute(undocumented.select())}
        return (
            self._differences
            + [self._row(manifest, "present", "missing") for manifest in sorted(self._missing - listed)]
            + [self._row(manifest, "absent", "present") for manifest in sorted(listed - self._missing)]
        )

    @property
    def unavailable(self) -> list[str]:
        """What cannot be had, in a sentence."""
        if not self._missing:
            return []
        return [f"{self._database}: the documents of {len(self._missing)} manifest(s) of the log"]

    def _row(self, manifest: bytes, replayed: str, found: str) -> Difference:
        return self._difference(undocumented.name, manifest, "(row)", replayed, found)

    def _difference(self, table: str, manifest: bytes, field: str, replayed: str, found: str) -> Difference:
        return Difference(self._database, table, f"manifest=0x{manifest.hex()}", field, replayed, found)
