"""What a broker must know before Drumbeat's messages travel over it, as RabbitMQ's definitions.

For ``rabbitmqctl import_definitions``, and for the management API, which takes the same: an import adds and changes, it
never removes. Accounts have a tag that means nothing to RabbitMQ, so that the management plugin turns them away.
Passwords are there only as the salted hashes that RabbitMQ itself would keep.
"""

from collections.abc import Mapping
from typing import Any

from bus.amqp_topology import (
    EXCHANGE,
    REPORT_QUEUE_ARGUMENTS,
    SHARDS,
    controller_permissions,
    node_permissions,
    report_queue,
)

CONTROLLER_USER = "drumbeat_controller"
"""The controller's account. No node's name has an underscore."""
MANAGEMENT_USER = "drumbeat_management"
"""The account by which other accounts are made. RabbitMQ lets nobody but administrators do that."""
_NODE_LIMITS = {"max-connections": 10, "max-channels": 20}
"""A node needs one of each; a connection that died unnoticed counts until two heartbeats have passed."""


def mark(vhost: str) -> str:
    """The tag of the accounts that are Drumbeat's in this virtual host. Without it an account is somebody else's."""
    return f"drumbeat:{vhost}"


def definitions(
    vhost: str, controller_hash: str, nodes: Mapping[str, str], management_hash: str | None = None
) -> dict[str, Any]:
    """Everything: virtual host, exchange, queues, the controller's account, one for each node, and, if its password is
    given, the one that makes the others.

    Passwords are given as ``hash_token`` of bus/keys.py makes them of each node's token, by the node's name.
    """
    of_nodes = node_definitions(vhost, nodes)
    makers = [_user(MANAGEMENT_USER, management_hash, "administrator")] if management_hash else []
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(CONTROLLER_USER, controller_hash, mark(vhost)), *makers, *of_nodes["users"]],
        "permissions": [_may(CONTROLLER_USER, vhost, controller_permissions()), *of_nodes["permissions"]],
        "exchanges": [_exchange(vhost)],
        "queues": [_queue(vhost, shard) for shard in range(SHARDS)],
        "bindings": [_binding(vhost, shard) for shard in range(SHARDS)],
    }


def node_definitions(vhost: str, nodes: Mapping[str, str]) -> dict[str, Any]:
    """The accounts of these nodes alone, for a broker that has everything else."""
    accounts = [_user(node, token_hash, mark(vhost)) for node, token_hash in nodes.items()]
    return {
        "users": [account | {"limits": _NODE_LIMITS} for account in accounts],
        "permissions": [_may(node, vhost, node_permissions(node)) for node in nodes],
    }


def _user(name: str, password_hash: str, tag: str) -> dict[str, Any]:
    return {
        "name": name,
        "password_hash": password_hash,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": [tag],
    }


def _may(user: str, vhost: str, permissions: Mapping[str, str]) -> dict[str, str]:
    return {"user": user, "vhost": vhost, **permissions}


def _exchange(vhost: str) -> dict[str, Any]:
    flags = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    return {"name": EXCHANGE, "vhost": vhost, "type": "direct", **flags}


def _queue(vhost: str, shard: int) -> dict[str, Any]:
    flags = {"durable": True, "auto_delete": False, "arguments": REPORT_QUEUE_ARGUMENTS}
    return {"name": report_queue(shard), "vhost": vhost, **flags}


def _binding(vhost: str, shard: int) -> dict[str, Any]:
    to = {"destination": report_queue(shard), "destination_type": "queue", "routing_key": str(shard)}
    return {"source": EXCHANGE, "vhost": vhost, **to, "arguments": {}}
