"""What is accepted and waits to be logged: one row for each call, gone in the commit that logs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

metadata = MetaData()

pending = Table(
    "pending",
    metadata,
    # The call in `accepted`, whose entries are in `entry_pack`.
    Column("call", BigInteger, primary_key=True, autoincrement=False),
    Column("width", SmallInteger, nullable=False),
    # DID of the issuer of all of them.
    Column("issuer", String(80), nullable=False),
    # Document type of each item with commas between, or the one type of all of them.
    Column("types", Text, nullable=False),
    # 32 bytes for each item: statement ids, and RFC 9162 leaf hashes.
    Column("ids", LargeBinary, nullable=False),
    Column("leaf_hashes", LargeBinary, nullable=False),
    # Relative records of the index (silkledger.log.index).
    Column("records", LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A row of `pending`."""

    call: int
    width: int
    issuer: str
    types: str
    ids: bytes
    leaf_hashes: bytes
    records: bytes

    def id_list(self) -> list[bytes]:
        return [self.ids[at : at + 32] for at in range(0, len(self.ids), 32)]

    def leaf_hash(self, item: int) -> bytes:
        return self.leaf_hashes[item * 32 : (item + 1) * 32]

    def types_of(self, first: int, end: int) -> set[str]:
        """The document types of the items [first, end)."""
        types = self.types.split(",")
        return set(types) if len(types) == 1 else set(types[first:end])


def types_text(types: Sequence[str]) -> str:
    """As the column holds them."""
    return types[0] if len(set(types)) == 1 else ",".join(types)


async def waiting_calls(connection: AsyncConnection, most_items: int) -> list[WaitingCall]:
    """The calls that have waited longest, of at most so many items together; at least one if any waits."""
    columns = [pending.c[name] for name in WaitingCall.__slots__]
    query = select(*columns).order_by(pending.c.call).limit(most_items)
    found: list[WaitingCall] = []
    total = 0
    async with connection.stream(query) as rows:
        async for row in rows:
            total += row.width
            if found and total > most_items:
                break
            found.append(
                WaitingCall(
                    row.call,
                    row.width,
                    row.issuer,
                    row.types,
                    bytes(row.ids),
                    bytes(row.leaf_hashes),
                    bytes(row.records),
                )
            )
    return found


async def waiting_items(connection: AsyncConnection) -> int:
    """How many statements wait, of all calls."""
    total = (await connection.execute(select(func.sum(pending.c.width)))).scalar_one()
    return 0 if total is None else int(total)
