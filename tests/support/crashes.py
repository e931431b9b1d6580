"""A site whose controller dies in the midst of saving or publishing what it decided."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crds.messages import Assignment
from reconcilers.plan import plan
from reconcilers.target import TargetSpec
from reconcilers.writes import Plan
from tests.support.site import Check, Site


class Died(BaseException):
    """The controller, where it stood."""


@dataclass(frozen=True)
class Cut:
    """Where a controller dies."""

    plans: int
    """With something to write, that are carried out whole before."""
    writes: int
    """Of the plan that is cut, that are kept: a store keeps all or none, but a decision must not rely on it."""
    published: int
    """Nodes that still get what they are asked by then."""


class CrashingSite(Site):
    """Like any site, until it is cut. No host is deployed to that a balancer would send customers to."""

    def __init__(self, *specs: TargetSpec, checks: Iterable[Check] = ()) -> None:
        self.cut: Cut | None = None
        self.crashes = 0
        super().__init__(*specs, checks=checks)

    def decide(self) -> None:
        try:
            super().decide()
        except Died:
            self.crashes += 1
            self.restart()

    def plan(self, target: str, stamped: set[str]) -> Plan:
        cut, spec = self.cut, self.world.specs[target]
        if cut is None:
            return super().plan(target, stamped)
        observed = self.world.observed(target)
        decided = plan(spec, observed, self.now)
        self.world.look_at_all(target)  # what was new to this look is new to the next one
        if not decided.writes:
            return super().plan(target, stamped)
        if cut.plans:
            self.cut = Cut(cut.plans - 1, cut.writes, cut.published)
            return super().plan(target, stamped)
        self.cut = None
        self.check(spec, observed, decided)
        self.carry_out(target, decided.writes[: cut.writes], stamped)
        self._due |= set(sorted(stamped)[: cut.published])
        self.deliver()
        raise Died

    def hand_over(self, node: str, assignment: Assignment) -> None:
        """Promise 3, from what balancers and processes are."""
        for target, asked in assignment.services.items():
            runs = self.agents[node].runs.get(target)
            digest = asked.release.digest if asked.release else None
            if runs is not None and runs[0] != digest and node not in self.behaviour.stuck:
                for place in self.world.specs[target].pools:
                    reached = [lb.name for lb in place.nodes if self.admits(lb.name, place.online, node)]
                    assert not reached, f"{target} is replaced on {node}, to which {reached} send customers"
        super().hand_over(node, assignment)

    def admits(self, node: str, pool: str, host: str) -> bool:
        """Whether the balancer may send anybody there, as people and we have set it."""
        agent = self.agents[node]
        return (agent.marked.get((pool, host)) or agent.admin[pool][host]) != "maint"

    def end(self) -> dict[str, Any]:
        """All that is, without what depends on when it came to be."""
        asked = {
            (node, target, "operation" if key.startswith("operation/") else key): _without_next(entry.value)
            for node, targets in self.world.entries.items()
            for target, entries in targets.items()
            for key, entry in entries.items()
        }
        conditions = {
            target: [(each.type, each.status, each.reason, each.message) for each in status.conditions]
            for target, status in self.world.statuses.items()
        }
        return {
            "runs": {target: self.versions(target) for target in self.world.specs},
            "admin": {name: agent.admin for name, agent in self.agents.items() if agent.admin},
            "asked": asked,
            "journeys": {target: sorted(hosts) for target, hosts in self.world.journeys.items() if hosts},
            "operations": sorted(
                (each.target, each.host, each.spec.name)
                for kept in self.world.operations.by_target.values()
                for each in kept.values()
            ),
            "conditions": conditions,
        }


def _without_next(value: str) -> dict[str, Any]:
    """Who has been asked to fetch a release that is held now, depends on when it was held."""
    return {field: said for field, said in json.loads(value).items() if field != "next"}
