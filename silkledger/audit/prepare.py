"""Blocks as the rows they stand for: verified, decoded, projected and digested. Pure; runs in any process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Table

from silkledger.audit.digest import Values, block_digest
from silkledger.audit.sealing import SealedBlock, Sealing, sealed_blocks
from silkledger.evm.contracts import Network, events_of
from silkledger.evm.follower_store import block_row, transaction_rows
from silkledger.evm.port import AccountProof, FullBlock
from silkledger.evm.tables import CHAIN_BLOCK, CHAIN_TX
from silkledger.evm.verify import verify_block, verify_links
from silkledger.projections.accreditations import AccreditationsProjector
from silkledger.projections.anchors import AnchorsProjector
from silkledger.projections.calls import CallsProjector
from silkledger.projections.histories import HistoriesProjector
from silkledger.projections.rows import RowsProjector
from silkledger.projections.settlements import SettlementsProjector
from silkledger.values import BlockHash

PROJECTORS: Final[tuple[RowsProjector, ...]] = (
    HistoriesProjector(),
    AnchorsProjector(),
    CallsProjector(),
    AccreditationsProjector(),
    SettlementsProjector(),
)
"""Every projection there is. A service's database has those of them that it uses."""

COMPARED: Final[tuple[Table, ...]] = (
    CHAIN_BLOCK,
    CHAIN_TX,
    *(table for projector in PROJECTORS for table in projector.tables),
)
"""What is compared row by row: archive of blocks and all projections. Not the cursor: it is a place."""

NOT_DIGESTED: Final = frozenset({("chain_block", "header")})
"""Raw headers of one block may differ between honest nodes in round and seals (QBFT); the hash does not."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Consecutive blocks, verified. Plain values, so that they pass from process to process cheaply."""

    first: int
    last: int
    parent: BlockHash
    """Of block `first`."""
    hash: BlockHash
    """Of block `last`."""
    rows: dict[str, list[Values]]
    """By table; values in the order of the table's columns."""
    digests: list[tuple[int, bytes]]
    """(block, block digest)"""
    kinds: list[tuple[int, str, int]]
    """(block, kind of event, how many)"""
    weight: int
    """Transactions and events in them: how much work the blocks were."""
    sealed: list[SealedBlock]
    """The blocks with their seals; empty where no seals are verified."""


def prepare(
    network: Network,
    blocks: Sequence[FullBlock],
    sealing: Sealing | None = None,
    proofs: Mapping[int, AccountProof] = MappingProxyType({}),
) -> Prepared:
    """Verify the blocks (links, bloom, receipts and transactions roots), decode and project their events, and
    recover who made their seals. `proofs`: of `contract_proofs`.

    Not a verification that the network agreed on them.

    Raises:
        NodeLied: a block is not what its header says; SealsRefused: nor a proof what its state root says.
        ContractMismatch: an event that we do not know.
    """
    verify_links(blocks)
    rows: dict[str, list[Values]] = {table.name: [] for table in COMPARED}
    digests, kinds, weight = [], [], 0
    for block in blocks:
        verify_block(block)
        number = block.header.number
        here, counted = _rows_of(network, block)
        digests.append((number, block_digest(number, {name: _digested(name, here[name]) for name in here})))
        for name, values in here.items():
            rows[name] += values
        kinds += [(number, kind, count) for kind, count in sorted(counted.items())]
        weight += 1 + len(block.tx_hashes) + counted.total()
    first, last = blocks[0].header, blocks[-1].header
    sealed = sealed_blocks(sealing, blocks, proofs)
    return Prepared(
        first.number, last.number, first.parent_hash, last.hash, rows, digests, kinds, weight, sealed
    )


def _rows_of(network: Network, block: FullBlock) -> tuple[dict[str, list[Values]], Counter[str]]:
    logs = [receipt.logs for receipt in block.receipts]
    events = events_of(network, block.header.number, block.tx_hashes, logs)
    found: dict[str, list[Values]] = {
        CHAIN_BLOCK.name: [_values(CHAIN_BLOCK, block_row(block))],
        CHAIN_TX.name: [_values(CHAIN_TX, row) for row in transaction_rows(block)],
    }
    for projector in PROJECTORS:
        for table, rows in projector.rows(block.header.ref, events).items():
            found[table.name] = [_values(table, row) for row in rows]
    return found, Counter(f"{event.contract}.{event.name}" for event in events)


def _values(table: Table, row: Mapping[str, Any]) -> Values:
    return tuple(row[name] for name in _COLUMNS[table.name])


_COLUMNS: Final = {table.name: tuple(column.name for column in table.columns) for table in COMPARED}
_KEYS: Final = {
    table.name: tuple(index for index, column in enumerate(table.columns) if column.primary_key)
    for table in COMPARED
}
_DIGESTED: Final = {
    table.name: tuple(
        index for index, column in enumerate(table.columns) if (table.name, column.name) not in NOT_DIGESTED
    )
    for table in COMPARED
}


def _digested(name: str, rows: list[Values]) -> list[Values]:
    """In key order, without what honest nodes may have differently."""
    key, kept = _KEYS[name], _DIGESTED[name]
    ordered = sorted(rows, key=lambda row: tuple(row[index] for index in key))
    return [tuple(row[index] for index in kept) for row in ordered]
