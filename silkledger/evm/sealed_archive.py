"""The headers that a follower has applied, for whoever goes on from them with the seals."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import select

from silkledger.evidence.errors import EvidenceInvalid
from silkledger.evidence.header import EngineKind, Header, decode_header
from silkledger.evm.port import Block, NodeLied
from silkledger.evm.seal_refusals import ArchiveUnsealed
from silkledger.evm.tables import CHAIN_BLOCK
from silkledger.runtime.db import Database
from silkledger.values import BlockHash


class GenesisSource(Protocol):
    """Where the genesis header is read (`silkledger.evm.port.Node`)."""

    async def block(self, number: int) -> Block: ...


async def genesis_header(node: GenesisSource, genesis: BlockHash) -> Header:
    """Block 0, which hashes to the pinned `genesis`. Raises: NodeUnavailable, NodeLied."""
    header = (await node.block(0)).header
    if header.hash != genesis:
        raise NodeLied(f"the genesis header hashes to {header.hash}, not to the pinned {genesis}")
    return header


async def archived_headers(database: Database, first: int, last: int) -> list[Header]:
    """Headers `first` to `last`, both included. Our own database's word.

    Raises:
        ArchiveUnsealed: not all of them are there, or one does not decode.
    """
    columns = CHAIN_BLOCK.c
    query = select(columns.header).where(columns.number.between(first, last)).order_by(columns.number)
    async with database.read() as conn:
        raws = [bytes(row.header) for row in await conn.execute(query)]
    if len(raws) != last - first + 1:
        raise ArchiveUnsealed(f"the archive has {len(raws)} of the blocks {first} to {last}")
    try:
        return [decode_header(raw, EngineKind.QBFT) for raw in raws]
    except EvidenceInvalid as refusal:
        raise ArchiveUnsealed(f"blocks {first} to {last}: {refusal}") from refusal
