"""Status lists: what issuers signed, the calls that record them, and proofs against who signed two."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "status_list",
        sa.Column("issuer", sa.String(length=80), nullable=False),
        sa.Column("list_id", sa.String(length=600), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "list_id", "sequence"),
    )
    op.create_table(
        "status_list_call",
        sa.Column("issuer", sa.String(length=80), nullable=False),
        sa.Column("list_id", sa.String(length=600), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("actor", sa.LargeBinary(length=20), nullable=False),
        sa.Column("call_id", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "list_id", "sequence", "attempt"),
    )
    op.create_table(
        "status_list_equivocation",
        sa.Column("issuer", sa.String(length=80), nullable=False),
        sa.Column("list_id", sa.String(length=600), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "list_id", "sequence"),
    )
