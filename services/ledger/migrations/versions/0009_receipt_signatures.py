"""receipt signatures"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "checkpoint",
        sa.Column(
            "signatures",
            sa.LargeBinary(),
            nullable=True,
            comment="of receipts under this head: key id and signature over the root, for each key",
        ),
    )


def downgrade() -> None:
    op.drop_column("checkpoint", "signatures")
