"""Payments know the block until which they may be accepted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payment", sa.Column("expiry_block", sa.BigInteger(), nullable=True))
    op.create_index("payment_by_state", "payment", ["state", "expiry_block"], unique=False)
