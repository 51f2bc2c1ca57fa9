"""The first schema that counts: packed entries, tiles, a segmented index.

The schema before it (revision 0001: a row for each entry, leaf and node) was in no release. A database at
it is refused at start: make a new one, and bring the log back from a mirror (`silkledger log restore`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = None
branch_labels = None
depends_on = None

_PACKED = (
    ("entry_pack", "entries"),
    ("manifest_pack", "leaves"),
    ("pending", "ids"),
    ("pending", "leaf_hashes"),
    ("pending", "records"),
    ("tile", "hashes"),
    ("index_page", "records"),
    ("idempotency", "response"),
)
"""Hashes and signatures: trying to compress them costs much and gains nothing."""


def upgrade() -> None:
    op.create_table(
        "accepted",
        sa.Column("call", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("width", sa.SmallInteger(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=False),
        sa.Column("log_by_ms", sa.BigInteger(), nullable=False),
        sa.Column("admission_number", sa.BigInteger(), nullable=False),
        sa.Column("admission_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("call"),
    )
    op.create_table(
        "anchor",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("origin_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("prev_size", sa.BigInteger(), nullable=False),
        sa.Column("prev_root", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
    )
    op.create_index("anchor_by_size", "anchor", ["origin_id", "size"], unique=False)
    op.create_table(
        "anchor_refusal",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("origin_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
    )
    op.create_index("anchor_refusal_by_origin", "anchor_refusal", ["origin_id", "reason"], unique=False)
    op.create_table(
        "audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("organisation", sa.String(length=80), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "call_event",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "log_index", sa.BigInteger(), autoincrement=False, nullable=False, comment="within the block"
        ),
        sa.Column("actor", sa.LargeBinary(length=20), nullable=False),
        sa.Column("request_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("event", sa.Text(), nullable=False, comment="name of the event"),
        sa.Column(
            "digest",
            sa.LargeBinary(length=32),
            nullable=True,
            comment="EIP-712 digest of the call, where the event has it",
        ),
        sa.Column("reason", sa.LargeBinary(), nullable=True, comment="return data of a refused call"),
        sa.Column("why", sa.SmallInteger(), nullable=True, comment="why nothing was consumed"),
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
    )
    op.create_index("call_event_by_id", "call_event", ["actor", "request_id"], unique=False)
    op.create_table(
        "chain_block",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("parent_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False, comment="header time, Unix seconds"),
        sa.Column("header", sa.LargeBinary(), nullable=False, comment="raw RLP, as first seen"),
        sa.Column(
            "receipts", sa.LargeBinary(), nullable=False, comment="RLP of [[transaction hash, receipt], ...]"
        ),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("hash", name="chain_block_hash"),
    )
    op.create_table(
        "chain_cursor",
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("genesis_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("directory", sa.LargeBinary(length=20), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="newest applied block; 0: none yet"),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("final_number", sa.BigInteger(), nullable=False, comment="never goes down"),
        sa.PrimaryKeyConstraint("chain_id"),
    )
    op.create_table(
        "chain_tx",
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tx_hash"),
    )
    op.create_index("chain_tx_by_block", "chain_tx", ["block_number"], unique=False)
    op.create_table(
        "checkpoint",
        sa.Column("tree_size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tree_size"),
    )
    op.create_table(
        "consumer",
        sa.Column("organisation", sa.String(length=80), nullable=False),
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False, comment="an unsigned 32-bit number"),
        sa.Column("block_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "consumer"),
    )
    op.create_table(
        "entry_pack",
        sa.Column("call", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_item", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("width", sa.SmallInteger(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("call", "first_item"),
    )
    op.create_table(
        "history",
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "log_index", sa.BigInteger(), autoincrement=False, nullable=False, comment="within the block"
        ),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False, comment="after this record"),
        sa.Column("record", sa.LargeBinary(), nullable=False, comment="as the event carried it"),
        sa.PrimaryKeyConstraint("contract", "key", "block_number", "log_index"),
    )
    op.create_table(
        "idempotency",
        sa.Column("organisation", sa.String(length=80), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "method", "request_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "index_page",
        sa.Column("segment", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.LargeBinary(length=16), nullable=False),
        sa.Column("records", sa.LargeBinary(), nullable=False),
    )
    op.create_index("index_page_place", "index_page", ["segment", "first"], unique=True)
    op.create_table(
        "index_segment",
        sa.Column("segment", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("first_leaf", sa.BigInteger(), nullable=False),
        sa.Column("end_leaf", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("segment"),
    )
    op.create_table(
        "intent",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("signer", sa.LargeBinary(length=20), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="which builder makes the transaction"),
        sa.Column("unique_key", sa.Text(), nullable=False, comment="one intent per kind and key, for ever"),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why refused or frozen"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False, comment="Unix milliseconds"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "unique_key", name="intent_once"),
    )
    op.create_index("intent_by_lane", "intent", ["chain_id", "signer", "state", "id"], unique=False)
    op.create_table(
        "lane",
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("signer", sa.LargeBinary(length=20), nullable=False),
        sa.Column(
            "next_nonce", sa.BigInteger(), nullable=False, comment="first nonce that no signed attempt has"
        ),
        sa.Column(
            "epoch",
            sa.BigInteger(),
            nullable=False,
            comment="grows with every change of owner; fences writes",
        ),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False, comment="Unix milliseconds"),
        sa.Column(
            "frozen", sa.Text(), nullable=True, comment="why the lane signs nothing any more; null: it does"
        ),
        sa.PrimaryKeyConstraint("chain_id", "signer"),
    )
    op.create_table(
        "leaf_run",
        sa.Column("first_leaf", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("call", sa.BigInteger(), nullable=False),
        sa.Column("first_item", sa.SmallInteger(), nullable=False),
        sa.Column("width", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("first_leaf"),
    )
    op.create_index("leaf_run_call", "leaf_run", ["call", "first_item"], unique=True)
    op.create_table(
        "manifest_pack",
        sa.Column("manifest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("first_document", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("width", sa.SmallInteger(), nullable=False),
        sa.Column("leaves", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("manifest", "first_document"),
    )
    op.create_table(
        "pending",
        sa.Column("call", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("width", sa.SmallInteger(), nullable=False),
        sa.Column("issuer", sa.String(length=80), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("ids", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("records", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("call"),
    )
    op.create_table(
        "relayed_call",
        sa.Column("actor", sa.LargeBinary(length=20), nullable=False),
        sa.Column("call_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("organisation", sa.String(length=80), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("actor", "call_id"),
    )
    op.create_table(
        "tile",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number"),
    )
    op.create_table(
        "attempt",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("intent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("signer", sa.LargeBinary(length=20), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("gas_price", sa.LargeBinary(length=32), nullable=False, comment="wei, 32 bytes big-endian"),
        sa.Column(
            "raw", sa.LargeBinary(), nullable=False, comment="the signed bytes, stored before they are sent"
        ),
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("block_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("sends", sa.Integer(), nullable=False, comment="how often the bytes were handed to a node"),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True, comment="last time, Unix milliseconds"),
        sa.Column("error", sa.Text(), nullable=True, comment="what the node said last"),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["intent_id"], ["intent.id"], name="attempt_of_intent"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tx_hash", name="attempt_hash"),
    )
    op.create_index("attempt_by_intent", "attempt", ["intent_id"], unique=False)
    op.create_index("attempt_by_lane", "attempt", ["chain_id", "signer", "state", "nonce"], unique=False)

    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE accepted_call")
        for table, column in _PACKED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP SEQUENCE accepted_call")
    op.drop_index("attempt_by_lane", table_name="attempt")
    op.drop_index("attempt_by_intent", table_name="attempt")
    op.drop_table("attempt")
    op.drop_table("tile")
    op.drop_table("relayed_call")
    op.drop_table("pending")
    op.drop_table("manifest_pack")
    op.drop_index("leaf_run_call", table_name="leaf_run")
    op.drop_table("leaf_run")
    op.drop_table("lane")
    op.drop_index("intent_by_lane", table_name="intent")
    op.drop_table("intent")
    op.drop_table("index_segment")
    op.drop_index("index_page_place", table_name="index_page")
    op.drop_table("index_page")
    op.drop_table("idempotency")
    op.drop_table("history")
    op.drop_table("entry_pack")
    op.drop_table("consumer")
    op.drop_table("checkpoint")
    op.drop_index("chain_tx_by_block", table_name="chain_tx")
    op.drop_table("chain_tx")
    op.drop_table("chain_cursor")
    op.drop_table("chain_block")
    op.drop_index("call_event_by_id", table_name="call_event")
    op.drop_table("call_event")
    op.drop_table("audit")
    op.drop_index("anchor_refusal_by_origin", table_name="anchor_refusal")
    op.drop_table("anchor_refusal")
    op.drop_index("anchor_by_size", table_name="anchor")
    op.drop_table("anchor")
    op.drop_table("accepted")
