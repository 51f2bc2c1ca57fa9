"""A real node's answers rewritten into those of a QBFT node: its blocks under the headers of a test chain.

Set `SealedRpc.told` as the `distort` of a `tests.support.node_proxy.NodeProxy` before the embedded chain.
Blocks, transactions and receipts stay the real node's; headers, and whatever names a block by its hash, are
the test chain's (tests/support/qbft_chain.py, which says what it is and what it is not).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rlp

from silkledger.evidence.header import Header

FIELDS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
)
"""In the order of the header's list, by their JSON-RPC names."""
NUMBERS = frozenset(FIELDS[7:12]) | {"baseFeePerGas", "blobGasUsed", "excessBlobGas"}


def header_fields(header: Header) -> dict[str, Any]:
    """As `eth_getBlockByNumber` tells a header."""
    items = rlp.decode(header.raw)
    told = {
        name: hex(int.from_bytes(item, "big")) if name in NUMBERS else "0x" + item.hex()
        for name, item in zip(FIELDS, items, strict=False)
    }
    return told | {"hash": str(header.hash)}


class SealedRpc:
    """A QBFT node's answers. `headers` may be exchanged at any time; the chain ends with the last one."""

    def __init__(self, headers: Sequence[Header]) -> None:
        self.headers = list(headers)

    @classmethod
    def of_growing(cls, headers: list[Header]) -> SealedRpc:
        """Whose chain ends where `headers` do at the time."""
        made = cls(())
        made.headers = headers
        return made

    def told(self, method: str, result: Any) -> Any:
        if method == "eth_blockNumber":
            return hex(len(self.headers) - 1)
        if method == "eth_getBlockByNumber" and result is not None:
            return self._block(result)
        if method == "eth_getBlockReceipts" and result is not None:
            return [self._placed(receipt) for receipt in result]
        return result

    def _block(self, result: dict[str, Any]) -> dict[str, Any] | None:
        header = self._header(int(result["number"], 16))
        return None if header is None else {"transactions": result["transactions"]} | header_fields(header)

    def _placed(self, receipt: dict[str, Any]) -> dict[str, Any]:
        header = self._header(int(receipt["blockNumber"], 16))
        return receipt if header is None else receipt | {"blockHash": str(header.hash)}

    def _header(self, number: int) -> Header | None:
        return self.headers[number] if number < len(self.headers) else None
