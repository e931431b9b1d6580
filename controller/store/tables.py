"""The tables, by noun. The migrations make them; a test holds both to be the same.

Resources lie in a column of JSON, beside the columns that are searched or compared. Times are text in ISO 8601.
"""

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, Text

metadata = MetaData()

lease = Table(
    "lease",
    metadata,
    Column("id", BigInteger, primary_key=True, comment="always 1: there is one row"),
    Column("term", BigInteger, nullable=False),
    Column("taken_at", String, nullable=False),
    Column("resource_version", BigInteger, nullable=False),
    Column("event_id", BigInteger, nullable=False, comment="of the newest event: a log cut off at its end shows"),
    Column("event_hash", String, nullable=False),
)

target_status = Table(
    "target_status",
    metadata,
    Column("target", String, primary_key=True),
    Column("status", Text, nullable=False),
)

journey = Table(
    "journey",
    metadata,
    Column("target", String, primary_key=True),
    Column("host", String, primary_key=True),
    Column("journey", Text, nullable=False),
)

node = Table(
    "node",
    metadata,
    Column("node", String, primary_key=True),
    Column("incarnation", String, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("taken_term", BigInteger, nullable=False),
    Column("taken_serial", BigInteger, nullable=False),
    Column("report", Text, nullable=False),
)

assignment = Table(
    "assignment",
    metadata,
    Column("node", String, primary_key=True),
    Column("serial", BigInteger, nullable=False),
)

fragment_entry = Table(
    "fragment_entry",
    metadata,
    Column("node", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("serial", BigInteger, nullable=False),
)

operation = Table(
    "operation",
    metadata,
    Column("id", String, primary_key=True),
    Column("operation", Text, nullable=False),
)

exclusion = Table(
    "exclusion",
    metadata,
    Column("node", String, primary_key=True, comment="a host or a balancer node"),
    Column("mark", Text, nullable=False),
)

revision = Table(
    "revision",
    metadata,
    Column("state", String, primary_key=True, comment="accepted: in force; refused: newer than the accepted one"),
    Column("id", String, nullable=False),
    Column("at", String, nullable=False),
    Column("problems", Text, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("resource_version", BigInteger, nullable=False),
    Column("at", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("verb", String, nullable=False),
    Column("object", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("event_by_resource_version", "resource_version"),
    Index("event_by_object", "object", "id"),
)
