"""A log and its one writer as tests drive them: statements by number, accepted and sequenced."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from services.ledger.admission.acceptance import Acceptance, Candidate, Terms
from services.ledger.domain import IssuerKeys, check_statements
from services.ledger.index.known import KnownStatements
from services.ledger.log_keys.signing import LogSigningKeys
from services.ledger.sequencing.queue import Queue
from services.ledger.sequencing.sequencer import Sequencer, SequencingLimits
from silkledger.keys import Suite, generate
from silkledger.keys.account import Account
from silkledger.log.tree import Tree
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from silkledger.statement import sign_statement
from silkledger.values import Did, Digest, DocumentType

ORIGIN = "silkledger.example/test"
KEY = generate(Suite.EDDSA)
ISSUER = Account.from_secret(b"\x11" * 32)
DID = Did.of(7317, ISSUER.address)
KEYS = IssuerKeys(DID, ISSUER.address, False, {})


def sequencer(database: Database, queue: Queue, batch: int = 100) -> Sequencer:
    async def caught_up() -> bool:
        return True

    return Sequencer(database, queue, LogSigningKeys(ORIGIN, KEY), SequencingLimits(0.01, batch), caught_up)


def raw(number: int) -> bytes:
    return sign_statement(
        ISSUER.key,
        issuer=DID,
        kid=f"{DID}#controller",
        subject=f"urn:sample:{number % 3}",
        document_type=DocumentType("705"),
        digest=Digest(number.to_bytes(32, "big")),
        content_type="text/plain",
        issued_at=1,
        salt=number.to_bytes(16, "big"),
    )


def candidate(numbers: Sequence[int], request_id: str) -> Candidate:
    raws = [raw(number) for number in numbers]
    return Candidate(
        DID,
        DID,
        "RegisterStatements",
        request_id,
        hashlib.sha256(b"".join(raws)).digest(),
        raws,
        check_statements(0, raws, KEYS),
        Terms(1, 2, 1, bytes(32)),
        lambda new: bytes(new),
    )


async def accept(database: Database, first: int, count: int, queue: Queue | None = None) -> None:
    if count:
        acceptance = Acceptance(database, queue or Queue(1000), KnownStatements())
        await acceptance.accept(candidate(range(first, first + count), str(uuid.uuid4())))


def expected(count: int) -> Tree:
    tree = Tree()
    tree.extend(raw(number) for number in range(count))
    return tree


def anchored(size: int, root: bytes) -> dict[str, object]:
    return {
        "block_number": 9,
        "log_index": 0,
        "tx_hash": bytes(32),
        "origin_id": origin_id(ORIGIN),
        "size": size,
        "root": root,
        "prev_size": 0,
        "prev_root": bytes(32),
    }
