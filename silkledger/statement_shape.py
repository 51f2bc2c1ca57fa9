"""Reading many statements that are alike but for what differs from document to document: parsing, fast.

An issuer's statements of one call are mostly alike: same key, type, audience, content type. A shape is made
of one that the strict parser accepted; it reads another one if all its bytes are the same but for subject,
time, salt, digest and signature, each in its place and of its length. `read` returns what `parse_statement`
would, or None, which says nothing: then the strict parser decides. A property test holds it to that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple, Self

from silkledger import cbor, cose
from silkledger.envelope import MAX_ISSUED_AT, SALT_SIZE, StatementError, check_subject
from silkledger.statement import SignedStatement


class Read(NamedTuple):
    """What one statement of the shape says by itself."""

    id: bytes
    """Statement id: SHA-256 of `sig_structure`."""
    digest: bytes
    subject: str
    signature: bytes
    sig_structure: bytes


@dataclass(frozen=True, slots=True)
class StatementShape:
    """The constant bytes of a statement, and where the others are."""

    length: int
    protected: tuple[int, int]
    """Start and end of the protected header's bytes."""
    subject: tuple[int, int]
    """Of the subject's text."""
    issued_at: tuple[int, int]
    """Of the time's encoding, its head included."""
    salt: int
    digest: int
    constants: tuple[tuple[int, int, bytes], ...]
    """(start, end, bytes) of everything else but the signature, which ends the statement."""

    @classmethod
    def of(cls, statement: SignedStatement) -> Self | None:
        """The shape of a statement as `parse_statement` returned it; None for one that supersedes another.

        Deterministic CBOR has one order and one length of everything, so the places follow from the values
        (docs/formats/statement.md).
        """
        if statement.supersedes is not None:
            return None
        raw = statement.raw
        size = {0x58: 2, 0x59: 3}[raw[2]]
        start = 2 + size
        end = start + int.from_bytes(raw[3:start], "big")
        at = start + 1 + 1 + _size(int(statement.suite)) + 1 + _size(statement.kid.encode())
        at += 1 + 1 + 1 + _size(statement.issuer.text) + 1
        subject_size = len(statement.subject.encode())
        subject = at + _size(statement.subject) - subject_size
        issued_at = subject + subject_size + 1
        after = issued_at + _size(statement.issued_at)
        salt = after + 5 + _size(str(statement.document_type)) + 5 + 1
        digest = end + 1 + 2
        variable = (
            (subject, subject + subject_size),
            (issued_at, after),
            (salt, salt + SALT_SIZE),
            (digest, digest + 32),
        )
        constants, last = [], 0
        for first, until in (*variable, (len(raw) - len(statement.signature), len(raw))):
            constants.append((last, first, raw[last:first]))
            last = until
        shape = cls(len(raw), (start, end), variable[0], variable[1], salt, digest, tuple(constants))
        return shape if shape.read(raw) == _expected(statement) else None

    def read(self, raw: bytes) -> Read | None:
        """The statement's own values, if it is of this shape. Not a verification of its signature."""
        if len(raw) != self.length:
            return None
        for start, end, constant in self.constants:
            if raw[start:end] != constant:
                return None
        begin, until = self.issued_at
        if not _is_time(raw[begin:until]):
            return None
        begin, until = self.subject
        try:
            subject = check_subject(raw[begin:until].decode())
        except (UnicodeDecodeError, StatementError):
            return None
        begin, until = self.protected
        digest = raw[self.digest : self.digest + 32]
        structure = cose.sig_structure(raw[begin:until], digest)
        return Read(hashlib.sha256(structure).digest(), digest, subject, raw[-64:], structure)


def _size(value: int | str | bytes) -> int:
    return len(cbor.encode(value))


def _is_time(encoded: bytes) -> bool:
    """Whether these bytes are a time that a statement may have, in the shortest form."""
    head, value = encoded[0], int.from_bytes(encoded[1:], "big")
    if head == 0x1A:
        return len(encoded) == 5 and value > 0xFFFF
    return head == 0x1B and len(encoded) == 9 and 0xFFFFFFFF < value <= MAX_ISSUED_AT


def _expected(statement: SignedStatement) -> Read:
    return Read(
        bytes(statement.id),
        bytes(statement.digest),
        statement.subject,
        statement.signature,
        statement.sig_structure,
    )
