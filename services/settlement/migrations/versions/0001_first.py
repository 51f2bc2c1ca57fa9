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
        "message",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("done_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("payment_id", "kind", name="outbox_once"),
    )
    op.create_table(
        "payment",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("uetr", sa.Text(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("hop", sa.Integer(), nullable=False),
        sa.Column("end_to_end_id", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("clearing_reference", sa.Text(), nullable=False),
        sa.Column("instructing_bic", sa.Text(), nullable=False),
        sa.Column("instructed_bic", sa.Text(), nullable=False),
        sa.Column("debtor_bic", sa.Text(), nullable=False),
        sa.Column("creditor_bic", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("market", sa.Integer(), nullable=False),
        sa.Column("settlement_date", sa.Text(), nullable=False),
        sa.Column("charges_minor", sa.BigInteger(), nullable=False),
        sa.Column("message_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("outgoing", sa.Boolean(), nullable=False),
        sa.Column("counterparty", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=16), nullable=False),
        sa.Column("commitment", sa.LargeBinary(length=32), nullable=False),
        sa.Column("own_address", sa.LargeBinary(length=20), nullable=False),
        sa.Column("counterparty_address", sa.LargeBinary(length=20), nullable=True),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("reconciliation", sa.Integer(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id"),
        sa.UniqueConstraint("uetr", "role", "hop", name="payment_leg"),
    )
    op.create_index("payment_by_address", "payment", ["own_address"], unique=False)
    op.create_table(
        "payment_change",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id", "position"),
    )
    op.create_table(
        "payment_fact",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False, comment="as PaymentStateChanged numbers it"),
        sa.Column("by", sa.LargeBinary(length=20), nullable=False, comment="one-time address that acted"),
        sa.Column("data", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
    )
    op.create_index("payment_fact_by_payment", "payment_fact", ["payment_id"], unique=False)
    op.create_table(
        "payment_refusal",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False, comment="as PaymentRefused numbers it"),
        sa.Column("by", sa.LargeBinary(length=20), nullable=False),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
    )
    op.create_index("payment_refusal_by_payment", "payment_refusal", ["payment_id"], unique=False)
    op.create_table(
        "recon_break",
        sa.Column("break_id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("uetr", sa.Text(), nullable=True),
        sa.Column("role", sa.Integer(), nullable=True),
        sa.Column("hop", sa.Integer(), nullable=True),
        sa.Column("entry_reference", sa.Text(), nullable=False),
        sa.Column("ours_minor", sa.BigInteger(), nullable=True),
        sa.Column("ours_currency", sa.Text(), nullable=True),
        sa.Column("theirs_minor", sa.BigInteger(), nullable=True),
        sa.Column("theirs_currency", sa.Text(), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("break_id"),
    )
    op.create_table(
        "recon_run",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("results_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "signed",
        sa.Column("payment_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("statement_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payment_id", "statement_digest"),
    )
    op.create_table(
        "statement_file",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("imported_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
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
