"""state captures"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "state_node",
        sa.Column("name", sa.LargeBinary(32), nullable=False),
        sa.Column("node", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "state_capture",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("captured_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block_number"),
    )
    op.create_table(
        "validator_step",
        sa.Column("block_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("block_number"),
    )


def downgrade() -> None:
    op.drop_table("validator_step")
    op.drop_table("state_capture")
    op.drop_table("state_node")
