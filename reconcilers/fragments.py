"""Fragments: what one target asks of one node, entry by entry, and how they merge into the node's assignment.

An entry's key says what it is about: ``service``, ``pool/POOL``, ``server/POOL/SERVER`` or ``operation/ID``. Its stamp
is the (term, serial) of the assignment that first carried its present value: what a node read under an older assignment
says nothing about it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crds.messages import (
    Assignment,
    OperationSpec,
    PoolAssignment,
    ServerAssignment,
    ServiceAssignment,
    Stamp,
)

SERVICE = "service"


@dataclass(frozen=True)
class Entry:
    """One thing asked of a node."""

    value: str
    """Canonical JSON of the ServiceAssignment, PoolAssignment, ServerAssignment or OperationSpec."""
    stamp: Stamp


Fragment = Mapping[str, Entry]
"""Entries by key: all that one target asks of one node."""


def host_of(node: str, key: str) -> str:
    """Which host of a target an entry is about; empty for pools and operations."""
    if key == SERVICE:
        return node
    return key.split("/", 2)[2] if key.startswith("server/") else ""


def pool_key(pool: str) -> str:
    """Key of the entry that has a balancer node report on a pool."""
    return f"pool/{pool}"


def server_key(pool: str, server: str) -> str:
    """Key of the entry that asks a state of one server."""
    return f"server/{pool}/{server}"


def operation_key(operation: str) -> str:
    """Key of the entry that has a runner run an operation."""
    return f"operation/{operation}"


def merge(node: str, stamp: Stamp, expires: datetime, fragments: Mapping[str, Fragment]) -> Assignment:
    """The node's assignment out of what every target asks of it; targets never share an entry."""
    services: dict[str, ServiceAssignment] = {}
    pools: dict[str, PoolAssignment] = {}
    servers: dict[str, dict[str, ServerAssignment]] = {}
    operations: dict[str, OperationSpec] = {}
    for target, fragment in sorted(fragments.items()):
        for key, entry in sorted(fragment.items()):
            kind, _, rest = key.partition("/")
            if kind == SERVICE:
                services[target] = ServiceAssignment.model_validate_json(entry.value)
            elif kind == "pool":
                pools[rest] = PoolAssignment.model_validate_json(entry.value)
            elif kind == "server":
                pool, _, server = rest.partition("/")
                servers.setdefault(pool, {})[server] = ServerAssignment.model_validate_json(entry.value)
            else:
                operations[rest] = OperationSpec.model_validate_json(entry.value)
    return Assignment(
        node=node,
        term=stamp.term,
        serial=stamp.serial,
        expires=expires,
        services=services,
        pools={name: pool.model_copy(update={"servers": servers.get(name, {})}) for name, pool in pools.items()},
        operations=operations,
    )
