"""Nodes: which machines have an agent, what they are for, and what they say of themselves."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from controller.nodes import Node
from controller.views.common import list_meta, selected
from controller.views.errors import NotFound
from controller.views.resources import Meta, NodeList, NodeResource, NodeResourceSpec, NodeResourceStatus
from controller.views.selector import Matches
from crds.base import format_duration
from reconcilers.marks import marked

if TYPE_CHECKING:
    from controller.deciding import Deciding
    from controller.world import World


@dataclass
class Use:
    """What the revision in force makes of a node."""

    roles: set[str] = field(default_factory=set)
    zone: str = ""
    targets: set[str] = field(default_factory=set)

    @property
    def fleets(self) -> set[str]:
        """The fleets that it belongs to; nearly always one."""
        return {target.partition("@")[2] for target in self.targets}


def uses(world: "World") -> dict[str, Use]:
    """What each declared node is for."""
    found: dict[str, Use] = defaultdict(Use)
    for name, spec in world.declared.items():
        roles = (("host", spec.hosts), ("balancer", spec.balancer_nodes), ("runner", spec.runners))
        for role, node in ((role, node) for role, nodes in roles for node in nodes):
            found[node].roles.add(role)
            found[node].targets.add(name)
        for host in spec.hosts.values():
            found[host.name].zone = host.zone
    return dict(found)


def nodes(deciding: "Deciding", matches: Matches, now: datetime) -> NodeList:
    """All nodes whose labels match, without their services."""
    known = uses(deciding.world)
    names = sorted(known.keys() | deciding.world.nodes.nodes.keys())
    items = selected(names, lambda name: _resource(deciding, name, known.get(name, Use()), now), matches)
    return NodeList(metadata=list_meta(deciding, now), items=items)


def node(deciding: "Deciding", name: str, now: datetime) -> NodeResource:
    """One node with its services. Raises NotFound."""
    known = uses(deciding.world)
    names = known.keys() | deciding.world.nodes.nodes.keys()
    if name not in names:
        raise NotFound("node", name, sorted(names))
    found = _resource(deciding, name, known.get(name, Use()), now)
    report = deciding.world.nodes.get(name).report
    services = dict(sorted(report.services.items())) if report else {}
    return found.model_copy(update={"status": found.status.model_copy(update={"services": services})})


def _resource(deciding: "Deciding", name: str, use: Use, now: datetime) -> NodeResource:
    labels = {f"role-{role}": "true" for role in sorted(use.roles)}
    if len(use.fleets) == 1:
        labels["fleet"] = next(iter(use.fleets))
    if use.zone:
        labels["zone"] = use.zone
    return NodeResource(
        metadata=Meta(name=name, labels=labels, observed_at=now),
        spec=NodeResourceSpec(roles=sorted(use.roles), zone=use.zone, targets=sorted(use.targets)),
        status=_status(deciding.world, name, now),
    )


def _status(world: "World", name: str, now: datetime) -> NodeResourceStatus:
    node, excluded = world.nodes.get(name), world.exclusions.get(name)
    report, overdue = node.report, world.nodes.is_overdue(node, now)
    headline, message = node_headline(node)
    if excluded is not None and headline == "Ready":
        headline, message = "Excluded", f"excluded {marked(excluded)}"
    if overdue:
        late = f"a report is overdue; without one it is silent {format_duration(world.nodes.timeout)} after the last"
        message = "; ".join(filter(None, (message, late)))
    return NodeResourceStatus(
        headline=headline,
        message=message,
        silent=node.silent,
        excluded=excluded,
        last_seen=node.seen,
        overdue=overdue,
        agent_version=report.agent_version if report else "",
        platform=report.platform if report else "",
        roles=sorted(report.roles) if report else [],
        taken=node.taken,
        assigned=world.serials.get(name, 0),
        balancer=report.balancer if report else None,
        pools=sorted(report.pools) if report else [],
    )


def node_headline(node: Node) -> tuple[str, str]:
    """One word for people, and what it means where that is not plain."""
    report = node.report
    if not node.trusted:
        return "Revoked" if node.revoked else "Disputed", node.distrust
    if node.silent:
        said = "has not reported in time" if node.seen else "has not reported since the controller started"
        return "Silent", said
    if report and report.problem:
        return "Problem", report.problem
    if report and report.balancer and not report.balancer.reachable:
        return "BalancerUnreachable", report.balancer.message or "the balancer does not answer its agent"
    if report and report.balancer and not report.balancer.reload_safe:
        return "ReloadUnsafe", report.balancer.message or "a reload of the balancer would forget what was set"
    return "Ready", ""
