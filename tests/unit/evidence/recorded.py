"""The blocks, receipts and proofs that tests/vectors/evidence/record_chain.py recorded from a real node."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from silkledger.evidence.header import Header, header_from_rpc
from silkledger.evidence.receipts import Receipt, receipt_from_rpc

VECTORS = Path(__file__).resolve().parents[2] / "vectors/evidence"


@cache
def chain() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / "chain.json").read_text())
    return loaded


def header(number: int) -> Header:
    return header_from_rpc(chain()["blocks"][number])


def receipts(number: int) -> list[Receipt]:
    return [receipt_from_rpc(fields) for fields in chain()["receipts"][number]]


def unhex(nodes: list[str]) -> list[bytes]:
    return [bytes.fromhex(node[2:]) for node in nodes]
