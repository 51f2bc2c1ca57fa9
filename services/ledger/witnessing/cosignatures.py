"""The cosignatures that were collected, and checkpoints with them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ledger import storage
from silkledger.runtime.db import POSTGRESQL

metadata = MetaData()

# One verified cosignature of a checkpoint by each witness.
cosignature = Table(
    "cosignature",
    metadata,
    Column("tree_size", BigInteger, primary_key=True, autoincrement=False),
    # Verifier key.
    Column("witness", Text, primary_key=True),
    # The signature line of the signed note, with its newline.
    Column("line", Text, nullable=False),
)


async def cosigned_note(connection: AsyncConnection, tree_size: int) -> str | None:
    """The checkpoint of this size with the lines of its witnesses after the log's own, in the one order that
    evidence bundles have; None: there is no checkpoint of this size. Readers ignore lines by keys that they
    do not know (C2SP signed-note).
    """
    head = await storage.checkpoint_at(connection, tree_size)
    if head is None:
        return None
    return head.note + "".join((await cosignatures(connection, tree_size)).values())


async def cosignatures(connection: AsyncConnection, tree_size: int) -> dict[str, str]:
    """Signature lines of the checkpoint of this size, by the verifier keys of the witnesses, which ascend."""
    query = select(cosignature.c.witness, cosignature.c.line).where(cosignature.c.tree_size == tree_size)
    lines = {row.witness: row.line for row in (await connection.execute(query)).all()}
    return dict(sorted(lines.items(), key=lambda item: item[0].encode()))


async def cosigned_size(connection: AsyncConnection, witness: str) -> int:
    """Size of the largest tree that the witness cosigned; 0: none."""
    query = select(func.max(cosignature.c.tree_size)).where(cosignature.c.witness == witness)
    return int((await connection.execute(query)).scalar_one() or 0)


async def insert_cosignature(connection: AsyncConnection, tree_size: int, witness: str, line: str) -> None:
    """Keep a verified line. The first one of a witness for a size stays."""
    dialect = postgresql if connection.dialect.name == POSTGRESQL else sqlite
    row = {"tree_size": tree_size, "witness": witness, "line": line}
    await connection.execute(dialect.insert(cosignature).values(row).on_conflict_do_nothing())
