"""The leaves of a manifest one after the other, as they go over the wire: checked by columns, at once.

All leaves of a manifest are of one type, so all have the same length and differ only in salt, digest and
salted subject (docs/formats/manifest.md). `split_leaves` accepts exactly the concatenations of encodings
that `ManifestLeaf.decode` accepts one by one; nothing is decoded on the way.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from silkledger import cbor
from silkledger.envelope import SALT_SIZE, StatementError
from silkledger.log.tree import leaf_hash, root_of_hashes
from silkledger.manifest import LEAF_FORMAT, SignedManifest
from silkledger.values import Digest, DocumentType

_HEAD: Final = bytes((0x85, LEAF_FORMAT, 0x40 | SALT_SIZE))
"""Array of five, the format, 16 bytes of salt follow."""
_BYTES_32: Final = b"\x58\x20"
"""32 bytes follow."""
_DIGEST: Final = len(_HEAD) + SALT_SIZE + len(_BYTES_32)


class Document(NamedTuple):
    """What a leaf says of its document, and the leaf."""

    digest: bytes
    salted_subject: bytes
    leaf: bytes


def leaf_length(document_type: DocumentType) -> int:
    """Bytes of one leaf of a manifest of this type."""
    return _DIGEST + Digest.SIZE + len(cbor.encode(str(document_type))) + len(_BYTES_32) + 32


def split_leaves(manifest: SignedManifest, leaves: bytes) -> list[Document]:
    """The documents of a manifest, in order, from its concatenated leaves.

    1. as many leaves as the manifest says; 2. each in the form of the manifest's type; 3. they lead to its
    root.

    Raises:
        StatementError: MANIFEST_LEAVES_LENGTH, MANIFEST_LEAF_MALFORMED or MANIFEST_ROOT_MISMATCH.
    """
    length = leaf_length(manifest.document_type)
    whole = length * manifest.size
    if len(leaves) != whole:  # (1)
        raise StatementError(
            "MANIFEST_LEAVES_LENGTH",
            "leaves",
            f"{manifest.size} documents of type {manifest.document_type} take {whole} bytes",
        )
    _check_form(leaves, length, manifest)  # (2)
    parts = [leaves[at : at + length] for at in range(0, len(leaves), length)]
    if root_of_hashes([leaf_hash(part) for part in parts]) != manifest.root:  # (3)
        raise StatementError(
            "MANIFEST_ROOT_MISMATCH", "leaves", "do not lead to the root that the manifest signs"
        )
    return [Document(part[_DIGEST : _DIGEST + 32], part[-32:], part) for part in parts]


def _check_form(leaves: bytes, length: int, manifest: SignedManifest) -> None:
    fixed = [(0, _HEAD), (_DIGEST - len(_BYTES_32), _BYTES_32)]
    fixed.append((_DIGEST + Digest.SIZE, cbor.encode(str(manifest.document_type)) + _BYTES_32))
    for start, expected in fixed:
        for offset, byte in enumerate(expected, start):
            column = leaves[offset::length]
            if column.count(byte) != manifest.size:
                index = next(i for i, found in enumerate(column) if found != byte)
                raise StatementError(
                    "MANIFEST_LEAF_MALFORMED",
                    f"leaves[{index}]",
                    f"must be [1, salt, digest, {manifest.document_type}, salted subject]",
                )
