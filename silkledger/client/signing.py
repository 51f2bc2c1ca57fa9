"""Local signing: what an organisation says, signed where its key lives."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from silkledger.keys.account import Account
from silkledger.statement import parse_statement, sign_statement
from silkledger.values import Did, Digest, DocumentType, StatementId

_CHUNK: Final = 1024 * 1024

SALT_BYTES: Final = 16


def digest_of_file(path: Path) -> Digest:
    """SHA-256 of the file's bytes exactly as they are, read in pieces."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            hasher.update(piece)
    return Digest(hasher.digest())


def sign_document(
    account: Account,
    issuer: Did,
    *,
    digest: Digest,
    subject: str,
    document_type: DocumentType,
    content_type: str,
    supersedes: StatementId | None = None,
    audience: Sequence[Did] = (),
    issued_at: int | None = None,
) -> bytes:
    """A signed statement by the issuer's controller key, with a fresh 128-bit salt.

    Raises: StatementError.
    """
    return sign_statement(
        account.key,
        issuer=issuer,
        kid=f"{issuer}#controller",
        subject=subject,
        document_type=document_type,
        digest=digest,
        content_type=content_type,
        issued_at=issued_at if issued_at is not None else int(time.time()),
        salt=secrets.token_bytes(SALT_BYTES),
        supersedes=supersedes,
        audience=tuple(audience),
    )


def statement_id(signed: bytes) -> StatementId:
    """Raises: StatementError."""
    return parse_statement(signed).id
