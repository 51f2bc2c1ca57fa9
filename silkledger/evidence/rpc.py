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
_DATA: Final = re.compile(r"0x([0-9a-fA-F]{2})*")


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
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{what} is missing or not a byte string")
    result = bytes.fromhex(value[2:])
    if size is not None and len(result) != size:
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{what} must be {size} bytes, has {len(result)}")
    return result
