"""One capture: which proofs to ask the node for, so that with what is kept everything wanted can be proven.

Where a contract's storage is as it was, nothing is asked for but its account. Of the registries that is asked
for which cannot be proven from kept nodes. DocumentStatus is kept whole: the proofs of what was written since
the last whole capture, and the nodes that these writes cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.ledger.capturing.storage import LatestNodes, last_capture
from services.ledger.capturing.wanted import registry_slots, status_slots
from silkledger.evidence.assemble import slot_of
from silkledger.evidence.bundle import Contract
from silkledger.evidence.header import EngineKind, Header
from silkledger.evidence.trie import NodeMissing
from silkledger.evm.archive import Archive
from silkledger.evm.contracts import Network
from silkledger.evm.state_nodes import KeptState, ProofSource, prove_slots
from silkledger.runtime.db import Database
from silkledger.runtime.telemetry import logger

MOST_SLOTS: Final = 4_096
"""Storage words asked for by one capture; the next one goes on with the rest."""
_FILTERED_AT_ONCE: Final = 256
"""Slots looked for among what is kept, before others in this process get their turn."""
_REGISTRIES: Final = (Contract.IDENTITY_REGISTRY, Contract.TRUST_REGISTRY)


@dataclass(slots=True)
class Gathered:
    """What one capture reads of the node."""

    header: Header
    nodes: dict[bytes, bytes] = field(default_factory=dict)
    roots: dict[Contract, bytes] = field(default_factory=dict)
    """Storage roots."""
    left: int = 0
    """Storage words that may still be asked for; negative: some were wanted beyond."""

    @property
    def whole(self) -> bool:
        """Whether with it everything wanted as of the block is kept."""
        return self.left >= 0


class StateGatherer:
    """Reads what captures need of one node."""

    def __init__(
        self,
        database: Database,
        node: ProofSource,
        network: Network,
        kind: EngineKind,
        origin_id: bytes,
        most_slots: int = MOST_SLOTS,
    ) -> None:
        self._most_slots = most_slots
        self._database, self._node, self._network, self._kind = database, node, network, kind
        self._origin_id = origin_id
        self._known: Mapping[Contract, bytes] = {}
        """Storage roots under which everything wanted is kept, as far as this process knows."""

    def kept(self, gathered: Gathered) -> None:
        """What was gathered is now stored."""
        if gathered.whole:
            self._known = gathered.roots

    async def gather(self, header: Header) -> Gathered:
        """Everything wanted as of the block of `header` that is not kept, or as much as one capture may ask.

        Raises:
            NodeUnavailable: e.g. the node no longer has the state of the block. NodeLied.
            EvidenceInvalid: a kept node is not what it was.
        """
        gathered, kept = Gathered(header, left=self._most_slots), KeptState(LatestNodes(self._database))
        await self._ask(gathered, Contract.LOG_ANCHOR, [slot_of(self._origin_id)])
        for contract in (*_REGISTRIES, Contract.DOCUMENT_STATUS):
            await self._ask(gathered, contract, [])
        if any(gathered.roots[contract] != self._known.get(contract) for contract in _REGISTRIES):
            async with self._database.read() as connection:
                wanted = await registry_slots(connection, header.number)
            for contract, slots in wanted.items():
                await self._complete(gathered, kept, contract, slots)
        if gathered.roots[Contract.DOCUMENT_STATUS] != self._known.get(Contract.DOCUMENT_STATUS):
            await self._statuses(gathered, kept)
        return gathered

    async def _statuses(self, gathered: Gathered, kept: KeptState) -> None:
        """The whole storage of DocumentStatus: from the last whole capture on, else all of it."""
        block, contract = gathered.header.number, Contract.DOCUMENT_STATUS
        async with self._database.read() as connection:
            last = await last_capture(connection, whole=True)
            before = None
            if last is not None:
                before = (await Archive(connection, self._kind).block(last.block_number)).header
            written = await status_slots(connection, 0 if last is None else last.block_number, block)
        await self._complete(gathered, kept, contract, written)
        if before is None:
            return
        try:
            account, _ = await kept.account(before.state_root, self._network.address(contract.directory_name))
            grown = await kept.grown(account.storage_root, gathered.roots[contract], gathered.nodes)
        except NodeMissing:
            grown = None
        if grown is not None:
            gathered.nodes |= grown.rebuilt
        if gathered.whole and (grown is None or grown.missing):
            logger().warning("status_captured_anew", block=block)
            async with self._database.read() as connection:
                everything = await status_slots(connection, 0, block)
            await self._complete(gathered, kept, contract, everything)

    async def _complete(
        self, gathered: Gathered, kept: KeptState, contract: Contract, slots: Sequence[int]
    ) -> None:
        """Ask for those of `slots` that cannot be proven from what is kept, as many as may be asked for."""
        missing = await self._not_kept(kept, gathered.roots[contract], slots)
        part = missing[: max(gathered.left, 0)]
        gathered.left -= len(missing)
        if part:
            await self._ask(gathered, contract, part)
            kept.add(gathered.nodes)

    async def _not_kept(self, kept: KeptState, root: bytes, slots: Sequence[int]) -> list[int]:
        missing: list[int] = []
        for start in range(0, len(slots), _FILTERED_AT_ONCE):
            found = await kept.slots(root, slots[start : start + _FILTERED_AT_ONCE])
            missing += [slot for slot, proof in found.items() if proof is None]
            if len(missing) > self._most_slots:
                break
            await asyncio.sleep(0)
        return missing

    async def _ask(self, gathered: Gathered, contract: Contract, slots: Sequence[int]) -> None:
        address = self._network.address(contract.directory_name)
        proven = await prove_slots(self._node, gathered.header, address, slots)
        gathered.nodes |= proven.nodes
        gathered.roots[contract] = proven.account.storage_root
