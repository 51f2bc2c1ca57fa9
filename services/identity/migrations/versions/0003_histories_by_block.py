"""Histories are found by block: what was written since a block, and what a reorg undoes."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("history_by_block", "history", ["block_number"], unique=False)


def downgrade() -> None:
    op.drop_index("history_by_block", table_name="history")
