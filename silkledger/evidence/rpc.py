"""Reading the JSON-RPC quantities and byte strings of a node's answer, strictly.

Source: Ethereum JSON-RPC specification, "hex encoding". A node's answer proves nothing by itself: what
is read here is always hashed and compared afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason

_QUANTITY: Final = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")


def quantity(fields: Mapping[str, object], name: str) -> int:
    """The integer field `name`, e.g. `"0x1a"`. Raises: EvidenceInvalid RPC_FIELD."""
    value = fields.get(name)
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{name} is missing or not a quantity")
    return int(value, 16)


def data(fields: Mapping[str, object], name: str, size: int | None = None) -> bytes:
    """The byte string `name`, of exactly `size` bytes where given. Raises: EvidenceInvalid RPC_FIELD."""
    return unhex(fields.get(name), name, size)


def unhex(value: object, what: str, size: int | None = None) -> bytes:
    """Bytes from `0x`-prefixed hexadecimal. Raises: EvidenceInvalid RPC_FIELD."""
    result = _octets(value) if isinstance(value, str) else None
    if result is None:
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{what} is missing or not a byte string")
    if size is not None and len(result) != size:
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{what} must be {size} bytes, has {len(result)}")
    return result


def _octets(text: str) -> bytes | None:
    """None: not `0x` and pairs of hexadecimal digits. `fromhex` alone would pass over blanks."""
    try:
        octets = bytes.fromhex(text[2:])
    except ValueError:
        return None
    return octets if text.startswith("0x") and len(text) == 2 + 2 * len(octets) else None
