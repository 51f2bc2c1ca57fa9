"""Commit seals checked while following, on engines that have them: no block is applied without its quorum.

The validators of each block follow from the genesis header and the votes in all headers since (evidence:
`silkledger.evidence.lineage`, replay mode). After a restart they are counted again from the newest epoch
block in the follower's own archive: such a block names its validators, and no vote outlives it.

Guarantees that every block that passes was sealed by a quorum of the validators that the pinned genesis leads
to, under the given rules, and is none that contradicts a pinned block. Not that the keys of former validators
were not stolen: pin recent blocks for that. What the archive holds is our own database's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from silkledger.evidence import lineage
from silkledger.evidence.contract_lineage import ContractRules
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import Header
from silkledger.evidence.lineage import Lineage, ValidatorRules
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.contract_seals import ContractSeals
from silkledger.evm.follower import SealCheck
from silkledger.evm.port import FullBlock, Node
from silkledger.evm.seal_refusals import ArchiveUnsealed, SealsRefused
from silkledger.evm.sealed_archive import GenesisSource, archived_headers, genesis_header
from silkledger.runtime.db import Database
from silkledger.values import BlockHash, BlockRef

__all__ = ["ArchiveUnsealed", "SealedLineage", "SealsRefused", "seal_check"]

_ARCHIVED_AT_ONCE: Final = 500
"""Headers read from the archive in one query."""


def seal_check(roots: TrustRoots, database: Database, node: Node) -> SealCheck:
    """By the rules and pinned blocks of trust roots of a QBFT network.

    Raises:
        ValueError: the trust roots are of an engine without seals.
    """
    if isinstance(roots.rules, ContractRules):
        return ContractSeals(database, node, roots.genesis_hash, roots.rules, roots.pinned_blocks)
    if roots.rules is None:
        raise ValueError("the engine of these trust roots has no seals")
    return SealedLineage(database, node, roots.genesis_hash, roots.rules, roots.pinned_blocks)


@dataclass(frozen=True, slots=True)
class _Known:
    """The validators and votes after a block."""

    block: BlockRef
    state: Lineage


class SealedLineage:
    """Checks the seals of blocks that follow a head, where headers carry the validators. For one follower."""

    def __init__(
        self,
        database: Database,
        node: GenesisSource,
        genesis: BlockHash,
        rules: ValidatorRules,
        pins: Mapping[int, BlockHash] | None = None,
    ) -> None:
        self._database = database
        self._node = node
        self._genesis = genesis
        self._rules = rules
        self._pins = dict(pins or {})
        self._known: tuple[_Known, ...] = ()
        """After the last head asked about, and after the blocks checked on top of it."""

    async def check(self, head: BlockRef, blocks: Sequence[FullBlock]) -> None:
        """`blocks` follow `head`, which is in the archive, or is genesis.

        Raises:
            SealsRefused: one of them is not sealed by a quorum, or contradicts a pinned block.
            ArchiveUnsealed: those in the archive are not.
            NodeUnavailable, NodeLied: the genesis header is not to be had.
        """
        known = await self._after(head)
        state = known.state
        for block in blocks:
            try:
                self._check_pin(block.header)
                state = lineage.advance(state, block.header, self._rules)
            except EvidenceInvalid as refusal:
                raise SealsRefused.of(block.header.number, block.told_by, refusal) from refusal
            await asyncio.sleep(0)  # signatures take long: others in this process get their turn
        self._known = (known, _Known(blocks[-1].header.ref, state))

    def _check_pin(self, header: Header) -> None:
        pin = self._pins.get(header.number)
        if pin is not None and pin != header.hash:
            raise EvidenceInvalid(Reason.BLOCK_PIN_MISMATCH, f"it is {header.hash}, but {pin} is pinned")

    async def _after(self, head: BlockRef) -> _Known:
        for known in self._known:
            if known.block.hash == head.hash:
                return known
        start = await self._start(head.number)
        while start.block.number < head.number:
            start = await self._count(start, min(start.block.number + _ARCHIVED_AT_ONCE, head.number))
        return start

    async def _start(self, number: int) -> _Known:
        """The newest point at or below `number` from which votes can be counted."""
        epoch = number - number % self._rules.epoch_length
        header = (
            (await archived_headers(self._database, epoch, epoch))[0]
            if epoch
            else await genesis_header(self._node, self._genesis)
        )
        try:
            begin = _Known(header.ref, lineage.start(header, self._rules))
        except EvidenceInvalid as refusal:
            raise ArchiveUnsealed(f"block {epoch}: {refusal}") from refusal
        for known in reversed(self._known):
            if epoch < known.block.number <= number:
                (archived,) = await archived_headers(self._database, known.block.number, known.block.number)
                if archived.hash == known.block.hash:
                    return known
        return begin

    async def _count(self, start: _Known, last: int) -> _Known:
        """On through the archive."""
        state, block = start.state, start.block
        for header in await archived_headers(self._database, block.number + 1, last):
            try:
                state = lineage.advance(state, header, self._rules)
            except EvidenceInvalid as refusal:
                raise ArchiveUnsealed(f"block {header.number}: {refusal}") from refusal
            block = header.ref
        await asyncio.sleep(0)
        return _Known(block, state)
