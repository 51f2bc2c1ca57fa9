"""Which document a bundle is about: that of its statement, or one of the manifest in the statement's place.

A manifest's signature, its place in the log and its status are checked once, for all of its documents; what
is shown here is that this document is one of them.
"""

from __future__ import annotations

from typing import Final

from silkledger.envelope import SignedObject, StatementError
from silkledger.evidence.bundle import DocumentSection
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.manifest import SignedManifest, is_manifest, parse_manifest, verify_document
from silkledger.statement import SignedStatement, parse_statement
from silkledger.values import Digest

_PARSE_REASONS: Final = {
    "MANIFEST_PAYLOAD_MALFORMED": Reason.MANIFEST_PAYLOAD_MALFORMED,
    "MANIFEST_SIZE": Reason.MANIFEST_SIZE,
    "MANIFEST_LEAF_FORMAT": Reason.MANIFEST_LEAF_FORMAT,
}
"""What a manifest can be refused for beyond what it shares with statements."""
_PROOF_REASONS: Final = {
    "MANIFEST_LEAF_MALFORMED": Reason.MANIFEST_LEAF_MALFORMED,
    "MANIFEST_DIGEST_MISMATCH": Reason.DOCUMENT_DIGEST,
    "MANIFEST_TYPE_MIXED": Reason.MANIFEST_TYPE_MIXED,
    "INDEX_OUT_OF_RANGE": Reason.DOCUMENT_INDEX,
    "PATH_TOO_LONG": Reason.DOCUMENT_PATH_TOO_LONG,
    "PATH_TOO_SHORT": Reason.DOCUMENT_PATH_TOO_SHORT,
    "ROOT_MISMATCH": Reason.DOCUMENT_ROOT,
}


def read_statement(raw: bytes) -> SignedStatement | SignedManifest:
    """What the bytes are, strictly. Says nothing about the signature.

    Raises:
        EvidenceInvalid: STATEMENT_MALFORMED, MANIFEST_PAYLOAD_MALFORMED, MANIFEST_SIZE, MANIFEST_LEAF_FORMAT.
    """
    try:
        return parse_manifest(raw) if is_manifest(raw) else parse_statement(raw)
    except StatementError as error:
        reason = _PARSE_REASONS.get(error.reason, Reason.STATEMENT_MALFORMED)
        raise EvidenceInvalid(reason, str(error)) from error


def check_document(statement: SignedObject, section: DocumentSection | None, digest: Digest) -> str:
    """That the statement is about the document with this digest. What a reader should know about how.

    1. a statement names the digest, and no proof is with it; 2. a manifest comes with a proof; 3. the leaf
    has its only form; 4. it names the digest; 5. it is of the manifest's type; 6. it is under the manifest's
    root, at the index named.

    Raises:
        EvidenceInvalid: DOCUMENT_DIGEST, DOCUMENT_PROOF_UNEXPECTED, DOCUMENT_PROOF_MISSING,
            MANIFEST_LEAF_MALFORMED, MANIFEST_TYPE_MIXED, DOCUMENT_INDEX, DOCUMENT_PATH_TOO_LONG,
            DOCUMENT_PATH_TOO_SHORT, DOCUMENT_ROOT.
    """
    if not isinstance(statement, SignedManifest):
        assert isinstance(statement, SignedStatement)
        _check_statement(statement, section, digest)  # (1)
        return ""
    if section is None:  # (2)
        raise EvidenceInvalid(
            Reason.DOCUMENT_PROOF_MISSING, f"a manifest of {statement.size} documents, and a proof of none"
        )
    try:  # (3) to (6)
        verify_document(statement, digest, section.leaf, section.index, section.path)
    except StatementError as error:
        reason = _PROOF_REASONS[error.reason]
        other = reason is Reason.DOCUMENT_DIGEST
        detail = f"{error.detail}; that says nothing about {digest}" if other else error.detail
        raise EvidenceInvalid(reason, detail) from error
    return f"document {section.index + 1} of the {statement.size} of a manifest"


def _check_statement(statement: SignedStatement, section: DocumentSection | None, digest: Digest) -> None:
    if section is not None:
        raise EvidenceInvalid(
            Reason.DOCUMENT_PROOF_UNEXPECTED, "the statement is about one document and needs no such proof"
        )
    if statement.digest != digest:
        raise EvidenceInvalid(
            Reason.DOCUMENT_DIGEST,
            f"the bundle is about the document {statement.digest}; that says nothing about {digest}",
        )
