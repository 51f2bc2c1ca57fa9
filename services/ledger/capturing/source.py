"""Where evidence is gathered from: the follower's archive, what was captured, and the node for the rest."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger.capturing.storage import StoredNodes
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header
from silkledger.evidence.trie import NodeMissing
from silkledger.evm.archive import Archive
from silkledger.evm.capture import BlockSource
from silkledger.evm.port import AccountProof, Block, FullBlock, NodeLied, NodeUnavailable
from silkledger.evm.state_nodes import KeptState
from silkledger.values import Address


class StateNotCaptured(NodeUnavailable):
    """The node does not prove the state of a block, and what is missing was not captured."""

    def __init__(self, block: int, missing: str, why: Exception) -> None:
        super().__init__(
            f"no proof of {missing} as of block {block}: it was not captured, the node says: {why}"
        )
        self.block = block


class EvidenceSource:
    """Blocks and state proofs (`silkledger.evm.capture.BlockSource`) by one state of the database.

    Blocks come from the archive, as first seen; those that are not there, genesis above all, from the node.
    A state proof comes from what was captured, else from the node. Nothing here is a verification: whoever
    makes evidence of it verifies the evidence.
    """

    def __init__(self, connection: AsyncConnection, node: BlockSource, kind: EngineKind) -> None:
        self._archive = Archive(connection, kind)
        self._node = node
        self._kept = KeptState(StoredNodes(connection))
        self._headers: dict[int, Header] = {}

    async def block(self, number: int) -> Block:
        """Raises: NodeUnavailable, NodeLied."""
        try:
            return await self._archive.block(number)
        except NodeUnavailable:
            return await self._node.block(number)

    async def full_blocks(self, first: int, last: int) -> list[FullBlock]:
        """Raises: NodeUnavailable, NodeLied."""
        try:
            return await self._archive.full_blocks(first, last)
        except NodeUnavailable:
            return await self._node.full_blocks(first, last)

    async def get_proof(self, address: Address, slots: Sequence[int], block: int) -> AccountProof:
        """Raises: StateNotCaptured; NodeUnavailable, NodeLied."""
        if block not in self._headers:
            self._headers[block] = (await self.block(block)).header
        try:
            kept, missing = await self._captured(self._headers[block], address, slots)
        except EvidenceInvalid as error:
            raise NodeLied(f"what was captured of block {block} is not what it was: {error}") from error
        if kept is not None:
            return kept
        try:
            return await self._node.get_proof(address, slots, block)
        except NodeUnavailable as error:
            raise StateNotCaptured(block, missing, error) from error

    async def _captured(
        self, header: Header, address: Address, slots: Sequence[int]
    ) -> tuple[AccountProof | None, str]:
        """The proof out of what was captured; or none, and what of it is missing."""
        try:
            account, proof = await self._kept.account(header.state_root, address)
        except NodeMissing:
            return None, f"the account {address}"
        found = await self._kept.slots(account.storage_root, slots)
        proofs = {slot: nodes for slot, nodes in found.items() if nodes is not None}
        if len(proofs) < len(found):
            return None, f"{len(found) - len(proofs)} storage words of {address}"
        return AccountProof(address, proof, proofs), ""
