"""Manifests whose documents a restored log lacks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "undocumented",
        sa.Column("manifest", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("manifest"),
    )


def downgrade() -> None:
    op.drop_table("undocumented")
