"""The first tables, and the one row of the lease."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    lease = _lease()
    op.bulk_insert(
        lease, [{"id": 1, "term": 0, "taken_at": "", "resource_version": 0, "event_id": 0, "event_hash": ""}]
    )
    _resources()
    _nodes()
    _events()


def _lease() -> sa.Table:
    return op.create_table(
        "lease",
        sa.Column("id", sa.BigInteger, primary_key=True, comment="always 1: there is one row"),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.String, nullable=False),
        sa.Column("resource_version", sa.BigInteger, nullable=False),
        sa.Column(
            "event_id", sa.BigInteger, nullable=False, comment="of the newest event: a log cut off at its end shows"
        ),
        sa.Column("event_hash", sa.String, nullable=False),
    )


def _resources() -> None:
    op.create_table(
        "target_status",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
    )
    op.create_table(
        "journey",
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("host", sa.String, primary_key=True),
        sa.Column("journey", sa.Text, nullable=False),
    )
    op.create_table(
        "operation",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
    )
    op.create_table(
        "revision",
        sa.Column(
            "state", sa.String, primary_key=True, comment="accepted: in force; refused: newer than the accepted one"
        ),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("problems", sa.Text, nullable=False),
    )


def _nodes() -> None:
    op.create_table(
        "node",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("incarnation", sa.String, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("taken_term", sa.BigInteger, nullable=False),
        sa.Column("taken_serial", sa.BigInteger, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
    )
    op.create_table(
        "assignment",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("serial", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "fragment_entry",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
    )


def _events() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("resource_version", sa.BigInteger, nullable=False),
        sa.Column("at", sa.String, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("verb", sa.String, nullable=False),
        sa.Column("object", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.create_index("event_by_resource_version", "event", ["resource_version"])
    op.create_index("event_by_object", "event", ["object", "id"])
