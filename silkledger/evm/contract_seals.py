"""Commit seals checked while following, where a contract holds the validators (QBFT contract mode).

Who seals a block is proven from a node's state at its parent (`silkledger.evm.validator_contract`, which says
what that costs), so the node is not believed. A node that pruned that state cannot prove it. What remedies
that is a pinned block: blocks at or below the newest pinned one need no seals, because its hash vouches for
them, parent by parent. Their headers are read as far as that block before the first of them is applied.

Guarantees that every block that passes is an ancestor of a pinned block, or was sealed by a quorum of the
validators that the contract held at its parent, from a pinned block or genesis on. Not that the keys of
former validators were not stolen: pin recent blocks for that. What the archive holds is our own database's
word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.qbft import verify_contract_seals
from silkledger.evidence.reasons import Reason
from silkledger.evm.port import FullBlock
from silkledger.evm.seal_refusals import ArchiveUnsealed, SealsRefused
from silkledger.evm.sealed_archive import GenesisSource, archived_headers, genesis_header
from silkledger.evm.validator_contract import (
    ContractSet,
    ProofSource,
    account_proof,
    account_proofs,
    may_change,
    read_set,
    set_after,
    verified_account,
)
from silkledger.runtime.db import Database
from silkledger.values import BlockHash, BlockRef

_HEADERS_AT_ONCE: Final = 50
"""Headers that are asked for at the same time on the way to a pinned block."""


class ContractNode(GenesisSource, ProofSource, Protocol):
    """What is asked of a node (`silkledger.evm.port.Node`)."""


@dataclass(frozen=True, slots=True)
class _Passed:
    """A block that passed by its seals, and the set that sealed it."""

    header: Header
    sealed_by: ContractSet


@dataclass(frozen=True, slots=True)
class _Way:
    """Hashes of consecutive blocks up to a pinned one, which vouches for all of them."""

    first: int
    hashes: bytes

    def hash_of(self, number: int) -> BlockHash:
        if number < self.first:
            raise RuntimeError(f"block {number} is not on the way to the pinned block")
        offset = (number - self.first) * BlockHash.SIZE
        return BlockHash(self.hashes[offset : offset + BlockHash.SIZE])


class ContractSeals:
    """Checks the seals of blocks that follow a head. For one follower."""

    def __init__(
        self,
        database: Database,
        node: ContractNode,
        genesis: BlockHash,
        rules: ContractRules,
        pins: Mapping[int, BlockHash] | None = None,
    ) -> None:
        self._database = database
        self._node = node
        self._genesis = genesis
        self._rules = rules
        self._pins = dict(pins or {})
        self._newest = max(self._pins, default=0)
        self._way: _Way | None = None
        self._begun = False
        self._last: _Passed | None = None

    async def check(self, head: BlockRef, blocks: Sequence[FullBlock]) -> None:
        """`blocks` follow `head`, which is in the archive, or is genesis.

        Steps: (1) those up to the newest pinned block are its ancestors; (2) who seals the first block after
        them is proven at its parent; (3) each is sealed by a quorum of those; (4) who seals the next one is
        proven wherever a block may have changed it.

        Raises:
            SealsRefused: a block is not sealed so, contradicts a pinned one, or a proof does not hold.
            ValidatorsNotProven: no node has the state of a block any more.
            ArchiveUnsealed: the archive contradicts the newest pinned block.
            NodeUnavailable, NodeLied: the genesis header, or the way to a pinned block, is not to be had.
        """
        if not self._begun or (self._way is None and head.number < self._newest):
            await self._begin(head)
        count = 0
        for block in blocks:  # (1)
            if block.header.number > self._newest:
                break
            self._check_ancestor(block)
            count += 1
        sealed = blocks[count:]
        if sealed:
            parent = blocks[count - 1].header if count else await self._header_of(head)
            await self._check_seals(parent, sealed)
        if head.number >= self._newest:
            self._way = None

    async def _check_seals(self, parent: Header, blocks: Sequence[FullBlock]) -> None:
        rules = self._rules
        asked = [block.header.number for block in blocks[:-1] if may_change(block.header)]
        proofs = await account_proofs(self._node, rules, asked)
        current = await self._set_after(parent)  # (2)
        for block in blocks:
            header = block.header
            try:
                verify_contract_seals(header, current.validators)  # (3)
            except EvidenceInvalid as refusal:
                raise SealsRefused.of(header.number, block.told_by, refusal) from refusal
            passed = _Passed(header, current)
            proof = proofs.get(header.number)
            if proof is not None:  # (4)
                if isinstance(proof, Exception):
                    raise proof
                account = verified_account(header, proof, rules)
                current = await set_after(self._node, rules, current, header, account)
            await asyncio.sleep(0)  # signatures take long: others in this process get their turn
        self._last = passed

    async def _set_after(self, header: Header) -> ContractSet:
        """Who seals the block after `header`."""
        last = self._last
        if last is None or last.header.hash != header.hash:
            return await read_set(self._node, self._rules, header)
        if not may_change(header):
            return last.sealed_by
        proof = await account_proof(self._node, self._rules, header.number)
        account = verified_account(header, proof, self._rules)
        return await set_after(self._node, self._rules, last.sealed_by, header, account)

    async def _header_of(self, head: BlockRef) -> Header:
        """Its state root is what counts, which its hash covers."""
        if self._last is not None and self._last.header.hash == head.hash:
            return self._last.header
        if head.number == 0:
            return await genesis_header(self._node, self._genesis)
        (header,) = await archived_headers(self._database, head.number, head.number)
        if header.hash != head.hash:
            raise ArchiveUnsealed(f"block {head.number} of the archive hashes to {header.hash}")
        return header

    async def _begin(self, head: BlockRef) -> None:
        """Whether the archive has the pinned blocks as pinned, and the way to the newest one beyond it."""
        for number, pin in self._pins.items():
            if not 0 < number <= head.number:
                continue
            (header,) = await archived_headers(self._database, number, number)
            if header.hash != pin:
                raise ArchiveUnsealed(
                    f"{Reason.BLOCK_PIN_MISMATCH}: block {number} is {header.hash}, but {pin} is pinned"
                )
        if head.number < self._newest:
            self._way = await self._way_to_pin(head)
        self._begun = True

    async def _way_to_pin(self, head: BlockRef) -> _Way:
        """The blocks after `head` up to the newest pinned one, each the child of the one before."""
        hashes = bytearray()
        parent = head.hash
        for first in range(head.number + 1, self._newest + 1, _HEADERS_AT_ONCE):
            numbers = range(first, min(first + _HEADERS_AT_ONCE, self._newest + 1))
            for told in await asyncio.gather(*map(self._node.block, numbers)):
                header = told.header
                if header.parent_hash != parent:
                    raise SealsRefused(
                        header.number, "", Reason.HEADER_PARENT, f"it does not follow block {parent}"
                    )
                pin = self._pins.get(header.number, header.hash)
                if pin != header.hash:
                    raise SealsRefused(header.number, "", Reason.BLOCK_PIN_MISMATCH, _pinned(header, pin))
                parent = header.hash
                hashes += parent
        return _Way(head.number + 1, bytes(hashes))

    def _check_ancestor(self, block: FullBlock) -> None:
        header = block.header
        if self._way is None:
            raise RuntimeError("the way to the pinned block is not known")
        wanted = self._way.hash_of(header.number)
        if header.hash != wanted:
            raise SealsRefused(
                header.number, block.told_by, Reason.BLOCK_PIN_MISMATCH, _pinned(header, wanted)
            )


def _pinned(header: Header, wanted: BlockHash) -> str:
    return f"it is {header.hash}, but {wanted} leads to a pinned block, or is one"
