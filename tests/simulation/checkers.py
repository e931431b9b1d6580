"""Checkers: each promise of docs/INVARIANTS.md that a run can break is looked at when something happens.

They look at the truth (what balancers and processes really are), not at what the controller believes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.drivers.contracts import Server
from controller.claims import is_claim
from controller.world import World
from crds.messages import Stamp
from crds.status import Operation, RolloutStatus, Step
from reconcilers.sizes import budget
from tests.simulation.desired import FLEET_SHARE, PORTS, ZONE_SHARE, host_names, pool, zone_of


def limited(share: int, hosts: int) -> int:
    """Hosts that so many percent are, 1 at least."""
    return max(share * hosts // 100, 1)


def is_open(operation: Operation) -> bool:
    """A migration that was requested, and of whose end nothing is known."""
    ended = operation.result is not None and operation.result.outcome is not None
    return operation.spec.migration is not None and not ended


class PromiseBroken(BaseException):
    """A promise was broken: its number, and what was seen. No Exception, so that no agent survives it."""

    def __init__(self, promise: int, what: str) -> None:
        super().__init__(f"promise {promise} is broken: {what}")
        self.promise = promise


@dataclass
class Truth:
    """Ways to see what really is."""

    hosts: int
    server: Callable[[str, str, str], Server | None]
    """(balancer node, pool, host) -> the server."""
    balancers: Iterable[str]
    digest: Callable[[str, str], str | None]
    """(host, target) -> the digest of what runs there."""
    version: Callable[[str, str], str | None]
    """(host, target) -> its version."""


@dataclass
class Checkers:
    """What was seen so far, and what must hold."""

    truth: Truth
    passed: set[tuple[str, str, str]] = field(default_factory=set)
    """(target, host, digest) whose gates have passed there."""
    complete: set[str] = field(default_factory=set)
    """Services that were online everywhere at least once: from then on the budget counts."""
    stamps: dict[str, Stamp] = field(default_factory=dict)
    made: set[tuple[str, str, str]] = field(default_factory=set)
    """(target, version, migration) that have taken effect."""
    excluded: set[str] = field(default_factory=set)
    """Hosts that people have excluded by command, as the controller has it now."""
    apart: set[tuple[str, str]] = field(default_factory=set)
    """(target, host) of excluded hosts that were on no journey after the last step."""

    # --- at the moment something happens (see nodes.Witness)

    def taken_out(self, node: str, pool_name: str, server: str) -> None:
        """Promise 1: no act of ours leaves fewer hosts online than the budget allows."""
        service, _, kind = pool_name.partition("_")
        before = self.truth.server(node, pool_name, server)
        if kind != "online" or service not in self.complete or before is None or before.admin != "ready":
            return
        out = {host for host in host_names(self.truth.hosts) if not self.serves(service, host)} | {server}
        allowed = budget("25%", self.truth.hosts, downtime_allowed=False)
        if len(out) > allowed:
            raise PromiseBroken(
                1, f"{node} takes out {server} of {pool_name}: then {sorted(out)} are out, {allowed} may"
            )
        self._fleets_limits(server)

    def _fleets_limits(self, server: str) -> None:
        """Promise 1, over all services of the fleet: a host that is out for one of them is out."""
        hosts = host_names(self.truth.hosts)
        before = {host for host in hosts for service in self.complete if not self.serves(service, host)}
        out, zone = before | {server}, zone_of(server)
        in_zone = {host for host in hosts if zone_of(host) == zone}
        most, most_in_zone = limited(FLEET_SHARE, len(hosts)), limited(ZONE_SHARE, len(in_zone))
        if server not in before and (len(out) > most or len(out & in_zone) > most_in_zone):
            may = f"{most} may, {most_in_zone} in zone {zone}"
            raise PromiseBroken(1, f"{server} is taken out: then {sorted(out)} are; {may}")

    def let_in(self, node: str, pool_name: str, server: str) -> None:
        """Promise 4: no host goes online with a release that has not passed its gates on that host."""
        service, _, kind = pool_name.partition("_")
        if kind != "online":
            return
        target = f"{service}@prod"
        digest = self.truth.digest(server, target)
        if digest is None or (target, server, digest) not in self.passed:
            raise PromiseBroken(
                4, f"{node} lets {server} into {pool_name} with {digest}, whose gates never passed there"
            )

    def replaced(self, host: str, target: str) -> None:
        """Promise 3: nothing is deployed onto a host that a balancer still sends customers to."""
        service = target.partition("@")[0]
        for node in self.truth.balancers:
            server = self.truth.server(node, pool(service, "online"), host)
            if server is not None and (server.admin != "maint" or server.sessions or server.old_workers):
                raise PromiseBroken(3, f"{target} is replaced on {host} while it is {server.status} on {node}")

    def deployed(self, host: str, target: str, version: str) -> None:
        """Promise 20: no host gets a release before it has been migrated for."""
        if not self.is_migrated(target, version, "expand"):
            raise PromiseBroken(20, f"{host} gets {target} {version}, for which nothing was migrated")

    def is_migrated(self, target: str, version: str, name: str) -> bool:
        """The truth: whether a migration has taken effect."""
        return (target, version, name) in self.made

    def migrated(self, target: str, version: str, name: str, phase: str) -> None:
        """Promise 20: each migration takes effect once, contract on no host's account that runs something older."""
        if self.is_migrated(target, version, name):
            raise PromiseBroken(20, f"{name} of {target} {version} takes effect a second time")
        running = {host: self.truth.version(host, target) for host in host_names(self.truth.hosts)}
        if phase == "contract" and set(running.values()) != {version}:
            raise PromiseBroken(20, f"{name} of {target} {version} takes effect while hosts run {running}")
        self.made.add((target, version, name))

    def took(self, node: str, stamp: Stamp) -> None:
        """Promise 5: an older assignment is never taken."""
        if stamp < self.stamps.get(node, stamp):
            raise PromiseBroken(5, f"{node} took {stamp} after {self.stamps[node]}")
        self.stamps[node] = stamp

    # --- after each step of the controller

    def decided(self, world: World, good: dict[str, dict[str, str]]) -> None:
        """Promises 2, 6 and 20, from the controller's own records."""
        self._one_batch(world)
        self._prepared(world)
        self._left_alone(world)
        revisions = {spec.revision for spec in world.declared.values()}
        if len(revisions) > 1:
            raise PromiseBroken(6, f"targets of {sorted(revisions)} are in force together")
        for spec in world.declared.values():
            if good[spec.revision][spec.name.partition("@")[0]] != spec.version:
                raise PromiseBroken(6, f"{spec.name} is {spec.version}, which is not what {spec.revision} says")

    def _prepared(self, world: World) -> None:
        """No host is taken out for a release that was not migrated for; two migrations never run under one lock."""
        for target, journeys in world.journeys.items():
            status = world.statuses[target]
            chosen = [each for each in journeys.values() if status.started and each.begun > status.started]
            out = [each.host for each in chosen if each.step is Step.DRAINING and each.digest == status.digest]
            if out and not self.is_migrated(target, status.version, "expand"):
                raise PromiseBroken(20, f"{out} are taken out for {target} {status.version} before expand")
        migrations = [each for kept in world.operations.by_target.values() for each in kept.values() if is_open(each)]
        if len(migrations) > 1:
            raise PromiseBroken(20, f"{[(each.target, each.spec.name) for each in migrations]} run under one lock")

    def _left_alone(self, world: World) -> None:
        """Promise 13: an excluded host begins no journey."""
        apart = set()
        for target, spec in world.specs.items():
            for host in self.excluded & spec.hosts.keys():
                if host not in world.journeys.get(target, {}):
                    apart.add((target, host))
                elif (target, host) in self.apart:
                    raise PromiseBroken(13, f"{host} is excluded, and {target} has it on a journey")
        self.apart = apart

    def _one_batch(self, world: World) -> None:
        claimed: dict[str, str] = {}
        for target, journeys in world.journeys.items():
            batches = {journey.batch for journey in journeys.values() if journey.step is not Step.FAILED}
            if len(batches) > 1:
                raise PromiseBroken(2, f"{target} has batches {sorted(batches)} under way at once")
            for host, journey in journeys.items():
                if is_claim(journey) and claimed.setdefault(host, target) != target:
                    raise PromiseBroken(2, f"{host} is claimed by {target} and {claimed[host]}")

    def succeeded(self, target: str, status: RolloutStatus) -> None:
        """Promise 8: success means every host on the digest, healthy and online."""
        for host in host_names(self.truth.hosts):
            if host in self.excluded:
                continue
            if self.truth.digest(host, target) != status.succeeded_digest:
                raise PromiseBroken(8, f"{target} succeeded, but {host} runs {self.truth.digest(host, target)}")
            if not self.serves(target.partition("@")[0], host):
                raise PromiseBroken(8, f"{target} succeeded, but {host} is not online")

    # --- the truth

    def serves(self, service: str, host: str) -> bool:
        """Online on every balancer node, and running."""
        if self.truth.digest(host, f"{service}@prod") is None:
            return False
        servers = [self.truth.server(node, pool(service, "online"), host) for node in self.truth.balancers]
        return all(server is not None and server.admin == "ready" and server.up for server in servers)

    def notice_complete(self) -> None:
        """The budget counts from the moment that a service was online everywhere."""
        for service in PORTS.keys() - self.complete:
            if all(self.serves(service, host) for host in host_names(self.truth.hosts)):
                self.complete.add(service)
