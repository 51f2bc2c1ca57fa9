"""The work directory: what was rebuilt from the chain so far, in one SQLite file. It is the auditor's own.

Blocks are appended in order, each commit with the place reached, so a replay that was killed goes on where it
was. Tables are those that are compared, without secondary indexes and without keys in random order: they are
written once, in block order, and read once, sorted. Whoever can write into the directory can falsify the
replay; its digests then differ from another auditor's.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)

from silkledger import cbor
from silkledger.audit.digest import FORMAT, RangeDigest, range_digests, start_digest
from silkledger.audit.prepare import COMPARED, Prepared
from silkledger.audit.sealing import Sealing
from silkledger.audit.sealing_order import Followed
from silkledger.evm.contracts import Network
from silkledger.evm.tables import CHAIN_BLOCK
from silkledger.runtime.db import Database
from silkledger.values import Address, BlockHash, BlockRef

FILE: Final = "replay.sqlite3"

_own: Final = MetaData()

_STATE: Final = Table(
    "replay_state",
    _own,
    Column("layout", LargeBinary(32), primary_key=True, comment="of the tables, and of which chain"),
    Column("number", BigInteger, nullable=False, comment="newest block that was applied"),
    Column("hash", LargeBinary(32), nullable=False),
    Column("seals", LargeBinary, comment="validators and votes after it; null: none are followed"),
)
VALIDATORS: Final = Table(
    "replay_validators",
    _own,
    Column("number", Integer, primary_key=True, autoincrement=False, comment="first block they seal"),
    Column("members", LargeBinary, nullable=False, comment="addresses, sorted"),
)
_BLOCK: Final = Table(
    "replay_block",
    _own,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), nullable=False),
)
_KIND: Final = Table(
    "replay_kind",
    _own,
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("events", Integer, nullable=False),
)


class WorkRefused(RuntimeError):
    """The directory holds a replay of another chain, under other rules, or by another version. Name another
    directory.
    """


def _bare(table: Table) -> Table:
    """The same columns; the primary key only where rows come in its order."""
    keys = [column.name for column in table.primary_key]
    ordered = keys[0] in ("number", "block_number")
    columns = [
        Column(
            column.name,
            # Rows of `chain_block` are numbered by their blocks: SQLite wants INTEGER for that.
            Integer() if keys == [column.name] and ordered else column.type,
            primary_key=ordered and column.primary_key,
            autoincrement=False,
        )
        for column in table.columns
    ]
    return Table(table.name, MetaData(), *columns)


_TABLES: Final = (*(_bare(table) for table in COMPARED), *_own.sorted_tables)


def _insert(table: Table) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(table.columns))})"


_INSERTS: Final = {table.name: _insert(table) for table in _TABLES}


class WorkStore:
    """One rebuilt state. `open` it, `close` it."""

    def __init__(self, database: Database, path: Path, network: Network, sealing: Sealing | None) -> None:
        self._database = database
        self._sealing = sealing
        self._network = network
        self.url = f"sqlite:///{path}"
        """For readers, in this process and others."""
        self.head = BlockRef(0, network.genesis_hash, 0)
        """Newest block that was applied; block 0: none yet."""
        self.seals: bytes | None = None
        """What to go on from with the seals after it (`silkledger.audit.sealing_order`)."""

    @classmethod
    async def open(cls, directory: Path, network: Network, sealing: Sealing | None = None) -> Self:
        """Raises: WorkRefused; DatabaseInUse when another replay works there."""
        path = directory / FILE  # Database.open makes the directory
        database = await Database.open(f"sqlite:///{path}")
        store = cls(database, path, network, sealing)
        try:
            await store._load()
        except BaseException:
            await database.close()
            raise
        return store

    async def _load(self) -> None:
        layout = _layout(self._network, self._sealing)
        async with self._database.write() as connection:
            if not await connection.run_sync(lambda sync: sync.dialect.has_table(sync, _STATE.name)):
                for table in _TABLES:
                    await connection.run_sync(table.create)
                row = {"layout": layout, "number": 0, "hash": bytes(self._network.genesis_hash)}
                await connection.execute(insert(_STATE), [row])
            state = (await connection.execute(select(_STATE))).one()
        if bytes(state.layout) != layout:
            raise WorkRefused(
                "the directory holds a replay of another chain, under other rules, or by another version"
            )
        self.head = await self.block(state.number)
        self.seals = None if state.seals is None else bytes(state.seals)

    async def close(self) -> None:
        await self._database.close()

    async def append(self, prepared: Prepared, followed: Followed | None = None) -> None:
        """One commit: the blocks' rows, digests and validators, and the place. MUST follow `head`."""
        seals = None if followed is None else followed.state
        async with self._database.write() as connection:
            for name, rows in prepared.rows.items():
                if rows:
                    await connection.exec_driver_sql(_INSERTS[name], rows)
            await connection.exec_driver_sql(_INSERTS[_BLOCK.name], prepared.digests)
            if prepared.kinds:
                await connection.exec_driver_sql(_INSERTS[_KIND.name], prepared.kinds)
            if followed is not None and followed.sets:
                sets = [(number, b"".join(sorted(members))) for number, members in followed.sets]
                await connection.exec_driver_sql(_INSERTS[VALIDATORS.name], sets)
            place = {"number": prepared.last, "hash": bytes(prepared.hash), "seals": seals}
            await connection.execute(update(_STATE).values(place))
        self.seals = seals
        self.head = BlockRef(prepared.last, prepared.hash, 0)

    async def block(self, number: int) -> BlockRef:
        """Block `number`, which was applied. Block 0 is the genesis."""
        if number <= 0:
            return BlockRef(0, self._network.genesis_hash, 0)
        query = select(CHAIN_BLOCK.c.hash, CHAIN_BLOCK.c.time).where(CHAIN_BLOCK.c.number == number)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one()
        return BlockRef(number, BlockHash(bytes(row.hash)), row.time)

    async def digests(self, upto: int) -> list[RangeDigest]:
        """Of the ranges up to block `upto`."""
        network = self._network
        start = start_digest(network.chain_id, network.genesis_hash, network.directory)
        return range_digests(start, [item async for item in self.block_digests(1, upto)])

    async def block_digests(self, first: int, last: int) -> AsyncIterator[tuple[int, bytes]]:
        """(block, digest) of the blocks `first` to `last`."""
        query = select(_BLOCK).where(_BLOCK.c.number.between(first, last)).order_by(_BLOCK.c.number)
        async with self._database.read() as connection:
            for row in await connection.execute(query):
                yield row.number, bytes(row.digest)

    async def volumes(self, upto: int, span: int) -> list[tuple[int, str, int]]:
        """(span, kind, events) up to block `upto`; span n holds the blocks from n·span + 1 on."""
        number = (_KIND.c.number - 1) // span
        query = (
            select(number, _KIND.c.kind, func.sum(_KIND.c.events))
            .where(_KIND.c.number <= upto)
            .group_by(number, _KIND.c.kind)
            .order_by(number, _KIND.c.kind)
        )
        async with self._database.read() as connection:
            return [(int(one), kind, int(events)) for one, kind, events in await connection.execute(query)]


def members_of(octets: bytes) -> frozenset[Address]:
    """The addresses of a row of `replay_validators`."""
    size = Address.SIZE
    return frozenset(Address(octets[at : at + size]) for at in range(0, len(octets), size))


def _layout(network: Network, sealing: Sealing | None) -> bytes:
    tables = [[table.name, [column.name for column in table.columns]] for table in _TABLES]
    contracts = [[name, bytes(address)] for name, address in sorted(network.addresses.items())]
    start = start_digest(network.chain_id, network.genesis_hash, network.directory)
    rules = [] if sealing is None else [sealing.encode()]
    return hashlib.sha256(cbor.encode([FORMAT, start, contracts, tables, *rules])).digest()
