"""Exchange and queues of the bus on RabbitMQ: the names and arguments that both ends and the broker's owner agree on.

    node --(exchange drumbeat.reports, key SHARD)--> queue drumbeat.reports.SHARD --> controller
    controller --(default exchange)--> queue drumbeat.node.NODE.RANDOM, the node's own --> node

A node needs to configure and read ``drumbeat.node.NODE.*`` and to write to ``drumbeat.reports``, nothing else.
"""

import re
import zlib
from typing import Any

from pika.channel import Channel

EXCHANGE = "drumbeat.reports"
SHARDS = 4
MAX_AGE = 60.0
"""Seconds after which a report that nobody took is dropped: what it says is not so any more, and others follow."""
MAX_REPORTS = 20_000
"""Reports that wait in one shard, before the oldest are dropped."""
MAX_BYTES = 128 * 1024 * 1024
MAX_DELIVERIES = 5
"""How often a report comes again to controllers that die of it, or lose their connection, before it is dropped."""

REPORT_QUEUE_ARGUMENTS: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-message-ttl": int(MAX_AGE * 1000),
    "x-max-length": MAX_REPORTS,
    "x-max-length-bytes": MAX_BYTES,
    "x-overflow": "drop-head",
    "x-delivery-limit": MAX_DELIVERIES,
}
NODE_QUEUE_ARGUMENTS: dict[str, Any] = {"x-max-length": 1, "x-overflow": "drop-head"}
CONTENT_TYPE = "application/json"

_NODE_QUEUE = re.compile(r"drumbeat\.node\.(.+)\.([0-9a-f]{16})")


def report_queue(shard: int) -> str:
    """The queue of one shard."""
    return f"{EXCHANGE}.{shard}"


def shard_of(node: str) -> int:
    """The shard that a node's reports go to; always the same, so that they stay in order."""
    return zlib.crc32(node.encode()) % SHARDS


def node_queue(node: str, random_bits: int) -> str:
    """The queue of one connection of a node.

    A new name each time: the broker keeps an exclusive name locked until it has noticed the end of the connection.
    """
    return f"drumbeat.node.{node}.{random_bits & (2**64 - 1):016x}"


def node_of_queue(queue: str) -> str | None:
    """Whose queue it is, None for any other queue. Node names have dots; what follows the last one has none."""
    match = _NODE_QUEUE.fullmatch(queue)
    return match[1] if match else None


def node_permissions(node: str) -> dict[str, str]:
    """What a node's account may do, and no more: make and read its own queues, and publish reports."""
    own = rf"^drumbeat\.node\.{re.escape(node)}\.[0-9a-f]+$"
    return {"configure": own, "write": rf"^{re.escape(EXCHANGE)}$", "read": own}


def controller_permissions() -> dict[str, str]:
    """What the controller's account may do: make, bind and read the reports' queues, and publish to any queue."""
    reports = rf"^{re.escape(EXCHANGE)}(\..*)?$"
    return {"configure": reports, "write": rf"^(amq\.default|{re.escape(EXCHANGE)}\..*)$", "read": reports}


def check_reports(channel: Channel) -> None:
    """Ask whether exchange and queues are there; the broker closes the channel with 404 if one is not."""
    channel.exchange_declare(EXCHANGE, passive=True)
    for shard in range(SHARDS):
        channel.queue_declare(report_queue(shard), passive=True)


def declare_reports(channel: Channel) -> None:
    """Make exchange and queues, where an operator's definitions have not; closes the channel if they differ."""
    channel.exchange_declare(EXCHANGE, "direct", durable=True)
    for shard in range(SHARDS):
        channel.queue_declare(report_queue(shard), durable=True, arguments=REPORT_QUEUE_ARGUMENTS)
        channel.queue_bind(report_queue(shard), EXCHANGE, str(shard))


def declare_node_queue(channel: Channel, queue: str) -> None:
    """Make a node's own queue: it ends with the connection, and holds the newest assignment alone."""
    channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=NODE_QUEUE_ARGUMENTS)
