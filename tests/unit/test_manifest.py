"""Manifests: one signature for many documents, and a proof of two steps for each."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from silkledger import cbor, cose
from silkledger.keys import Suite, generate
from silkledger.keys.account import Account
from silkledger.log.checkpoint import Checkpoint, LogVerifierKey
from silkledger.log.receipt import make_receipt, verify_receipt
from silkledger.log.tree import Tree
from silkledger.manifest import (
    CONTENT_TYPE,
    MAX_DOCUMENTS,
    ManifestLeaf,
    is_manifest,
    manifest_tree,
    parse_manifest,
    salt_subject,
    sign_manifest,
    verify_document,
)
from silkledger.statement import StatementError, parse_statement, sign_statement
from silkledger.values import Did, Digest, DocumentType

ACCOUNT = Account.generate()
DID = Did.of(7317, ACCOUNT.address)
SALT = b"s" * 16
KIND = DocumentType("380")
COMMON: dict[str, Any] = {
    "issuer": DID,
    "kid": f"{DID}#controller",
    "subject": "batch/2026-11",
    "document_type": KIND,
    "issued_at": 1_790_000_000,
    "salt": SALT,
}


def digest(i: int) -> Digest:
    return Digest(hashlib.sha256(b"invoice %d" % i).digest())


def leaf(i: int, kind: DocumentType = KIND) -> ManifestLeaf:
    return ManifestLeaf(i.to_bytes(16, "big"), digest(i), kind, salt_subject(SALT, f"inv/{i}"))


LEAVES = [leaf(i) for i in range(21)]
RAW = sign_manifest(ACCOUNT.key, leaves=LEAVES, **COMMON)


def reason_of(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(StatementError) as caught:
        call(*args, **kwargs)
    return caught.value.reason


def test_each_document_is_proven_in_two_steps() -> None:
    manifest = parse_manifest(RAW)
    manifest.verify(ACCOUNT.key.verifying_key)
    tree = manifest_tree(LEAVES)
    assert (manifest.size, manifest.root) == (21, tree.root())
    log, key = Tree(), generate(Suite.EDDSA)
    log.extend([b"before", RAW, b"after"])
    vkey = LogVerifierKey.of("log.example/1", key.verifying_key)
    receipt = make_receipt(
        key, origin=vkey.name, size=3, index=1, path=log.inclusion_path(1), root=log.root()
    )
    for i, one in enumerate(LEAVES):
        found = verify_document(manifest, digest(i), one.encode(), i, tree.inclusion_path(i))
        assert found.salted_subject == salt_subject(SALT, f"inv/{i}")
    head = Checkpoint(vkey.name, 3, log.root())
    assert verify_receipt(receipt, manifest.raw, vkey, head).index == 1


def test_a_proof_is_for_one_document_at_one_place() -> None:
    manifest, tree = parse_manifest(RAW), manifest_tree(LEAVES)
    data, path = LEAVES[4].encode(), tree.inclusion_path(4)
    assert reason_of(verify_document, manifest, digest(5), data, 4, path) == "MANIFEST_DIGEST_MISMATCH"
    assert reason_of(verify_document, manifest, digest(4), data, 6, path) == "ROOT_MISMATCH"
    assert reason_of(verify_document, manifest, digest(4), data, 4, path[:-1]) == "PATH_TOO_SHORT"
    assert reason_of(verify_document, manifest, digest(4), data, 21, path) == "INDEX_OUT_OF_RANGE"
    unsalted = ManifestLeaf(bytes(16), digest(4), KIND, LEAVES[4].salted_subject).encode()
    assert reason_of(verify_document, manifest, digest(4), unsalted, 4, path) == "ROOT_MISMATCH"
    assert reason_of(verify_document, manifest, digest(4), data + b"\0", 4, path) == "MANIFEST_LEAF_MALFORMED"
    other = leaf(4, DocumentType("705")).encode()
    assert reason_of(verify_document, manifest, digest(4), other, 4, path) == "MANIFEST_TYPE_MIXED"


def test_a_manifest_is_of_one_type_and_of_a_bounded_size() -> None:
    mixed = [*LEAVES, leaf(99, DocumentType("705"))]
    assert reason_of(sign_manifest, ACCOUNT.key, leaves=mixed, **COMMON) == "MANIFEST_TYPE_MIXED"
    assert reason_of(sign_manifest, ACCOUNT.key, leaves=[], **COMMON) == "MANIFEST_SIZE"
    assert reason_of(manifest_tree, [leaf(0)] * (MAX_DOCUMENTS + 1)) == "MANIFEST_SIZE"


def test_a_manifest_is_no_statement_and_a_statement_no_manifest() -> None:
    statement = sign_statement(ACCOUNT.key, digest=digest(0), content_type="application/xml", **COMMON)
    assert is_manifest(RAW)
    assert not is_manifest(statement)
    assert reason_of(parse_statement, RAW) == "NOT_A_HASH_ENVELOPE"
    assert reason_of(parse_manifest, statement) == "NOT_A_MANIFEST"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({1: 0, 2: bytes(32), 3: 1}, "MANIFEST_SIZE"),
        ({1: 10_001, 2: bytes(32), 3: 1}, "MANIFEST_SIZE"),
        ({1: True, 2: bytes(32), 3: 1}, "MANIFEST_SIZE"),
        ({1: 1, 2: bytes(31), 3: 1}, "MANIFEST_PAYLOAD_MALFORMED"),
        ({1: 1, 2: bytes(32), 3: 2}, "MANIFEST_LEAF_FORMAT"),
        ({1: 1, 2: bytes(32)}, "MANIFEST_PAYLOAD_MALFORMED"),
        ({1: 1, 2: bytes(32), 3: 1, 4: 0}, "MANIFEST_PAYLOAD_MALFORMED"),
        ([], "MANIFEST_PAYLOAD_MALFORMED"),
    ],
)
def test_other_payloads_are_refused_even_when_signed(payload: Any, reason: str) -> None:
    sign1 = cose.parse_sign1(RAW, limit=8192)
    assert sign1.protected[3] == CONTENT_TYPE
    body = cbor.encode(payload)
    signature = ACCOUNT.key.sign(cose.sig_structure(sign1.protected_raw, body))
    assert reason_of(parse_manifest, cose.encode_sign1(sign1.protected_raw, body, signature)) == reason


@pytest.mark.parametrize(
    "value",
    [
        [2, bytes(16), bytes(32), "380", bytes(32)],
        [1, bytes(15), bytes(32), "380", bytes(32)],
        [1, bytes(16), bytes(31), "380", bytes(32)],
        [1, bytes(16), bytes(32), "3-0", bytes(32)],
        [1, bytes(16), bytes(32), "380", bytes(31)],
        [1, bytes(16), bytes(32), 380, bytes(32)],
        [True, bytes(16), bytes(32), "380", bytes(32)],
        [1, bytes(16), bytes(32), "380"],
        {},
        7,
    ],
)
def test_leaves_are_read_strictly(value: Any) -> None:
    assert reason_of(ManifestLeaf.decode, cbor.encode(value)) == "MANIFEST_LEAF_MALFORMED"
