"""Page tokens of ListStatements: the place where a listing stands, as text that only this service reads."""

from __future__ import annotations

import base64
import binascii
from struct import Struct
from typing import Final

from services.ledger.errors import FieldRefused
from services.ledger.reading.entries import Accepted, Place
from silkledger.log.index import Position

_PLACE: Final = Struct(">BQHQHH")
"""Which of the two are set; leaf and document; call, item and document."""
_LOGGED, _ACCEPTED = 1, 2


def page_token(place: Place) -> str:
    """The place as a token."""
    flags = (_LOGGED if place.logged else 0) | (_ACCEPTED if place.accepted else 0)
    raw = _PLACE.pack(flags, *(place.logged or (0, 0)), *(place.accepted or (0, 0, 0)))
    return base64.urlsafe_b64encode(raw).decode()


def read_page_token(token: str) -> Place:
    """The place that a token of this service names. Raises: FieldRefused PAGE_TOKEN_INVALID."""
    if not token:
        return Place()
    try:
        raw = base64.urlsafe_b64decode(token.encode())
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if len(raw) != _PLACE.size or raw[0] > 3 or raw[1] & 0x80 or raw[11] & 0x80:
        raise FieldRefused("PAGE_TOKEN_INVALID", "page_token", "not a token that this service gave")
    flags, leaf, document, *accepted = _PLACE.unpack(raw)
    return Place(
        Position(leaf, document) if flags & _LOGGED else None,
        Accepted(*accepted) if flags & _ACCEPTED else None,
    )
