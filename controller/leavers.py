"""What is known of hosts that a target's spec names no more, or never did, and that still have its service."""

from collections.abc import Mapping
from datetime import datetime

from controller.nodes import Nodes
from crds.messages import ServerReport, ServiceReport
from reconcilers.facts import HostFacts, online_places
from reconcilers.fragments import SERVICE, Entry, server_key
from reconcilers.target import HostSpec, TargetSpec
from reconcilers.values import service_of

Place = tuple[str, str]
Asked = Mapping[tuple[str, str], Entry]
"""Entries about one host, by (node, key)."""


def leaver_facts(spec: TargetSpec, name: str, asked: Asked, nodes: Nodes, watching_since: datetime) -> HostFacts:
    """One of them. No file says its address any more: what it was given to run does."""
    node = nodes.get(name)
    servers, lineless = _named(spec, name, asked, nodes)
    return HostFacts(
        host=HostSpec(name, service_of(asked[name, SERVICE].value).address, "", (0, "", name)),
        silent=node.mute,
        silent_since=node.silent_since(watching_since),
        distrust=node.distrust,
        revoked=node.revoked,
        service=node.report.services.get(spec.name) if node.report else None,
        servers=servers,
        lineless=lineless,
        entries=dict(asked),
    )


def running_elsewhere(spec: TargetSpec, nodes: Nodes) -> list[str]:
    """Nodes that are none of the target's hosts, and by whose last word its service runs there.

    That of a silent node counts, too; one that a person has revoked is taken to be off.
    """
    return sorted(
        name
        for name, node in nodes.nodes.items()
        if name not in spec.hosts and not node.revoked and node.report and _runs(node.report.services.get(spec.name))
    )


def _runs(said: ServiceReport | None) -> bool:
    return said is not None and (said.identity is not None or said.state in ("starting", "running", "crashing"))


def _named(
    spec: TargetSpec, host: str, asked: Asked, nodes: Nodes
) -> tuple[dict[Place, ServerReport], frozenset[Place]]:
    """What nodes say by name of its servers, and where there is none though the node was asked by name."""
    seen: dict[Place, ServerReport] = {}
    lineless = set()
    for name, pool in online_places(spec):
        node = nodes.get(name)
        reports = node.report.pools if node.report is not None and not node.mute else {}
        for place in ((name, each) for each in pool.names if each in reports):
            report, entry = reports[place[1]], asked.get((name, server_key(place[1], host)))
            if host in report.servers:
                seen[place] = report.servers[host]
            elif entry is not None and report.read >= entry.stamp:
                lineless.add(place)
    return seen, frozenset(lineless)
