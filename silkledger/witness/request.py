"""The body of add-checkpoint: old size, consistency proof, checkpoint. Parsing verifies nothing."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

MAX_PROOF: Final = 63
"""Most consistency proof lines (C2SP tlog-witness)."""
MAX_BODY: Final = 16_384
"""Longest request read, in bytes: 63 proof lines and 64 signature lines of a usual length fit."""

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


class RequestMalformed(ValueError):
    """The body is not in the form of the specification."""


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """One request. `note` is the checkpoint with its signature lines."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Raises: RequestMalformed."""
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise RequestMalformed("the body is not UTF-8") from None
        head, separator, note = text.partition("\n\n")
        first, *lines = head.split("\n")
        old = _OLD.fullmatch(first)
        if not separator or old is None:
            raise RequestMalformed("the body must begin with an old size line, and hold an empty line")
        if len(lines) > MAX_PROOF:
            raise RequestMalformed(f"more than {MAX_PROOF} consistency proof lines")
        return cls(int(old[1]), tuple(_hash(line) for line in lines), note)

    def encode(self) -> bytes:
        lines = [f"old {self.old_size}", *(base64.b64encode(item).decode() for item in self.proof)]
        return ("\n".join(lines) + "\n\n" + self.note).encode()


def _hash(line: str) -> bytes:
    try:
        value = base64.b64decode(line.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        value = b""
    if len(value) != 32 or base64.b64encode(value).decode() != line:
        raise RequestMalformed("a consistency proof line must be base64 of 32 bytes")
    return value
