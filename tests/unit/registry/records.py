"""The contracts' records, encoded as Solidity's abi.encode does, for tests."""

from __future__ import annotations

from eth_abi.abi import encode

from silkledger.registry.histories import HistoryRecord


def country(block: int, code: str, authority: bytes) -> HistoryRecord:
    return HistoryRecord(block, encode(["uint8", "bytes2", "address"], [1, code.encode(), authority]))


def grant(
    block: int,
    grant_id: bytes,
    issuer: bytes,
    code: str = "CN",
    doc_type: str = "705",
    level: int = 2,
    start: int = 0,
    until: int = 0,
    parent: bytes = bytes(32),
    may_subaccredit: bool = True,
    by: bytes = bytes(20),
) -> HistoryRecord:
    types = ["uint8", "bytes32", "address", "bytes2", "bytes8", "uint8", "uint64", "uint64"]
    values = [2, grant_id, issuer, code.encode(), doc_type.encode(), level, start, until]
    return HistoryRecord(
        block, encode([*types, "bytes32", "bool", "address"], [*values, parent, may_subaccredit, by])
    )


def grant_status(
    block: int, grant_id: bytes, status: int, effective: int, reason: int = 0, by: bytes = bytes(20)
) -> HistoryRecord:
    types = ["uint8", "bytes32", "uint8", "uint64", "uint8", "address"]
    return HistoryRecord(block, encode(types, [3, grant_id, status, effective, reason, by]))


def recognition(
    block: int,
    relying: str,
    issuing: str,
    level: int = 1,
    start: int = 0,
    until: int = 0,
    doc_type: str = "705",
) -> HistoryRecord:
    types = ["uint8", "bytes2", "bytes2", "bytes8", "uint8", "uint64", "uint64", "address"]
    values = [4, relying.encode(), issuing.encode(), doc_type.encode(), level, start, until, bytes(20)]
    return HistoryRecord(block, encode(types, values))


def withdrawal(
    block: int, relying: str, issuing: str, effective: int, doc_type: str = "705"
) -> HistoryRecord:
    types = ["uint8", "bytes2", "bytes2", "bytes8", "uint64", "address"]
    values = [5, relying.encode(), issuing.encode(), doc_type.encode(), effective, bytes(20)]
    return HistoryRecord(block, encode(types, values))


def document_status(
    block: int, kind: int, effective: int, reason: int = 0, new_id: bytes = bytes(32)
) -> HistoryRecord:
    return HistoryRecord(
        block, encode(["uint8", "uint8", "uint64", "bytes32"], [kind, reason, effective, new_id])
    )


def owner(block: int, address: bytes) -> HistoryRecord:
    return HistoryRecord(block, encode(["uint8", "address"], [1, address]))


def delegate(block: int, purpose: str, address: bytes, valid_to: int) -> HistoryRecord:
    types = ["uint8", "bytes32", "address", "uint64"]
    return HistoryRecord(block, encode(types, [2, purpose.encode().ljust(32, b"\0"), address, valid_to]))


def attribute(block: int, name: str, value: bytes, valid_to: int) -> HistoryRecord:
    types = ["uint8", "bytes32", "bytes", "uint64"]
    return HistoryRecord(block, encode(types, [3, name.encode().ljust(32, b"\0"), value, valid_to]))
