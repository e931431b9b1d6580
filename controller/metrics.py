"""Metrics of the controller, in a registry that is passed in. Base units; no host name is ever a label."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from crds.command import NodeVerb, RolloutVerb
from crds.status import Condition, RolloutStatus, Task
from reconcilers.limits import FleetIndex

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STATES = ("current", "outdated", "in_flight", "failed", "unknown")


class Metrics:
    """What the controller counts. Every label value that is known beforehand exists from the start, at zero."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._shown: dict[str, list[Condition]] = {}

        build = Info("drumbeat_build", "The version of Drumbeat that runs.", registry=registry)
        build.info({"version": version("drumbeat")})
        gauge, counter = partial(Gauge, registry=registry), partial(Counter, registry=registry)
        timing = partial(Histogram, registry=registry, buckets=_SECONDS)

        self.targets = gauge("drumbeat_targets", "Targets by condition and its status.", ["condition", "status"])
        self.hosts = gauge("drumbeat_hosts", "Hosts of a target, each in one state.", ["target", "state"])
        self.hosts_excluded = gauge("drumbeat_hosts_excluded", "Hosts of a target that people took out.", ["target"])
        self.hosts_unavailable = gauge(
            "drumbeat_hosts_unavailable", "Hosts of a target that count against its budget.", ["target"]
        )
        self.hosts_leaving = gauge(
            "drumbeat_hosts_leaving", "Hosts on their way out of a target that does not name them any more.", ["target"]
        )
        self.hosts_drifted = gauge(
            "drumbeat_hosts_drifted", "Hosts whose drift is being repaired; reported drift is a condition.", ["target"]
        )
        places = ["fleet", "limit"]
        self.places = gauge("drumbeat_fleet_places", "Hosts out, and rollouts under way, that a fleet allows.", places)
        self.places_used = gauge("drumbeat_fleet_places_used", "Of these, how many are in use.", places)
        self.fleet_waiting = gauge("drumbeat_fleet_waiting", "Targets that wait at a limit of their fleet.", ["fleet"])
        self.rollouts_total = counter("drumbeat_rollouts", "Rollouts that ended, by result.", ["result"])
        self.journeys_total = counter("drumbeat_journeys", "Journeys of hosts that ended, by result.", ["result"])
        self.retries_total = counter("drumbeat_host_retries", "Deployments that were tried again on their host.")
        task = ["task", "outcome"]
        self.tasks_total = counter("drumbeat_tasks", "Gates and migrations without a host, by how they ended.", task)
        self.plan_seconds = timing("drumbeat_plan_seconds", "Time to plan one target.")
        self.commit_seconds = timing("drumbeat_commit_seconds", "Time to commit one transaction.")
        self.store_behind_total = counter(
            "drumbeat_store_behind", "Nodes that had taken more than the store knew of: it was lost, or restored."
        )
        self.failures_total = counter(
            "drumbeat_failures", "Errors that were survived, to be tried again, by part.", ["part"]
        )
        self._define_messages(gauge, counter)
        self._begin_at_zero()

    def _define_messages(self, gauge: Callable[..., Gauge], counter: Callable[..., Counter]) -> None:
        """What nodes, people and the repository say, and what they are told."""
        self.reports_total = counter("drumbeat_reports", "Reports that were taken, by kind.", ["kind"])
        self.refusals_total = counter(
            "drumbeat_refusals", "Messages from nodes that were refused, by reason.", ["reason"]
        )
        self.assignments_total = counter("drumbeat_assignments", "Assignments that were published.")
        self.assignments_lost_total = counter(
            "drumbeat_assignments_lost", "Assignments that the broker did not deliver, to be repeated.", ["reason"]
        )
        self.commands_total = counter(
            "drumbeat_commands", "Commands of operators, by verb and result.", ["verb", "result"]
        )
        self.rollout_paused = gauge("drumbeat_rollout_paused", "1 while people have paused a target.", ["target"])
        self.mailbox_depth = gauge("drumbeat_mailbox_depth", "Messages that wait for the deciding thread.")
        self.nodes_silent = gauge("drumbeat_nodes_silent", "Nodes that did not report in time and count as unknown.")
        self.nodes_excluded = gauge("drumbeat_nodes_excluded", "Hosts and balancer nodes excluded by command.")
        self.source_errors_total = counter("drumbeat_source_errors", "Looks at the state repository that failed.")
        self.revision_refused = gauge("drumbeat_revision_refused", "1 while the newest revision is refused, else 0.")

    def _begin_at_zero(self) -> None:
        for result in ("succeeded", "superseded", "held", "rolled_back"):
            self.rollouts_total.labels(result)
        for result in ("succeeded", "superseded", "failed"):
            self.journeys_total.labels(result)
        for task in get_args(Task):
            for outcome in ("passed", "failed", "inconclusive"):
                self.tasks_total.labels(task, outcome)
        for kind in ("full", "short", "stale"):
            self.reports_total.labels(kind)
        for reason in ("rejected", "unconfirmed", "unroutable"):
            self.assignments_lost_total.labels(reason)
        for verb in (*get_args(RolloutVerb), *get_args(NodeVerb)):
            for result in ("done", "refused", "failed"):
                self.commands_total.labels(verb, result)
        for part in ("accounts", "plan", "publish", "source", "store"):
            self.failures_total.labels(part)

    def count(self, verb: str, reason: str) -> None:
        """Count an event that ends a rollout, a host's journey or a task."""
        results = {"RolloutSucceeded": "succeeded", "RolloutHeld": "held", "ReleaseQuarantined": "rolled_back"}
        ended = results.get(verb)
        if ended:
            self.rollouts_total.labels(ended).inc()
        if verb == "HostRetried":
            self.retries_total.inc()
        if verb == "TaskEnded":
            self.tasks_total.labels(*(word.lower() for word in re.findall("[A-Z][a-z]+", reason))).inc()
        if verb == "HostConverged" or reason == "Failed":
            self.journeys_total.labels("succeeded" if verb == "HostConverged" else "failed").inc()

    def show(self, status: RolloutStatus) -> None:
        """Count a target's hosts and conditions as they are now, in place of what was shown of it before."""
        self._count(status.target, status.conditions)
        for state in _STATES:
            self.hosts.labels(status.target, state).set(getattr(status.counts, state))
        self.hosts_excluded.labels(status.target).set(status.counts.excluded)
        self.hosts_unavailable.labels(status.target).set(status.counts.unavailable)
        self.hosts_leaving.labels(status.target).set(len(status.leaving))
        self.hosts_drifted.labels(status.target).set(len(status.drifted))
        self.rollout_paused.labels(status.target).set(status.pause is not None)

    def show_fleets(self, fleets: Iterable[FleetIndex]) -> None:
        """Show how many places are used of fleets that set limits, and how many targets wait."""
        for fleet in fleets:
            name = fleet.limits.fleet
            for limit, places in fleet.limits.places.items():
                self.places.labels(name, limit).set(places)
                self.places_used.labels(name, limit).set(fleet.used[limit])
            self.fleet_waiting.labels(name).set(len(fleet.turns))

    def forget(self, target: str) -> None:
        """Take a target that is no more out of every gauge."""
        if target not in self._shown:
            return
        self._count(target, [])
        del self._shown[target]
        for state in _STATES:
            self.hosts.remove(target, state)
        self.hosts_excluded.remove(target)
        self.hosts_unavailable.remove(target)
        self.hosts_leaving.remove(target)
        self.hosts_drifted.remove(target)
        self.rollout_paused.remove(target)

    def _count(self, target: str, conditions: list[Condition]) -> None:
        for condition in self._shown.get(target, []):
            self.targets.labels(condition.type, condition.status).dec()
        for condition in conditions:
            self.targets.labels(condition.type, condition.status).inc()
        self._shown[target] = conditions
