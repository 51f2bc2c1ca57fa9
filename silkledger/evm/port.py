"""The node, as the lane and the follower need it: the port. Its adapter is `silkledger.evm.node.JsonRpcNode`.

Two failures are kept apart. `NodeUnavailable`: no answer, or not yet; ask again. `NodeLied`: an answer that
contradicts itself or its own hashes; asking again may help (a reorg between two calls looks the same),
believing it never does. What a node says is a claim: shape and header hash are checked here, receipts in
`silkledger.evm.verify`, agreement of the network nowhere but in commit seals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from silkledger.evidence.header import Header
from silkledger.evidence.receipts import Receipt
from silkledger.evm.engines import SendOutcome
from silkledger.values import Address, BlockHash, TxHash


class NodeError(Exception):
    """The node failed us. Nothing may be concluded about the chain."""


class NodeUnavailable(NodeError):
    """No answer, an answer out of time, or something that is not there yet. Retryable."""


class NodeLied(NodeError):
    """The answer contradicts itself, our request, or the hashes that it names."""


class NotAgreedYet(NodeUnavailable):
    """Some of the nodes that must have shown a block do not have it yet. A smaller range would not help."""


class NodesDisagree(NodeLied):
    """One of several nodes lies or is on another chain, or they show different blocks. The text says who."""


class TransactionRefused(NodeError):
    """The node did not take a transaction. `outcome` is what that means by the engine's profile."""

    def __init__(self, outcome: SendOutcome, message: str) -> None:
        super().__init__(f"{outcome.value}: {message}")
        self.outcome = outcome
        self.message = message


class CallReverted(NodeError):
    """A view call reverted. `data` is its return data, where the node gives it."""

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


@dataclass(frozen=True, slots=True)
class Block:
    """A header whose hash was recomputed, and the transactions the node says are in it."""

    header: Header
    tx_hashes: tuple[TxHash, ...]


@dataclass(frozen=True, slots=True)
class FullBlock:
    """A block with its receipts in order. Not verified against the header's roots: see `verify_block`."""

    header: Header
    tx_hashes: tuple[TxHash, ...]
    receipts: tuple[Receipt, ...]
    transactions: tuple[bytes, ...] | None = None
    """The signed bytes; None where the engine has no transactions root that they could be held against."""
    told_by: str = field(default="", compare=False)
    """Which of several nodes gave it; for reports only."""


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """Where the node says a transaction is. A claim: only the receipts trie proves it."""

    tx_hash: TxHash
    block_number: int
    block_hash: BlockHash
    tx_index: int
    contract_address: Address | None
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class AccountProof:
    """`eth_getProof` (EIP-1186): trie nodes from the root down. To be verified with
    silkledger.evidence.state.
    """

    address: Address
    account_proof: tuple[bytes, ...]
    storage_proofs: dict[int, tuple[bytes, ...]]
    """Storage slot to its trie nodes."""
    told_by: str = field(default="", compare=False)
    """Which of several nodes gave it; for reports only."""


class Node(Protocol):
    """What the lane and the follower ask of a node. Every method may raise `NodeUnavailable` or
    `NodeLied`.
    """

    async def chain_id(self) -> int: ...

    async def genesis_hash(self) -> BlockHash:
        """What the node calls block 0. Taken as a name: engines fill genesis headers in their own ways, so it
        is compared with the pinned hash and with the parent of block 1, never recomputed."""
        ...

    async def block_number(self) -> int:
        """Number of the newest block."""
        ...

    async def block(self, number: int) -> Block: ...

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        """Blocks `first` to `last`, both included, with their receipts, in one batch. Fewer, if only those
        are agreed on by several nodes; never none.
        """
        ...

    async def transaction_receipt(self, tx_hash: TxHash) -> TransactionReceipt | None:
        """None: not in a block the node knows."""
        ...

    async def send_raw(self, raw: bytes) -> TxHash:
        """Hand a signed transaction over. Raises: TransactionRefused. Success is not inclusion."""
        ...

    async def nonce(self, address: Address, block: int | None = None) -> int:
        """Number of transactions sent by `address` as of the end of `block` (None: the newest)."""
        ...

    async def code(self, address: Address) -> bytes: ...

    async def call(self, to: Address, data: bytes, block: int | None = None) -> bytes:
        """A view call as of the end of `block` (None: the newest). Raises: CallReverted."""
        ...

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof: ...

    async def close(self) -> None: ...
