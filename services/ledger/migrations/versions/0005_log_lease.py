"""log lease"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_lease",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column(
            "epoch",
            sa.BigInteger(),
            nullable=False,
            comment="grows with every change of owner; fences writes",
        ),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False, comment="Unix milliseconds"),
        sa.PrimaryKeyConstraint("origin"),
    )


def downgrade() -> None:
    op.drop_table("log_lease")
