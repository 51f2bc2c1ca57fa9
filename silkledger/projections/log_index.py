"""The segmented index (`silkledger.log.index`) as stored."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, SmallInteger, Table

metadata = MetaData()

# A run of leaves whose records stand in the pages of this number.
index_segment = Table(
    "index_segment",
    metadata,
    Column("segment", BigInteger, primary_key=True, autoincrement=False),
    # How often its records were merged. BUILDING: not to be read yet.
    Column("level", SmallInteger, nullable=False),
    Column("first_leaf", BigInteger, nullable=False),
    Column("end_leaf", BigInteger, nullable=False),
)

index_page = Table(
    "index_page",
    metadata,
    Column("segment", BigInteger, nullable=False),
    # The page's first record.
    Column("first", LargeBinary(16), nullable=False),
    # Sorted records, one after the other.
    Column("records", LargeBinary, nullable=False),
)
Index("index_page_place", index_page.c.segment, index_page.c.first, unique=True)

BUILDING: Final = -1
"""Level of a segment that is not complete."""
