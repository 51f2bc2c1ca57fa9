"""Whether a block's receipts are the block's receipts: pure, bytes in, error or nothing out."""

from __future__ import annotations

from collections.abc import Sequence

from silkledger.evidence.keccak import keccak256
from silkledger.evidence.receipts import BLOOM_SIZE, bloom_of, receipts_root
from silkledger.evm.port import FullBlock, NodeLied
from silkledger.evm.transaction_bytes import transactions_root
from silkledger.values import BlockHash, TxHash


def verify_block(block: FullBlock) -> None:
    """Check what a node gave for one block.

    Steps: (1) as many receipts as transactions, (2) every receipt's bloom is that of its logs, and together
    they are the header's bloom, so an empty answer where the bloom says otherwise is an error and not an
    empty block, (3) the gas adds up, (4) the rebuilt receipts trie has the header's root, which also proves
    that no log is missing, (5) where the engine has a transactions root, the transactions are those of that
    root and their hashes those named. The header's own hash was recomputed when it was read.

    Not a verification that the network agreed on the block. Without (5) the transaction hashes are the node's
    word; the receipts are proven in any case.

    Raises:
        NodeLied: with the step that failed.
    """
    header, number = block.header, block.header.number
    if len(block.receipts) != len(block.tx_hashes):  # (1)
        raise NodeLied(
            f"block {number}: {len(block.receipts)} receipts of {len(block.tx_hashes)} transactions"
        )
    union = 0
    for index, receipt in enumerate(block.receipts):  # (2)
        if bloom_of(receipt.logs) != receipt.logs_bloom:
            raise NodeLied(f"block {number}: the bloom of receipt {index} is not that of its logs")
        union |= int.from_bytes(receipt.logs_bloom, "big")
    if union.to_bytes(BLOOM_SIZE, "big") != header.logs_bloom:
        raise NodeLied(f"block {number}: the header's bloom is not that of the receipts")
    used = block.receipts[-1].cumulative_gas_used if block.receipts else 0  # (3)
    if used != header.gas_used:
        raise NodeLied(f"block {number}: receipts use {used} gas, the header says {header.gas_used}")
    if receipts_root(block.receipts) != header.receipts_root:  # (4)
        raise NodeLied(f"block {number}: the receipts do not have the header's root")
    if block.transactions is not None:  # (5)
        _verify_transactions(block, block.transactions)


def _verify_transactions(block: FullBlock, transactions: Sequence[bytes]) -> None:
    number = block.header.number
    if tuple(TxHash(keccak256(raw)) for raw in transactions) != block.tx_hashes:
        raise NodeLied(f"block {number}: the transaction hashes are not those of the transactions")
    if transactions_root(transactions) != block.header.transactions_root:
        raise NodeLied(f"block {number}: the transactions do not have the header's transactions root")


def verify_links(blocks: Sequence[FullBlock]) -> None:
    """Every block of the batch is the child of the one before. Raises: NodeLied."""
    parent: BlockHash | None = None
    for block in blocks:
        if parent is not None and block.header.parent_hash != parent:
            raise NodeLied(f"block {block.header.number} of one answer is no child of the block before it")
        parent = block.header.hash
