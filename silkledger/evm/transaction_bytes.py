"""A block's transactions as bytes, rebuilt from what a node tells of them, and the root they have.

Whether the rebuilt bytes are the transactions is decided by the header: only the right bytes, in the right
order, have its transactions root.

Sources: EIP-2718; types legacy (EIP-155), 1 (EIP-2930), 2 (EIP-1559), 3 (EIP-4844, without its sidecar,
as in a block) and 4 (EIP-7702).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from silkledger.evidence import rlp, rpc
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trie import Trie
from silkledger.values import Address

_SIGNATURE_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
"""Engines differ in whether r and s have leading zeros."""

_PRICE: Final = ("gasPrice",)
_FEES: Final = ("maxPriorityFeePerGas", "maxFeePerGas")
_LEGACY: Final = 0
_BLOB, _SET_CODE = 3, 4
_PRICES: Final[Mapping[int, tuple[str, ...]]] = {
    0: _PRICE,
    1: _PRICE,
    2: _FEES,
    _BLOB: _FEES,
    _SET_CODE: _FEES,
}


def transactions_root(transactions: Sequence[bytes]) -> bytes:
    """The root that the header of a block with these transactions, in this order, must name."""
    return Trie({rlp.encode(rlp.encode_int(i)): raw for i, raw in enumerate(transactions)}).root


def transaction_from_rpc(fields: Mapping[str, object]) -> bytes:
    """The bytes of a transaction as `eth_getBlockByNumber` tells it. A claim until its root is compared.

    Raises:
        EvidenceInvalid: RPC_FIELD for a field that is missing or malformed, or an unknown type.
    """
    kind = rpc.quantity(fields, "type") if "type" in fields else _LEGACY
    if kind not in _PRICES:
        raise EvidenceInvalid(Reason.RPC_FIELD, f"transactions of type {kind} are not known")
    to = fields.get("to")
    body: list[rlp.Encodable] = [
        _number(fields, "nonce"),
        *(_number(fields, name) for name in _PRICES[kind]),
        _number(fields, "gas"),
        b"" if to is None else rpc.unhex(to, "to", Address.SIZE),
        _number(fields, "value"),
        rpc.data(fields, "input"),
    ]
    signature = [_loose(fields, "r"), _loose(fields, "s")]
    if kind == _LEGACY:
        return rlp.encode([*body, _loose(fields, "v"), *signature])
    parity = _loose(fields, "yParity" if "yParity" in fields else "v")
    typed = [
        _number(fields, "chainId"),
        *body,
        _access_list(fields),
        *_extra(kind, fields),
        parity,
        *signature,
    ]
    return bytes([kind]) + rlp.encode(typed)


def _extra(kind: int, fields: Mapping[str, object]) -> list[rlp.Encodable]:
    if kind == _BLOB:
        hashes = [rpc.unhex(item, "blob hash", 32) for item in _list(fields, "blobVersionedHashes")]
        return [_number(fields, "maxFeePerBlobGas"), hashes]
    if kind == _SET_CODE:
        return [[_authorisation(item) for item in _list(fields, "authorizationList")]]
    return []


def _access_list(fields: Mapping[str, object]) -> list[rlp.Encodable]:
    entries: list[rlp.Encodable] = []
    for item in _list(fields, "accessList"):
        entry = _object(item, "access list")
        keys = [rpc.unhex(key, "storage key", 32) for key in _list(entry, "storageKeys")]
        entries.append([rpc.data(entry, "address", Address.SIZE), keys])
    return entries


def _authorisation(item: object) -> list[rlp.Encodable]:
    entry = _object(item, "authorisation")
    parity = _loose(entry, "yParity" if "yParity" in entry else "v")
    head = [_number(entry, "chainId"), rpc.data(entry, "address", Address.SIZE), _number(entry, "nonce")]
    return [*head, parity, _loose(entry, "r"), _loose(entry, "s")]


def _number(fields: Mapping[str, object], name: str) -> bytes:
    return rlp.encode_int(rpc.quantity(fields, name))


def _loose(fields: Mapping[str, object], name: str) -> bytes:
    value = fields.get(name)
    if not isinstance(value, str) or not _SIGNATURE_NUMBER.fullmatch(value):
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{name} is missing or not a number")
    return rlp.encode_int(int(value, 16))


def _list(fields: Mapping[str, object], name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{name} is missing or not a list")
    return value


def _object(item: object, what: str) -> Mapping[str, object]:
    if not isinstance(item, Mapping):
        raise EvidenceInvalid(Reason.RPC_FIELD, f"{what}: not an object")
    return item
