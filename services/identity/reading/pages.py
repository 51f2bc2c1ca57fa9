"""Opaque page tokens (AIP-158). A token only goes on with the question it was given for."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

from services.identity.errors import FieldRefused

DEFAULT_PAGE: Final = 100
"""Items of a page when the caller names no size."""

_MARK: Final = 8
"""Bytes of the question's digest in a token."""


def page_limit(page_size: int) -> int:
    """Items of one page; 0 means the default."""
    return page_size or DEFAULT_PAGE


def token_of(question: Sequence[object], position: str) -> str:
    """A token that continues `question` after `position`."""
    return base64.urlsafe_b64encode(_mark(question) + position.encode("ascii")).decode("ascii")


def position_of(question: Sequence[object], token: str) -> str:
    """The position in a token; empty when there is no token.

    Raises: FieldRefused (PAGE_TOKEN_INVALID) for a token that is none of ours, or of another question.
    """
    if not token:
        return ""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        position = raw[_MARK:].decode("ascii")
    except (binascii.Error, ValueError):
        raw, position = b"", ""
    if raw[:_MARK] != _mark(question):
        raise FieldRefused("PAGE_TOKEN_INVALID", "page_token", "is not a token of this question")
    return position


def _mark(question: Sequence[object]) -> bytes:
    return hashlib.sha256(repr([str(part) for part in question]).encode()).digest()[:_MARK]
