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
from typing import Final, Protocol

from sqlalchemy import select

from silkledger.evidence import lineage
from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evidence.lineage import Lineage, ValidatorRules
from silkledger.evidence.reasons import Reason
from silkledger.evidence.trust_roots import TrustRoots
from silkledger.evm.follower import FollowerHalted
from silkledger.evm.port import Block, FullBlock, NodeLied
from silkledger.evm.tables import CHAIN_BLOCK
from silkledger.runtime.db import Database
from silkledger.values import BlockHash, BlockRef

_ARCHIVED_AT_ONCE: Final = 500
"""Headers read from the archive in one query."""


class SealsRefused(NodeLied):
    """A block is not sealed as it must be. `reason` is the code (docs/formats/verdict.md)."""

    def __init__(self, block: FullBlock, refusal: EvidenceInvalid) -> None:
        source = f" of node {block.told_by}" if block.told_by else ""
        super().__init__(f"block {block.header.number}{source}: {refusal}")
        self.reason = refusal.reason


class ArchiveUnsealed(FollowerHalted):
    """A block in the archive is not sealed under the rules given: other rules, or an altered database."""


class SealsNotFollowed(ValueError):
    """The seals of such a network cannot be checked here."""


class GenesisSource(Protocol):
    """Where the genesis header is read (`silkledger.evm.port.Node`)."""

    async def block(self, number: int) -> Block: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """The validators and votes after a block."""

    block: BlockRef
    state: Lineage


class SealedLineage:
    """Checks the seals of blocks that follow a head. For one follower."""

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

    @classmethod
    def under(cls, roots: TrustRoots, database: Database, node: GenesisSource) -> SealedLineage:
        """By the rules and pinned blocks of trust roots of a QBFT network in header mode.

        Raises:
            SealsNotFollowed: the engine has no seals, or a contract names the validators.
        """
        if not isinstance(roots.rules, ValidatorRules):
            raise SealsNotFollowed(
                "while following, seals are checked only where headers carry the validators"
            )
        return cls(database, node, roots.genesis_hash, roots.rules, roots.pinned_blocks)

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
                raise SealsRefused(block, refusal) from refusal
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
        header = (await self._archived(epoch, epoch))[0] if epoch else await self._genesis_header()
        try:
            begin = _Known(header.ref, lineage.start(header, self._rules))
        except EvidenceInvalid as refusal:
            raise ArchiveUnsealed(f"block {epoch}: {refusal}") from refusal
        for known in reversed(self._known):
            if epoch < known.block.number <= number:
                (archived,) = await self._archived(known.block.number, known.block.number)
                if archived.hash == known.block.hash:
                    return known
        return begin

    async def _genesis_header(self) -> Header:
        header = (await self._node.block(0)).header
        if header.hash != self._genesis:
            raise NodeLied(f"the genesis header hashes to {header.hash}, not to the pinned {self._genesis}")
        return header

    async def _count(self, start: _Known, last: int) -> _Known:
        """On through the archive."""
        state, block = start.state, start.block
        for header in await self._archived(block.number + 1, last):
            try:
                state = lineage.advance(state, header, self._rules)
            except EvidenceInvalid as refusal:
                raise ArchiveUnsealed(f"block {header.number}: {refusal}") from refusal
            block = header.ref
        await asyncio.sleep(0)
        return _Known(block, state)

    async def _archived(self, first: int, last: int) -> list[Header]:
        columns = CHAIN_BLOCK.c
        query = select(columns.header).where(columns.number.between(first, last)).order_by(columns.number)
        async with self._database.read() as conn:
            raws = [bytes(row.header) for row in await conn.execute(query)]
        if len(raws) != last - first + 1:
            raise ArchiveUnsealed(f"the archive has {len(raws)} of the blocks {first} to {last}")
        try:
            return [decode_header(raw, EngineKind.QBFT) for raw in raws]
        except EvidenceInvalid as refusal:
            raise ArchiveUnsealed(f"blocks {first} to {last}: {refusal}") from refusal
