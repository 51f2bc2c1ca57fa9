"""Tables of the lane and of the follower. A service's migrations create those it uses.

What the lane holds (`lane`, `intent`, `attempt`) is primary: it exists nowhere else until it is on chain.
What the follower holds (`chain_*`) is a projection: it can be dropped and read again from the node.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from silkledger.runtime.lease import lease_columns

METADATA: Final = MetaData()

ROW_ID: Final = BigInteger().with_variant(Integer, "sqlite")
"""A growing row number; SQLite grows only a plain INTEGER by itself."""

LANE: Final = Table(
    "lane",
    METADATA,
    Column("chain_id", BigInteger, primary_key=True),
    Column("signer", LargeBinary(20), primary_key=True),
    Column("next_nonce", BigInteger, nullable=False, comment="first nonce that no signed attempt has"),
    *lease_columns(),
    Column("frozen", Text, comment="why the lane signs nothing any more; null: it does"),
)

INTENT: Final = Table(
    "intent",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("signer", LargeBinary(20), nullable=False),
    Column("kind", Text, nullable=False, comment="which builder makes the transaction"),
    Column("unique_key", Text, nullable=False, comment="one intent per kind and key, for ever"),
    Column("payload", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, comment="why refused or frozen"),
    Column("created_ms", BigInteger, nullable=False, comment="Unix milliseconds"),
    UniqueConstraint("kind", "unique_key", name="intent_once"),
    Index("intent_by_lane", "chain_id", "signer", "state", "id"),
)

ATTEMPT: Final = Table(
    "attempt",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("intent_id", ROW_ID, ForeignKey("intent.id", name="attempt_of_intent"), nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("signer", LargeBinary(20), nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("gas_price", LargeBinary(32), nullable=False, comment="wei, 32 bytes big-endian"),
    Column("raw", LargeBinary, nullable=False, comment="the signed bytes, stored before they are sent"),
    Column("tx_hash", LargeBinary(32), nullable=False),
    Column("state", Text, nullable=False),
    Column("block_number", BigInteger),
    Column("block_hash", LargeBinary(32)),
    Column("sends", Integer, nullable=False, comment="how often the bytes were handed to a node"),
    Column("sent_ms", BigInteger, comment="last time, Unix milliseconds"),
    Column("error", Text, comment="what the node said last"),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("tx_hash", name="attempt_hash"),
    Index("attempt_by_intent", "intent_id"),
    Index("attempt_by_lane", "chain_id", "signer", "state", "nonce"),
)

CHAIN_CURSOR: Final = Table(
    "chain_cursor",
    METADATA,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("genesis_hash", LargeBinary(32), nullable=False),
    Column("directory", LargeBinary(20), nullable=False),
    Column("number", BigInteger, nullable=False, comment="newest applied block; 0: none yet"),
    Column("hash", LargeBinary(32), nullable=False),
    Column("final_number", BigInteger, nullable=False, comment="never goes down"),
)

CHAIN_BLOCK: Final = Table(
    "chain_block",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("parent_hash", LargeBinary(32), nullable=False),
    Column("time", BigInteger, nullable=False, comment="header time, Unix seconds"),
    Column("header", LargeBinary, nullable=False, comment="raw RLP, as first seen"),
    Column("receipts", LargeBinary, nullable=False, comment="RLP of [[transaction hash, receipt], ...]"),
    UniqueConstraint("hash", name="chain_block_hash"),
)

CHAIN_TX: Final = Table(
    "chain_tx",
    METADATA,
    Column("tx_hash", LargeBinary(32), primary_key=True),
    Column("block_number", BigInteger, nullable=False),
    Column("tx_index", Integer, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    Index("chain_tx_by_block", "block_number"),
)

CHAIN_TABLES: Final = (CHAIN_CURSOR, CHAIN_BLOCK, CHAIN_TX)
LANE_TABLES: Final = (LANE, INTENT, ATTEMPT)
