"""Signed statements between banks: who says what about a payment, and from which one-time address.

The subject binds the signer's one-time address to the payment: `urn:silkledger:payment:<id>:<address>`. That
binding is what the parties and auditors hold, and nobody else.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from silkledger.keys.account import Account, address_of
from silkledger.keys.suites import Suite
from silkledger.keys.verifying import VerifyingKey
from silkledger.registry.identity import CONTROLLER, IdentityState
from silkledger.statement import SignedStatement, StatementError, parse_statement, sign_statement
from silkledger.values import Address, Did, Digest, DocumentType, ValueShapeError

PAYMENT_ORDER: Final = DocumentType("450")
"""UN/EDIFACT 1001: payment order."""
ACKNOWLEDGEMENT: Final = DocumentType("312")
"""UN/EDIFACT 1001: acknowledgement message."""
_SUBJECT: Final = "urn:silkledger:payment:"


@dataclass(frozen=True, slots=True)
class Signatory:
    """This bank as a signer."""

    did: Did
    account: Account

    def sign(
        self,
        content: bytes,
        subject: str,
        document_type: DocumentType,
        content_type: str,
        now_s: int,
        to: Did,
    ) -> bytes:
        """A statement over the content's digest, for one reader."""
        return sign_statement(
            self.account.key,
            issuer=self.did,
            kid=f"{self.did}#{CONTROLLER}",
            subject=subject,
            document_type=document_type,
            digest=Digest(hashlib.sha256(content).digest()),
            content_type=content_type,
            issued_at=now_s,
            salt=secrets.token_bytes(16),
            audience=(to,),
        )


def subject_of(payment: bytes, address: Address) -> str:
    return f"{_SUBJECT}{payment.hex()}:{address}"


def address_bound(subject: str, payment: bytes) -> Address | None:
    """The one-time address that a subject binds to this payment; None: it is about something else."""
    start = f"{_SUBJECT}{payment.hex()}:"
    if not subject.startswith(start):
        return None
    try:
        return Address.from_hex(subject.removeprefix(start))
    except ValueShapeError:
        return None


def read_statement(raw: bytes, content: bytes) -> SignedStatement:
    """Parse a statement that must be about exactly this content. Not a verification of its signature.

    Raises:
        StatementError.
    """
    statement = parse_statement(raw)
    if statement.digest != hashlib.sha256(content).digest():
        raise StatementError("DIGEST_MISMATCH", "digest", "the statement is about other content")
    return statement


def verify_statement(statement: SignedStatement, identity: IdentityState) -> None:
    """The signature is by a key that the issuer has in this state of its identity.

    Raises:
        StatementError: KEY_UNKNOWN, or why the signature fails.
    """
    key: VerifyingKey | None = None
    if not identity.deactivated and identity.did == statement.issuer:
        if statement.fragment == CONTROLLER:
            public = statement.controller_key
            if public is not None and address_of(public) == identity.owner:
                key = VerifyingKey(Suite.ES256K, public)
        else:
            key = identity.methods.get(statement.fragment)
    if key is None:
        raise StatementError("KEY_UNKNOWN", "kid", "the issuer has no such verification method in force")
    statement.verify(key)
