"""stream numbers"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consumer", sa.Column("stream", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("consumer_stream", "consumer", ["stream"], unique=False)


def downgrade() -> None:
    op.drop_index("consumer_stream", table_name="consumer")
    op.drop_column("consumer", "stream")
