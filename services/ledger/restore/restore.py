"""The log's missing entries out of a mirror, and the lane's next nonce out of the chain.

What a mirror says is believed only as far as the log signed it and the chain anchored it. What was accepted
and never logged is in no mirror: its holder submits it again with the same request, and it is logged then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import groupby, islice
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from services.ledger.index.merging import add_segment
from services.ledger.reading.entries import EntryRow, entry_row
from services.ledger.sequencing.batch import make_batch
from services.ledger.sequencing.bulk import insert_rows, take_calls
from services.ledger.sequencing.leadership import Leadership
from services.ledger.sequencing.log_tree import append_batch, open_tree
from services.ledger.sequencing.pending import WaitingCall, types_text
from services.ledger.storage import CheckpointRow
from silkledger.evm.contracts import Network, view
from silkledger.evm.port import Node
from silkledger.evm.tables import LANE
from silkledger.log.checkpoint import Checkpoint, LogKeys
from silkledger.log.index import manifest_records, statement_records
from silkledger.log.tiles import node_in_tile, tile_of
from silkledger.log.tree import EMPTY_ROOT, leaf_hash, root_of
from silkledger.mirror.directory import MirrorDirectory
from silkledger.mirror.verify import read_entries, verify_mirror
from silkledger.projections.anchors import CONTRACT
from silkledger.projections.statements import packs
from silkledger.registry.histories import origin_id
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockRef

BATCH: Final = 1_000
"""Entries written at once."""


class RestoreRefused(Exception):
    """Nothing was written. `reason` is a stable code (docs/formats/mirror.md)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Restored:
    """What was given back."""

    old_size: int
    new_size: int
    anchored_size: int


@dataclass(frozen=True, slots=True)
class Restoring:
    """One log, stopped: its database, its keys, and the chain that anchored it."""

    database: Database
    node: Node
    network: Network
    log_keys: LogKeys

    async def run(self, mirror: MirrorDirectory, witnessed: Sequence[Checkpoint] = ()) -> Restored:
        """Bring the database up to the mirror, all or nothing.

        1. the mirror is a whole log of these keys; 2. it holds the anchored head, and 3. every checkpoint
        that somebody else holds (`witnessed`); 4. the database is a shorter state of the same log; 5. its
        missing entries, nodes and the mirror's checkpoint are written; 6. the lanes go on at the chain's
        nonces.

        Raises:
            MirrorError, RestoreRefused: nothing was written. NodeError.
        """
        # (1)
        head = verify_mirror(mirror, self.log_keys).checkpoint
        root_at = _roots(mirror, head.size)
        # (2)
        identifier = origin_id(head.origin)
        size, root = await view(self.node, self.network, CONTRACT, "anchoredHead", (identifier,))
        _check_holds(
            head.size, root_at, Checkpoint(head.origin, size, root if size else EMPTY_ROOT), "anchored"
        )
        # (3)
        for checkpoint in witnessed:
            _check_holds(head.size, root_at, checkpoint, "signed")
        nonces = await self._nonces()
        block = await self.node.block(await self.node.block_number())
        at = BlockRef(block.header.number, block.header.hash, block.header.timestamp)
        leadership = Leadership(self.database, head.origin)
        if not await leadership.lead():
            raise RestoreRefused(
                "LOG_IN_USE", "a process sequences this log, or died a moment ago: stop it, wait, try again"
            )
        try:
            async with leadership.writing() as connection:
                old = await _state(connection, head.size, root_at)  # (4)
                if old < head.size:
                    await _write(connection, mirror, old, head, at)  # (5)
                await self._raise_nonces(connection, nonces)  # (6)
        finally:
            await leadership.give_up()
        return Restored(old, head.size, size)

    async def _nonces(self) -> dict[bytes, int]:
        """Of every account that signs for a lane, as the chain has it."""
        async with self.database.read() as connection:
            query = select(LANE.c.signer).where(LANE.c.chain_id == self.network.chain_id)
            signers = [bytes(signer) for signer in (await connection.execute(query)).scalars()]
        return {signer: await self.node.nonce(Address(signer)) for signer in signers}

    async def _raise_nonces(self, connection: AsyncConnection, nonces: Mapping[bytes, int]) -> None:
        """Nonces that were used after the backup are taken: a lane must not sign them again."""
        for signer, nonce in nonces.items():
            lane = (LANE.c.chain_id == self.network.chain_id) & (LANE.c.signer == signer)
            await connection.execute(
                update(LANE).where(lane, LANE.c.next_nonce < nonce).values(next_nonce=nonce)
            )


def _roots(mirror: MirrorDirectory, size: int) -> Callable[[int], bytes]:
    """Roots of the verified mirror at any size that it had."""

    def root_at(wanted: int) -> bytes:
        return root_of(
            wanted, lambda nodes: [node_in_tile(node, mirror.tile(tile_of(node, size))) for node in nodes]
        )

    return root_at


def _check_holds(size: int, root_at: Callable[[int], bytes], checkpoint: Checkpoint, what: str) -> None:
    if checkpoint.size > size:
        missing = f"leaves {size} to {checkpoint.size - 1} are {what} and not in this mirror"
        raise RestoreRefused("MIRROR_TOO_SHORT", missing)
    if root_at(checkpoint.size) != checkpoint.root:
        raise RestoreRefused(
            "MIRROR_OTHER_HISTORY", f"another root is {what} for size {checkpoint.size} than the mirror has"
        )


async def _state(connection: AsyncConnection, size: int, root_at: Callable[[int], bytes]) -> int:
    """Size of the database's log, if it is whole and the mirror extends it. Raises: RestoreRefused."""
    head = await storage.checkpoint_at(connection)
    leaves = await storage.leaf_count(connection)
    old = 0 if head is None else head.tree_size
    if leaves != old:
        raise RestoreRefused(
            "DATABASE_DAMAGED",
            f"the database holds {leaves} leaves, its checkpoint {old}: use another backup",
        )
    if old > size:
        raise RestoreRefused("MIRROR_TOO_SHORT", f"the database has {old} leaves, the mirror {size}")
    if head is not None and head.root != root_at(old):
        raise RestoreRefused("MIRROR_OTHER_HISTORY", f"database and mirror differ within {old} leaves")
    try:
        tree, _ = await open_tree(connection, old)
    except KeyError:
        raise RestoreRefused(
            "DATABASE_DAMAGED", "nodes of its tree are missing: use another backup"
        ) from None
    if tree.root() != root_at(old):
        raise RestoreRefused(
            "DATABASE_DAMAGED", "its nodes do not lead to its checkpoint: use another backup"
        )
    return old


async def _write(
    connection: AsyncConnection, mirror: MirrorDirectory, old: int, head: Checkpoint, at: BlockRef
) -> None:
    """The entries as calls of their own. What waits in the queue and is among them gets no second leaf."""
    now_ms = time.time_ns() // 1_000_000
    size = old
    for raws in _batches(read_entries(mirror, old, head.size)):
        size, root = await _write_batch(connection, size, raws, (now_ms, now_ms, at.number, bytes(at.hash)))
        if size == head.size and root != bytes(head.root):
            raise RestoreRefused("MIRROR_OTHER_HISTORY", "the mirror changed while it was read")
    note = mirror.checkpoint()
    if size != head.size or note is None:
        raise RestoreRefused("MIRROR_OTHER_HISTORY", "the mirror changed while it was read")
    await storage.insert_checkpoint(connection, CheckpointRow(head.size, bytes(head.root), note), now_ms)


async def _write_batch(
    connection: AsyncConnection, size: int, raws: Sequence[bytes], terms: tuple[int, int, int, bytes]
) -> tuple[int, bytes]:
    """Size and root of the log with these entries.

    Time and block of acceptance are in no mirror (`terms` are those of the restoring), and neither are the
    documents of a manifest: they are missing until its holder submits it again.
    """
    _, nodes = await open_tree(connection, size)
    groups = [list(group) for _, group in groupby(map(_entry, raws), key=lambda item: item.issuer)]
    numbers = await take_calls(connection, len(groups))
    calls = [_call(number, group) for number, group in zip(numbers, groups, strict=True)]
    batch = make_batch(size, calls, {})
    if len(batch.leaf_hashes) != len(raws):
        raise RestoreRefused("MIRROR_OTHER_HISTORY", "the mirror holds a statement twice")
    grown = append_batch(nodes, size, batch.leaf_hashes)
    for call, group in zip(calls, groups, strict=True):
        await insert_rows(connection, "accepted", [(call.call, call.width, *terms)])
        await insert_rows(connection, "entry_pack", packs(call.call, [item.raw for item in group]))
    await insert_rows(connection, "leaf_run", [astuple(run) for run in batch.runs])
    await insert_rows(connection, "tile", nodes.grown_tiles(size, grown[0]))
    await add_segment(connection, size, grown[0], batch.records)
    manifests = [row.statement_id for group in groups for row in group if row.manifest_size is not None]
    await storage.insert_undocumented(connection, manifests)
    return grown


def _entry(raw: bytes) -> EntryRow:
    return entry_row(raw, 0, 0, None)


def _call(number: int, group: Sequence[EntryRow]) -> WaitingCall:
    """Consecutive entries of one issuer as a call."""
    records = []
    for item, row in enumerate(group):
        if row.manifest_size is None:
            records.append(statement_records(item, row.statement_id, row.document_digest, row.subject))
        else:
            records.append(manifest_records(row.statement_id, row.subject, (), item))
    return WaitingCall(
        number,
        len(group),
        group[0].issuer,
        types_text([row.document_type for row in group]),
        b"".join(row.statement_id for row in group),
        b"".join(leaf_hash(row.raw) for row in group),
        b"".join(records),
    )


def _batches(entries: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(entries, BATCH)):
        yield batch
