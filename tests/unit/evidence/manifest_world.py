"""The small ledger of `world.py`, where the statement is a manifest and the document one of several in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from silkledger import cbor, cose
from silkledger.evidence.assemble import document_section
from silkledger.evidence.bundle import Bundle
from silkledger.keys import SigningKey
from silkledger.keys.account import Account
from silkledger.manifest import ManifestLeaf, salt_subject, sign_manifest
from silkledger.values import Did, Digest, DocumentType
from tests.unit.evidence.world import BILL, DOCUMENT, START, World

SALT = b"\x05" * 16


def leaf(number: int, document: bytes, kind: DocumentType = BILL) -> ManifestLeaf:
    subject = salt_subject(SALT, f"SAMPLE-BL-{number}")
    return ManifestLeaf(bytes([number]) * 16, Digest(sha256(document).digest()), kind, subject)


def leaves(documents: int, index: int) -> list[ManifestLeaf]:
    """DOCUMENT at `index`, among others."""
    return [leaf(i, DOCUMENT if i == index else b"another document %d" % i) for i in range(documents)]


def content_of(raw: bytes) -> Any:
    """The payload of a COSE_Sign1, decoded."""
    return cbor.decode(cose.parse_sign1(raw, limit=8192).payload or b"")


def resigned(raw: bytes, key: SigningKey, payload: bytes) -> bytes:
    """The COSE_Sign1 `raw` with another payload, signed by `key`."""
    protected = cose.parse_sign1(raw, limit=8192).protected_raw
    return cose.encode_sign1(protected, payload, key.sign(cose.sig_structure(protected, payload)))


@dataclass
class ManifestWorld(World):
    """DOCUMENT is number `index` of `documents`."""

    documents: int = 5
    index: int = 2

    def sign(self, signer: Account, did: Did, kid: str = "controller") -> bytes:
        return sign_manifest(
            signer.key,
            issuer=did,
            kid=f"{did}#{kid}",
            subject="SAMPLE-BATCH-1",
            document_type=BILL,
            leaves=self.leaves(),
            issued_at=START,
            salt=SALT,
        )

    def leaves(self) -> list[ManifestLeaf]:
        return leaves(self.documents, self.index)

    def evidence(self) -> Bundle:
        return replace(super().evidence(), document=document_section(self.leaves(), self.index))
