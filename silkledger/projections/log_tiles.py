"""The log's tree as stored: C2SP tiles of up to 256 hashes, from which every node and every proof is had."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, SmallInteger, Table

metadata = MetaData()

# Tile (L, N) holds nodes N·256 to N·256 + 255 of tree level 8·L, as far as they are complete. Only the last
# tile of a level grows; a full one never changes.
tile = Table(
    "tile",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)
