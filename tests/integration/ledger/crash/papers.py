"""What is filed: calls of statements or of one manifest, with what has to be found under them later."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from silkledger.ledger.v1 import ledger_pb2 as pb
from silkledger.manifest import ManifestLeaf, parse_manifest, salt_subject, sign_manifest
from silkledger.statement import parse_statement
from silkledger.values import Digest

from ..conftest import BILL, Ledger, register

DOCUMENTS = 300
"""Most documents of one manifest: more than one row of them."""


@dataclass(frozen=True)
class Filing:
    """One call, to be repeated as it is until it is answered."""

    method: str
    request: Any
    entries: dict[bytes, bytes]
    """The log's entries that it asks for, by statement id."""
    digests: dict[bytes, bytes]
    """Digest of each document, and the statement id under which it is to be found."""


def statements(raws: Sequence[bytes], request_id: uuid.UUID) -> Filing:
    parsed = {bytes(statement.id): statement for statement in map(parse_statement, raws)}
    return Filing(
        "RegisterStatements",
        register(*raws, request_id=str(request_id)),
        {bytes(parse_statement(raw).id): raw for raw in raws},
        {bytes(statement.digest): key for key, statement in parsed.items()},
    )


def manifest(service: Ledger, rng: Random, request_id: uuid.UUID) -> Filing:
    """A fresh manifest of the agency's, of some hundred bills of lading at most."""
    agency, salt = service.founded.agency, secrets.token_bytes(16)
    did = service.did(agency)
    leaves = [
        ManifestLeaf(
            secrets.token_bytes(16),
            Digest(secrets.token_bytes(32)),
            BILL,
            salt_subject(salt, f"urn:sample:bl:{place}"),
        )
        for place in range(rng.randint(1, DOCUMENTS))
    ]
    raw = sign_manifest(
        agency.key,
        issuer=did,
        kid=f"{did}#controller",
        subject=f"urn:sample:manifest:{request_id}",
        document_type=BILL,
        leaves=leaves,
        issued_at=int(time.time()),
        salt=salt,
    )
    statement_id = bytes(parse_manifest(raw).id)
    request = pb.RegisterManifestRequest(
        request_id=str(request_id), manifest=raw, leaves=b"".join(leaf.encode() for leaf in leaves)
    )
    digests = {bytes(leaf.digest): statement_id for leaf in leaves}
    return Filing("RegisterManifest", request, {statement_id: raw}, digests)


def registered(response: Any) -> list[bytes]:
    """The statement ids that an answer calls new."""
    items = [response] if isinstance(response, pb.RegisterManifestResponse) else response.statements
    return [bytes(item.statement_id) for item in items if not item.already_registered]
