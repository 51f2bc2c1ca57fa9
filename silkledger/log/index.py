"""The log's segmented index: where to find what was logged, by a key of eight bytes. Pure: records and pages.

A record is 16 bytes: prefix of a hash (7), kind (1), leaf index (6), document (2), all big-endian; the first
eight are its key. Records are kept sorted, in pages, in segments that each cover a run of leaves; a segment
never changes, small ones are merged into larger ones. A prefix is a part of a hash only: whoever looks
something up confirms each hit in the entry's own bytes. A pure function of the entries and of the calls that
they came in: an auditor recomputes every record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

KEY: Final = 8
RECORD: Final = 16
"""Bytes of a key, and of a record."""
PAGE: Final = 240 * RECORD
"""Bytes of a full page: what fits into a page of SQLite beside its header."""

RELATIVE: Final = Struct(">8sHH")
"""A record of an accepted call, whose leaves are not known yet: key, item of the call, document."""
_PREFIX: Final = 7
MAX_DOCUMENTS: Final = 10_000
"""Most documents of a manifest."""


class Kind(IntEnum):
    """What a record's prefix was cut from."""

    STATEMENT_ID = 0
    DIGEST = 1
    """Of a statement's document, or of one of a manifest's."""
    SUBJECT = 2
    """Of a statement or manifest: SHA-256 of its text."""
    SALTED_SUBJECT = 3
    """Of a document of a manifest, as its leaf has it."""
    ISSUER = 4
    """Of the DID's text. Stands for all leaves of the run (`leaf_run`) that begins at the record's leaf."""
    ISSUER_AND_TYPE = 5
    """As ISSUER, where at least one entry of the run is of the type."""


_KINDS: Final = [bytes((kind,)) for kind in Kind]
_ID: Final = _KINDS[Kind.STATEMENT_ID]
_DIGEST: Final = _KINDS[Kind.DIGEST]


class Position(NamedTuple):
    """A record without its key. `document` 0 is the entry itself, n the manifest's document n - 1."""

    leaf: int
    document: int


def pack(leaf: int, document: int) -> bytes:
    """The position as the last eight bytes of a record: in the order of leaves, then documents."""
    return (leaf << 16 | document).to_bytes(8, "big")


def unpack(data: bytes) -> Position:
    """The position in the last eight bytes of a record."""
    value = int.from_bytes(data, "big")
    return Position(value >> 16, value & 0xFFFF)


def hash_key(kind: Kind, value: bytes) -> bytes:
    """Key of something that is a hash already: a statement id, a digest, a salted subject."""
    return value[:_PREFIX] + _KINDS[kind]


def text_key(kind: Kind, *parts: str) -> bytes:
    """Key of one or more texts: cut from a SHA-256 over each after its length in two bytes."""
    whole = b""
    for part in parts:
        encoded = part.encode()
        whole += len(encoded).to_bytes(2, "big") + encoded
    return hashlib.sha256(whole).digest()[:_PREFIX] + _KINDS[kind]


def statement_records(item: int, statement_id: bytes, digest: bytes, subject: str) -> bytes:
    """The relative records of a statement."""
    place = item.to_bytes(2, "big") + b"\0\0"
    keys = statement_id[:_PREFIX] + _ID + place + digest[:_PREFIX] + _DIGEST + place
    return keys + text_key(Kind.SUBJECT, subject) + place


def manifest_records(
    statement_id: bytes, subject: str, documents: Iterable[tuple[bytes, bytes]], item: int = 0
) -> bytes:
    """The relative records of a manifest: its own, and two for each of its documents (digest, salted
    subject). With documents it is the only item of its call.
    """
    place = item.to_bytes(2, "big") + b"\0\0"
    own = hash_key(Kind.STATEMENT_ID, statement_id) + place + text_key(Kind.SUBJECT, subject) + place
    return own + b"".join(
        digest[:_PREFIX] + before + salted[:_PREFIX] + after
        for (digest, salted), (before, after) in zip(documents, _DOCUMENTS, strict=False)
    )


_DOCUMENTS: Final = [
    (
        _KINDS[Kind.DIGEST] + number.to_bytes(4, "big"),
        _KINDS[Kind.SALTED_SUBJECT] + number.to_bytes(4, "big"),
    )
    for number in range(1, MAX_DOCUMENTS + 1)
]
"""What follows the prefixes of a manifest's documents, by their place."""


def run_records(first_leaf: int, issuer: str, types: Iterable[str]) -> list[bytes]:
    """The records of a run of leaves of one issuer, whose entries are of these types."""
    place = pack(first_leaf, 0)
    found = [text_key(Kind.ISSUER, issuer) + place]
    for document_type in sorted(set(types)):
        found.append(text_key(Kind.ISSUER_AND_TYPE, issuer, document_type) + place)
    return found


def absolute(relative: bytes, leaves: Sequence[int | None]) -> list[bytes]:
    """Records of a call's items that have become leaves; None: the item was in the log already."""
    places = [None if leaf is None else leaf << 16 for leaf in leaves]
    found = []
    for key, item, document in RELATIVE.iter_unpack(relative):
        place = places[item]
        if place is not None:
            found.append(key + (place | document).to_bytes(8, "big"))
    return found


def pages(records: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """(first record, bytes) of the pages of sorted records."""
    step = PAGE // RECORD
    return [
        (records[start], b"".join(records[start : start + step])) for start in range(0, len(records), step)
    ]


def split(page: bytes) -> list[bytes]:
    """The records of a page."""
    return [page[at : at + RECORD] for at in range(0, len(page), RECORD)]
