"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accreditation",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("accreditation_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("issuer", sa.LargeBinary(length=20), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("document_type", sa.String(length=8), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("from_block", sa.BigInteger(), nullable=False),
        sa.Column("until_block", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.LargeBinary(length=32), nullable=False),
        sa.Column("may_subaccredit", sa.Boolean(), nullable=False),
        sa.Column("given_by", sa.LargeBinary(length=20), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
    )
    op.create_index("accreditation_by_country", "accreditation", ["country", "block_number"], unique=False)
    op.create_index("accreditation_by_issuer", "accreditation", ["issuer", "block_number"], unique=False)
    op.create_table(
        "audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("organisation", sa.String(length=80), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
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
        "organisation",
        sa.Column("did", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=140), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("lei", sa.String(length=20), nullable=True),
        sa.Column("uscc", sa.String(length=18), nullable=True),
        sa.Column("bic", sa.String(length=11), nullable=True),
        sa.Column("endpoint", sa.String(length=256), nullable=False),
        sa.Column("enrolled_ms", sa.BigInteger(), nullable=False),
        sa.Column("controller_key", sa.LargeBinary(length=33), nullable=False),
        sa.Column("certificate_chain", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("did"),
        sa.UniqueConstraint("bic"),
        sa.UniqueConstraint("lei"),
        sa.UniqueConstraint("uscc"),
    )
    op.create_index("organisation_by_country", "organisation", ["country", "did"], unique=False)
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
    op.create_table(
        "organisation_role",
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("did", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["did"],
            ["organisation.did"],
        ),
        sa.PrimaryKeyConstraint("role", "did"),
    )
