"""Site: a World planned and carried out in memory, with nodes that answer at once, badly, or not at all.

There is no store, bus or thread in it: what one plan after another decides is all that happens, so that tests can
look at each decision, and properties can try thousands of histories.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from controller.store import Loaded
from controller.world import World
from crds.messages import (
    AdminState,
    Assignment,
    BalancerReport,
    OperationReport,
    OperationSpec,
    PoolAssignment,
    PoolReport,
    ProcessIdentity,
    Report,
    ServerAssignment,
    ServerReport,
    ServiceReport,
    Stamp,
    plain_digest,
)
from crds.release import Release
from crds.status import Journey, RolloutStatus, Step
from reconcilers.draft import Observed
from reconcilers.fragments import merge
from reconcilers.plan import plan
from reconcilers.target import TargetSpec
from reconcilers.writes import AddEvent, DropEntry, Plan, PutEntry, Write
from tests.support.behaviour import Behaviour
from tests.support.worlds import NOW, seconds

TIMEOUT = 90.0


class Agent:
    """One node: host, balancer or runner by what it is asked."""

    def __init__(self, name: str, behaviour: Behaviour) -> None:
        self.name, self._behaviour = name, behaviour
        self.taken: Assignment | None = None
        self.admin: dict[str, dict[str, AdminState]] = {}
        self.marked: dict[tuple[str, str], AdminState] = {}
        """(pool, server) that a person set."""
        self.addresses: dict[str, dict[str, str]] = {}
        self.runs: dict[str, tuple[str, int]] = {}
        """Version and process id by target."""
        self.ran: dict[str, OperationSpec] = {}
        """Operations that were ever asked of it, in their order."""
        self.starts: Counter[tuple[str, str]] = Counter()
        """By target and version."""
        self.restarts: dict[str, int] = {}
        """The number under which the process was started, by target."""
        self._versions: dict[str, str] = {}
        self._seq = 0
        self._pid = 100

    def take(self, assignment: Assignment) -> None:
        """Do all that is asked, as far as the behaviour lets it."""
        self.taken = assignment
        self._converge(assignment)
        self._set_servers(assignment)

    def _converge(self, assignment: Assignment) -> None:
        for target, asked in assignment.services.items():
            if asked.release is None:
                self.runs.pop(target, None)
            elif asked.adopt is not None:
                self._adopt(target, asked.release)
            elif self.name not in self._behaviour.stuck and (
                self._digest(target) != asked.release.digest or asked.restart > self.restarts.get(target, 0)
            ):
                self._pid += 1
                self.restarts[target] = asked.restart
                self._versions[asked.release.digest] = asked.release.version
                self.starts[target, asked.release.version] += 1
                self.runs[target] = (asked.release.digest, self._pid)

    def _adopt(self, target: str, release: Release) -> None:
        if target not in self.runs and self.name in self._behaviour.outsiders:
            self._versions[release.digest] = release.version
            self.runs[target] = (release.digest, self._behaviour.outsiders[self.name])

    def _set_servers(self, assignment: Assignment) -> None:
        for pool, said in assignment.pools.items():
            for server, wanted in said.servers.items():
                if wanted.state != "watch" and server in self.admin.get(pool, {}):
                    self.admin[pool][server] = wanted.state

    def label(self, target: str) -> str:
        """The version that runs; empty if none does."""
        return self._versions.get(self.runs[target][0], "?") if target in self.runs else ""

    def _digest(self, target: str) -> str | None:
        return self.runs[target][0] if target in self.runs else None

    def report(self) -> Report:
        """Everything, stamped with the assignment that was taken."""
        self._seq += 1
        taken = self.taken
        if taken:
            self._converge(taken)
        targets = self.runs.keys() | (taken.services.keys() if taken else set())
        return Report(
            node=self.name,
            incarnation="life",
            seq=self._seq,
            full=True,
            full_seq=self._seq,
            taken=self._stamp,
            services={name: self._service(name) for name in sorted(targets)},
            pools={name: self._pool(name, asked) for name, asked in taken.pools.items()} if taken else {},
            operations={name: self._operation(name, asked) for name, asked in taken.operations.items()}
            if taken
            else {},
            balancer=BalancerReport(reachable=True, reload_safe=self.name not in self._behaviour.unsafe)
            if self.admin
            else None,
        )

    @property
    def _stamp(self) -> Stamp:
        return self.taken.stamp if self.taken else Stamp(0, 0)

    def _service(self, target: str) -> ServiceReport:
        if target not in self.runs:
            return ServiceReport(read=self._stamp, state="absent")
        digest, pid = self.runs[target]
        version = self._versions.get(digest, "")
        if 0 < self.starts[target, version] <= self._behaviour.crashing.get(version, 0):
            said = f"start {self.starts[target, version]}: no database"
            return ServiceReport(read=self._stamp, state="crashing", message="exit status 1", log_tail=[said])
        asked = self.taken.services.get(target) if self.taken else None
        identity = ProcessIdentity(boot="b", pid=pid, started=str(pid), executable="/opt/api")
        return ServiceReport(
            read=self._stamp,
            state="running",
            digest=digest,
            healthy=self._versions.get(digest) not in self._behaviour.broken,
            identity=identity,
            restart=self.restarts.get(target, 0),
            fetched=asked.next.digest if asked and asked.next else None,
        )

    def _pool(self, pool: str, asked: PoolAssignment) -> PoolReport:
        named, plain = {}, {}
        for server in self.admin.get(pool, {}):
            said = self._server(pool, server, asked.servers.get(server))
            up = said.up if asked.plain == "ready" else said.admin == "maint"
            if server not in asked.servers and said.admin == asked.plain and up:
                plain[server] = said.address
            else:
                named[server] = said
        for server, address in self._behaviour.extra.items() if asked.plain == "ready" else ():
            plain[server] = address
        return PoolReport(read=self._stamp, servers=named, plain_count=len(plain), plain_digest=plain_digest(plain))

    def _server(self, pool: str, server: str, asked: ServerAssignment | None) -> ServerReport:
        mark = self.marked.get((pool, server))
        admin = mark or self.admin[pool][server]
        ours = asked is not None and asked.state == admin
        address = self._behaviour.moved.get(server, self.addresses[pool][server])
        return ServerReport(
            read=self._stamp,
            admin=admin,
            by="person" if mark else "us" if ours else "config",
            up=admin == "ready" and (self.name, server) not in self._behaviour.down,
            routed=admin == "ready" and (self.name, server) not in self._behaviour.down,
            idle=admin != "ready" and server not in self._behaviour.busy,
            address=address,
        )

    def _operation(self, identity: str, asked: OperationSpec) -> OperationReport:
        version, known = asked.version, self._behaviour.outcomes
        self.ran.setdefault(identity, asked)
        outcome = known.get(asked.name, "failed" if version in self._behaviour.failing else "passed")
        if outcome == "running":
            return OperationReport(read=self._stamp, state="running")
        return OperationReport.model_validate(
            {"read": self._stamp, "state": "finished", "outcome": outcome, "message": f"{version} {outcome}"}
        )


Check = Callable[[TargetSpec, Observed, Plan], None]


class Site:
    """The world, its agents, and one clock."""

    def __init__(self, *specs: TargetSpec, checks: Iterable[Check] = ()) -> None:
        self.now: datetime = NOW
        self.behaviour = Behaviour()
        self.agents: dict[str, Agent] = {}
        self.term = 1
        self.world = World(Loaded(), TIMEOUT, NOW)
        self.events: list[AddEvent] = []
        self.passes = 0
        self.wakes: dict[str, datetime | None] = {}
        self._checks = list(checks)
        self._due: set[str] = set()
        for spec in specs:
            self.install(spec)
        self.declare(*specs)

    def install(self, spec: TargetSpec) -> None:
        """Give the target machines: server lines ship disabled, in every pool of every node."""
        for name in (*spec.hosts, *spec.balancer_nodes, *spec.runners):
            self.agents.setdefault(name, Agent(name, self.behaviour))
        for pool in spec.pools:
            for node in pool.nodes:
                for name in pool.names:
                    agent = self.agents[node.name]
                    for host in spec.hosts.values():
                        agent.admin.setdefault(name, {}).setdefault(host.name, "maint")
                        agent.addresses.setdefault(name, {})[host.name] = f"{host.address}:{pool.port}"

    def declare(self, *specs: TargetSpec) -> None:
        """A revision with these targets, beside those that it does not name."""
        self.world.set_specs({**self.world.declared, **{spec.name: spec for spec in specs}}, self.now)

    def run(self, rounds: int = 30, span: float = 1.0) -> "Site":
        """Time passes, nodes answer, targets are planned; so many times."""
        for _ in range(rounds):
            self.now += seconds(span)
            self.hear(*self.agents)
            self.decide()
        return self

    def hear(self, *names: str) -> None:
        """These nodes report, unless they are silent."""
        for name in names:
            if name not in self.behaviour.silent:
                self.world.fold(self.agents[name].report(), self.now)

    def decide(self) -> None:
        """Plan whatever is dirty or due, and let every node that is not silent take what was decided."""
        self.world.expire(self.now)
        for target in [target for target, at in self.wakes.items() if at is not None and at <= self.now]:
            self.world.look_at_all(target)
        stamped: set[str] = set()
        self.world.catch_up()
        for target in sorted(self.world.dirty & self.world.specs.keys()):
            for _ in range(8):
                self.world.dirty.discard(target)
                self.plan(target, stamped)
                if target not in self.world.dirty:
                    break
        self._due |= stamped
        self.deliver()

    def plan(self, target: str, stamped: set[str]) -> Plan:
        """One pass: decide, check, save."""
        spec, observed = self.world.specs[target], self.world.observed(target)
        decided = plan(spec, observed, self.now)
        self.check(spec, observed, decided)
        self.passes += 1
        self.wakes[target] = decided.wake_at
        self.carry_out(target, decided.writes, stamped)
        return decided

    def check(self, spec: TargetSpec, observed: Observed, decided: Plan) -> None:
        """Whatever is to hold of every decision."""
        for check in self._checks:
            check(spec, observed, decided)

    def carry_out(self, target: str, writes: Iterable[Write], stamped: set[str]) -> None:
        """Save what was decided."""
        for write in writes:
            stamp = Stamp(0, 0)
            if isinstance(write, PutEntry | DropEntry):
                if write.node not in stamped:
                    stamped.add(write.node)
                    self.world.serials[write.node] = self.world.serials.get(write.node, 0) + 1
                stamp = Stamp(self.term, self.world.serials[write.node])
            if isinstance(write, AddEvent):
                self.events.append(write)
            self.world.apply(target, write, stamp)

    def restart(self) -> None:
        """Another controller takes over: it has what was saved, and believes nobody before they speak."""
        specs, reports = self.world.declared, {}
        for name, node in self.world.nodes.nodes.items():
            if node.report is not None:
                reports[name] = node.report
        self.term += 1
        self.world = World(saved(self.world, reports), TIMEOUT, self.now)
        self.world.set_specs(specs, self.now)
        for node in self.world.entries:
            self.world.serials[node] = self.world.serials.get(node, 0) + 1
            self._due.add(node)
        self.deliver()

    def deliver(self) -> None:
        """What silent nodes did not get, they get once they speak again."""
        for node in sorted(self._due - self.behaviour.silent):
            stamp = Stamp(self.term, self.world.serials[node])
            self.hand_over(node, merge(node, stamp, self.now + seconds(3600), self.world.entries.get(node, {})))
        self._due &= self.behaviour.silent

    def hand_over(self, node: str, assignment: Assignment) -> None:
        """A node takes what it is asked."""
        self.agents[node].take(assignment)

    # --- what is asked in tests

    def status(self, target: str = "api@prod") -> RolloutStatus:
        return self.world.statuses[target]

    def condition(self, kind: str, target: str = "api@prod") -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        found = next(each for each in self.status(target).conditions if each.type == kind)
        return found.status, found.reason, found.message

    def is_settled(self, target: str = "api@prod") -> bool:
        """It has converged, or says that somebody has to change something."""
        return "True" in (self.condition("Ready", target)[0], self.condition("Stalled", target)[0])

    def journeys(self, target: str = "api@prod") -> dict[str, Journey]:
        return dict(self.world.journeys.get(target, {}))

    def steps(self, target: str = "api@prod") -> dict[str, Step]:
        return {host: journey.step for host, journey in self.journeys(target).items()}

    def versions(self, target: str = "api@prod") -> dict[str, str]:
        """What each host runs, by version."""
        return {
            name: agent.label(target) for name, agent in self.agents.items() if name in self.world.specs[target].hosts
        }

    def serving(self, pool: str, node: str) -> set[str]:
        """Hosts to which a balancer node sends customers."""
        agent = self.agents[node]
        return {
            host
            for host, admin in agent.admin[pool].items()
            if (agent.marked.get((pool, host)) or admin) == "ready" and (node, host) not in self.behaviour.down
        }

    def until(self, condition: Callable[["Site"], bool], rounds: int = 60) -> "Site":
        """Run until the condition holds."""
        for _ in range(rounds):
            if condition(self):
                return self
            self.run(1)
        raise AssertionError(f"never came: {self.steps()} {self.status().conditions}")


def saved(world: World, reports: Mapping[str, Report]) -> Loaded:
    """What a store would hold of the world."""
    return Loaded(
        statuses=dict(world.statuses),
        journeys={target: dict(journeys) for target, journeys in world.journeys.items()},
        entries={node: {t: dict(asked) for t, asked in targets.items()} for node, targets in world.entries.items()},
        serials=dict(world.serials),
        reports=dict(reports),
        exclusions=dict(world.exclusions),
        operations={name: each for kept in world.operations.by_target.values() for name, each in kept.items()},
    )


def converged(*specs: TargetSpec, checks: Iterable[Check] = ()) -> Site:
    """A site on which everything is rolled out. Batches, budget and limits of the first rollout do not matter."""
    at_once = {"max_unavailable": "100%", "batches": ["100%"], "soak": 0.0}
    fast = [replace(spec, limits=None, rollout=spec.rollout.model_copy(update=at_once)) for spec in specs]
    site = Site(*fast, checks=checks).run(15)
    site.declare(*specs)
    site.run(3)
    for spec in specs:
        assert site.condition("Ready", spec.name)[0] == "True", site.status(spec.name).conditions
    site.events.clear()
    return site


def ran(site: Site, verb: str) -> list[AddEvent]:
    """Events of that kind."""
    return [event for event in site.events if event.verb == verb]
