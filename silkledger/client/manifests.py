"""Manifests in the hands of their issuer: made here, kept in a file, and every document proven from it.

The log's entry is the manifest alone. What proves one of its documents, the leaf with its salt, is the
holder's to keep; a service that took the manifest keeps the leaves as well, a mirror of the log does not.
File format: docs/formats/manifest-file.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from silkledger.envelope import SALT_SIZE, StatementError
from silkledger.evidence.bundle import DocumentSection, decode_bundle
from silkledger.keys.account import Account
from silkledger.log.tree import Tree
from silkledger.manifest import (
    ManifestLeaf,
    SignedManifest,
    manifest_tree,
    parse_manifest,
    salt_subject,
    sign_manifest,
)
from silkledger.values import Did, Digest, DocumentType, StatementId

FORMAT: Final = "silkledger-manifest-file/1"
"""First field of the file."""


class ManifestFileError(ValueError):
    """The file is not of the documented form, or its parts do not belong together."""


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """One document to be put into a manifest."""

    name: str
    """What its holder calls it, e.g. the file's name. Stays with the holder."""
    subject: str
    """What it is about; only its salted hash leaves the holder."""
    digest: Digest


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """One document of a manifest as its holder keeps it."""

    name: str
    subject: str
    leaf: ManifestLeaf


@dataclass(frozen=True)
class HeldManifest:
    """A manifest with everything that proves its documents.

    Guarantees, however it was made: the leaves are those under the manifest's root, in order; each is salted
    with its subject. Says nothing about the manifest's signature or about any registration.

    Raises:
        StatementError: the bytes are no manifest. ManifestFileError: the documents are not those of it.
    """

    raw: bytes
    """The signed manifest."""
    documents: tuple[HeldDocument, ...]
    promise: bytes | None = None
    """The log's promise, once the manifest was accepted."""

    def __post_init__(self) -> None:
        manifest = self.manifest
        if (self.tree.size, self.tree.root()) != (manifest.size, manifest.root):
            raise ManifestFileError("the documents are not those of the manifest")
        for index, document in enumerate(self.documents):
            if document.leaf.salted_subject != salt_subject(manifest.salt, document.subject):
                raise ManifestFileError(f"document {index} has another subject than its leaf")

    @cached_property
    def manifest(self) -> SignedManifest:
        return parse_manifest(self.raw)

    @property
    def statement_id(self) -> StatementId:
        return self.manifest.id

    @cached_property
    def tree(self) -> Tree:
        return manifest_tree([document.leaf for document in self.documents])

    @property
    def leaves(self) -> bytes:
        """The leaves' encodings one after the other, as the service takes them."""
        return b"".join(document.leaf.encode() for document in self.documents)

    def with_promise(self, promise: bytes) -> HeldManifest:
        return replace(self, promise=promise)

    def indices_of(self, digest: Digest) -> list[int]:
        """Where the document with this digest stands; several times if it was put in several times."""
        return [index for index, item in enumerate(self.documents) if item.leaf.digest == digest]

    def proof(self, index: int) -> DocumentSection:
        """The first step of a document's proof. Raises: IndexError."""
        leaf = self.documents[index].leaf
        return DocumentSection(leaf.encode(), index, tuple(self.tree.inclusion_path(index)))

    def prove(self, bundle: bytes, index: int) -> bytes:
        """The evidence bundle of document `index`, from one of any document of this manifest.

        Everything but the document's own proof is the same in both, so one answer of the service is enough
        for all of them. The log's promise is put in where it is held. Not a verification of the bundle.

        Raises:
            EvidenceInvalid: no bundle. ManifestFileError: of another manifest. IndexError.
        """
        given = decode_bundle(bundle)
        if given.statement != self.raw:
            raise ManifestFileError("the bundle is not about this manifest")
        promise = given.promise if self.promise is None else self.promise
        return replace(given, document=self.proof(index), promise=promise).encode()

    def to_json(self) -> str:
        """The file's text, ending in a newline."""
        documents = [
            {"name": item.name, "subject": item.subject, "leaf": _text(item.leaf.encode())}
            for item in self.documents
        ]
        promise = None if self.promise is None else _text(self.promise)
        value = {"format": FORMAT, "manifest": _text(self.raw), "promise": promise, "documents": documents}
        return json.dumps(value, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> HeldManifest:
        """Raises: ManifestFileError."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ManifestFileError(f"not JSON: {error}") from error
        fields = _object(value, "the file", {"format", "manifest", "promise", "documents"})
        if fields["format"] != FORMAT or not isinstance(fields["documents"], list):
            raise ManifestFileError(f"not of the format {FORMAT}")
        promise = None if fields["promise"] is None else _bytes(fields["promise"])
        try:
            documents = tuple(_document(item) for item in fields["documents"])
            return cls(_bytes(fields["manifest"]), documents, promise)
        except StatementError as error:
            raise ManifestFileError(f"{error.field}: {error.detail}") from error

    def save(self, path: Path) -> None:
        """Write the file whole or not at all, durably, readable by its owner only."""
        partial = path.with_name(path.name + ".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.to_json())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> HeldManifest:
        """Raises: ManifestFileError, FileNotFoundError."""
        return cls.from_json(path.read_bytes())


def sign_documents(
    account: Account,
    issuer: Did,
    documents: Sequence[ManifestDocument],
    *,
    subject: str,
    document_type: DocumentType,
    supersedes: StatementId | None = None,
    audience: Sequence[Did] = (),
    issued_at: int | None = None,
) -> HeldManifest:
    """One manifest over the documents, in order, by the issuer's controller key. `subject` is the manifest's.

    The manifest and every leaf get fresh 128-bit salts: keep the result, nobody can make it again.

    Raises:
        StatementError: MANIFEST_SIZE, SUBJECT_MALFORMED, ….
    """
    salt = secrets.token_bytes(SALT_SIZE)
    leaves = [
        ManifestLeaf(
            secrets.token_bytes(SALT_SIZE), item.digest, document_type, salt_subject(salt, item.subject)
        )
        for item in documents
    ]
    raw = sign_manifest(
        account.key,
        issuer=issuer,
        kid=f"{issuer}#controller",
        subject=subject,
        document_type=document_type,
        leaves=leaves,
        issued_at=issued_at if issued_at is not None else int(time.time()),
        salt=salt,
        supersedes=supersedes,
        audience=tuple(audience),
    )
    held = zip(documents, leaves, strict=True)
    return HeldManifest(raw, tuple(HeldDocument(item.name, item.subject, leaf) for item, leaf in held))


def _document(value: object) -> HeldDocument:
    fields = _object(value, "a document", {"name", "subject", "leaf"})
    name, subject = fields["name"], fields["subject"]
    if not isinstance(name, str) or not isinstance(subject, str):
        raise ManifestFileError("a document's name and subject are text")
    return HeldDocument(name, subject, ManifestLeaf.decode(_bytes(fields["leaf"])))


def _object(value: object, what: str, names: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != names:
        raise ManifestFileError(f"{what} must be an object of {', '.join(sorted(names))}")
    return value


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise ManifestFileError("manifest, promise and leaves are base64") from None
