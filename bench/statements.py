"""Signed statements: the whole strict check against the bare signature verification inside it."""

from __future__ import annotations

import hashlib

import coincurve

from bench.measure import Measurement, compare
from silkledger.keys import Suite, generate
from silkledger.keys.account import address_of
from silkledger.statement import parse_statement, sign_statement
from silkledger.values import Did, Digest, DocumentType

COUNT = 2_000
"""Statements a round."""


def _statements() -> list[bytes]:
    key = generate(Suite.ES256K)
    issuer = Did.of(7317, address_of(key.verifying_key.public))
    return [
        sign_statement(
            key,
            issuer=issuer,
            kid=f"{issuer}#controller",
            subject=f"urn:example:bl:{index}",
            document_type=DocumentType("705"),
            digest=Digest(hashlib.sha256(index.to_bytes(4)).digest()),
            content_type="application/json",
            issued_at=1_700_000_000,
            salt=index.to_bytes(16),
        )
        for index in range(COUNT)
    ]


def statement_check() -> list[Measurement]:
    """Parse strictly and verify (ES256K) against secp256k1 verification of prepared inputs alone."""
    raw = _statements()
    parsed = [parse_statement(one) for one in raw]
    key = coincurve.PublicKey(parsed[0].controller_key or b"")
    bare = [
        (
            coincurve.ecdsa.cdata_to_der(coincurve.ecdsa.deserialize_compact(one.signature)),
            hashlib.sha256(one.sig_structure).digest(),
        )
        for one in parsed
    ]

    def check() -> int:
        for one in raw:
            statement = parse_statement(one)
            carried = statement.carried_key()
            if carried is None:
                raise AssertionError("a controller's statement carries its key")
            statement.verify(carried)
        return len(raw)

    def verify_only() -> int:
        if not all(key.verify(signature, digest, hasher=None) for signature, digest in bare):
            raise AssertionError("a prepared signature does not verify")
        return len(bare)

    return [
        compare(
            "statement_check",
            "statements/s",
            work=check,
            baseline="bare secp256k1 verify",
            baseline_work=verify_only,
        )
    ]
