"""What people have excluded."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "exclusion",
        sa.Column("node", sa.String, primary_key=True, comment="a host or a balancer node"),
        sa.Column("mark", sa.Text, nullable=False),
    )
