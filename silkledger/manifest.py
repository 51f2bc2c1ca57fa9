"""Manifests: one signed statement over the RFC 9162 tree of up to 10,000 documents of one type.

The payload is CBOR {1: size, 2: root, 3: leaf format}. One signature check stands for all documents; each
keeps a proof of two steps: its leaf under the manifest's root, the manifest's bytes in the log.

Format and pure functions only. Guarantees as for a statement: one encoding, nothing unsigned. Leaves are
salted one by one, so that the proof of one document says nothing about its neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from silkledger import cbor, cose
from silkledger.envelope import (
    SALT_SIZE,
    SignedObject,
    StatementError,
    Subject,
    encode_protected,
    read_common,
    read_sign1,
)
from silkledger.keys import SigningKey
from silkledger.log.tree import ProofInvalid, Tree, leaf_hash, verify_inclusion
from silkledger.values import Did, Digest, DocumentType, MerkleRoot, StatementId, ValueShapeError

CONTENT_TYPE: Final = "application/silkledger-manifest+cbor"
"""Value of the COSE content type header (3): what tells a manifest from a statement."""
MAX_DOCUMENTS: Final = 10_000
LEAF_FORMAT: Final = 1
"""The leaf is CBOR [1, salt, digest, document type, salted subject]."""

_SIZE, _ROOT, _FORMAT = 1, 2, 3
_SUBJECT_TAG: Final = b"silkledger/manifest-subject/v1"


@dataclass(frozen=True, slots=True)
class ManifestLeaf:
    """One document of a manifest, as its tree holds it."""

    salt: bytes
    """16 random bytes of this leaf alone: without them its hash cannot be guessed from a template."""
    digest: Digest
    document_type: DocumentType
    salted_subject: bytes
    """`salt_subject(manifest salt, subject)`: found by whoever holds the manifest and knows the subject."""

    def encode(self) -> bytes:
        """The leaf's bytes: deterministic CBOR."""
        return cbor.encode(
            [LEAF_FORMAT, self.salt, bytes(self.digest), str(self.document_type), self.salted_subject]
        )

    @classmethod
    def decode(cls, data: bytes) -> ManifestLeaf:
        """Raises:
        StatementError: MANIFEST_LEAF_MALFORMED.
        """
        try:
            version, salt, digest, document_type, subject = cbor.decode(data)
            shaped = type(version) is int and type(document_type) is str
            shaped = shaped and all(type(item) is bytes for item in (salt, digest, subject))
            if shaped and version == LEAF_FORMAT and len(salt) == SALT_SIZE and len(subject) == 32:
                return cls(salt, Digest(digest), DocumentType(document_type), subject)
        except (cbor.CborError, ValueShapeError, TypeError, ValueError) as error:
            raise StatementError("MANIFEST_LEAF_MALFORMED", "leaf", str(error)) from None
        raise StatementError(
            "MANIFEST_LEAF_MALFORMED", "leaf", "must be [1, salt, digest, document type, salted subject]"
        )


@dataclass(frozen=True, slots=True)
class SignedManifest(SignedObject):
    """A parsed manifest. Not verified until `verify` has returned."""

    size: int
    root: MerkleRoot


def salt_subject(manifest_salt: bytes, subject: str) -> bytes:
    """SHA-256 of a tag, the manifest's salt and the subject."""
    return hashlib.sha256(_SUBJECT_TAG + manifest_salt + subject.encode()).digest()


def manifest_tree(leaves: Sequence[ManifestLeaf]) -> Tree:
    """The tree over the leaves, in order: gives root and paths.

    Raises:
        StatementError: MANIFEST_SIZE.
    """
    if not 0 < len(leaves) <= MAX_DOCUMENTS:
        raise StatementError("MANIFEST_SIZE", "size", f"a manifest holds 1 to {MAX_DOCUMENTS} documents")
    tree = Tree()
    tree.extend(leaf.encode() for leaf in leaves)
    return tree


def sign_manifest(
    key: SigningKey,
    *,
    issuer: Did,
    kid: str,
    subject: str,
    document_type: DocumentType,
    leaves: Sequence[ManifestLeaf],
    issued_at: int,
    salt: bytes,
    supersedes: StatementId | None = None,
    audience: Sequence[Did] = (),
) -> bytes:
    """Sign a manifest over `leaves`. `subject` names the manifest itself.

    Raises:
        StatementError: if the result would be refused, or a leaf is of another type (MANIFEST_TYPE_MIXED).
    """
    if any(leaf.document_type != document_type for leaf in leaves):
        raise StatementError(
            "MANIFEST_TYPE_MIXED", "document_type", "all documents of a manifest are of one type"
        )
    tree = manifest_tree(leaves)
    payload = cbor.encode({_SIZE: tree.size, _ROOT: bytes(tree.root()), _FORMAT: LEAF_FORMAT})
    about = Subject(issuer, kid, subject, document_type, issued_at, salt, supersedes, tuple(audience))
    protected = encode_protected(about, key.verifying_key, {cose.CONTENT_TYPE: CONTENT_TYPE})
    raw = cose.encode_sign1(protected, payload, key.sign(cose.sig_structure(protected, payload)))
    parse_manifest(raw)
    return raw


def is_manifest(raw: bytes) -> bool:
    """Whether the bytes claim to be a manifest and not a statement. Says nothing else about them.

    Raises:
        StatementError: if they are not even a COSE_Sign1 in the accepted form.
    """
    return read_sign1(raw).protected.get(cose.CONTENT_TYPE) == CONTENT_TYPE


def parse_manifest(raw: bytes) -> SignedManifest:
    """Parse a manifest strictly, as `parse_statement` does. This is not a verification of its signature.

    Raises:
        StatementError: as for a statement, or NOT_A_MANIFEST, MANIFEST_PAYLOAD_MALFORMED, MANIFEST_SIZE,
            MANIFEST_LEAF_FORMAT.
    """
    sign1 = read_sign1(raw)
    if sign1.protected.get(cose.CONTENT_TYPE) != CONTENT_TYPE:
        raise StatementError("NOT_A_MANIFEST", "protected[3]", f"must be {CONTENT_TYPE}")
    common = read_common(raw, sign1, (cose.CONTENT_TYPE,))
    try:
        payload = cose.decode_part(sign1.payload or b"", "payload")
    except cose.CoseError as error:
        raise StatementError(error.reason, error.field, error.detail) from None
    if type(payload) is not dict or set(payload) != {_SIZE, _ROOT, _FORMAT}:
        raise StatementError(
            "MANIFEST_PAYLOAD_MALFORMED", "payload", "must be a map with the keys 1, 2 and 3"
        )
    size, root, leaf_format = payload[_SIZE], payload[_ROOT], payload[_FORMAT]
    if type(size) is not int or not 0 < size <= MAX_DOCUMENTS:
        raise StatementError("MANIFEST_SIZE", "size", f"a manifest holds 1 to {MAX_DOCUMENTS} documents")
    if type(root) is not bytes or len(root) != MerkleRoot.SIZE:
        raise StatementError("MANIFEST_PAYLOAD_MALFORMED", "root", "must be 32 bytes")
    if type(leaf_format) is not int or leaf_format != LEAF_FORMAT:
        raise StatementError("MANIFEST_LEAF_FORMAT", "leaf_format", f"must be {LEAF_FORMAT}")
    return SignedManifest(**common, size=size, root=MerkleRoot(root))


def verify_document(
    manifest: SignedManifest, digest: Digest, leaf_data: bytes, index: int, path: Sequence[bytes]
) -> ManifestLeaf:
    """First step of a document's proof: `digest` is document `index` of the manifest.

    1. the leaf's form; 2. it names this digest; 3. it is of the manifest's type; 4. it lies under its
    root. The second step, the manifest's bytes in the log, is `silkledger.log.receipt.verify_receipt`; the
    manifest's signature is verified like a statement's.

    Raises:
        StatementError: MANIFEST_LEAF_MALFORMED, MANIFEST_DIGEST_MISMATCH, MANIFEST_TYPE_MIXED, or the
        reason of
            ProofInvalid.
    """
    # (1)
    leaf = ManifestLeaf.decode(leaf_data)
    # (2)
    if leaf.digest != digest:
        raise StatementError("MANIFEST_DIGEST_MISMATCH", "leaf", "the leaf is of another document")
    # (3)
    if leaf.document_type != manifest.document_type:
        raise StatementError("MANIFEST_TYPE_MIXED", "leaf", "the leaf is of another type than the manifest")
    # (4)
    try:
        verify_inclusion(index, manifest.size, leaf_hash(leaf_data), path, manifest.root)
    except ProofInvalid as error:
        raise StatementError(error.reason, "path", error.detail) from None
    return leaf
