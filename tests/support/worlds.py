"""Targets, facts and reports out of a few words, for tests of decisions.

The hosts are vm1, vm2 ...; the balancer nodes lb1 and lb2 carry the pools ``online`` and ``tests``; the runner is run1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crds.messages import OperationReport, ProcessIdentity, Report, ServerReport, ServiceReport, Stamp
from crds.probe import Probe
from crds.release import Release
from crds.service import Gate, Rollout
from crds.status import Journey, Operation, Step
from reconcilers.entries import entries_for
from reconcilers.facts import HostFacts
from reconcilers.fragments import Entry
from reconcilers.gates import operation_id
from reconcilers.journey import Situation
from reconcilers.target import BalancerNodeSpec, HostSpec, PoolSpec, TargetSpec

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
BEFORE = Stamp(1, 4)
ASKED = Stamp(1, 5)
AFTER = Stamp(1, 6)
ONLINE, TESTS, PORT = "online", "tests", 8080
NODES, RUNNER = ("lb1", "lb2"), "run1"
Place = tuple[str, str]


def seconds(count: float) -> timedelta:
    """A span of time."""
    return timedelta(seconds=count)


def release(version: str) -> Release:
    """The release that a version stands for."""
    return Release(version=version, url=f"https://artifacts.invalid/{version}.tar.gz", sha256="a" * 64, run=["api"])


def gate(name: str = "smoke") -> Gate:
    """A gate that runs a command."""
    return Gate.model_validate_json(f'{{"name": "{name}", "exec": {{"command": ["./{name}.sh", "{{url}}"]}}}}')


def probe(path: str = "/health") -> Probe:
    """An HTTP probe."""
    return Probe.model_validate_json(f'{{"http": {{"path": "{path}", "port": {PORT}}}}}')


def pool(
    online: str = ONLINE, nodes: Iterable[str] = NODES, maintenance: str | None = TESTS, port: int = PORT
) -> PoolSpec:
    """A pool and its maintenance pool, on those balancer nodes."""
    behind = tuple(BalancerNodeSpec(node, "10.0.9.9") for node in nodes)
    return PoolSpec("edge", "haproxy", behind, online, port, maintenance, 8081 if maintenance else None)


def hosts(count: int, zones: str = "ab") -> dict[str, HostSpec]:
    """vm1, vm2 ..., in the zones by turns."""
    seats: dict[str, int] = {}
    found = {}
    for number in range(1, count + 1):
        name, zone = f"vm{number}", zones[(number - 1) % len(zones)]
        seats[zone] = seats.get(zone, -1) + 1
        found[name] = HostSpec(name, f"10.0.0.{number}", zone, (seats[zone], zone, name))
    return found


def target(version: str | None = "2", count: int = 4, name: str = "api@prod", **changes: Any) -> TargetSpec:
    """``api@prod`` in that version (None: absent). ``changes`` are fields of TargetSpec or of its rollout."""
    fields = {field for field in TargetSpec.__dataclass_fields__ if field in changes}
    rollout = Rollout(**{key: value for key, value in changes.items() if key not in fields})
    made = TargetSpec(
        name=name,
        revision=f"commit-of-{version}",
        release=release(version) if version else None,
        version=version or "",
        hosts=hosts(count),
        pools=(pool(),),
        runners=(RUNNER,),
        probes=(probe(),),
        gates=(gate(),),
        rollout=rollout,
    )
    return replace(made, **{key: changes[key] for key in fields})


def address(host: str, port: int = PORT) -> str:
    """ADDRESS:PORT of vm1, vm2 ..."""
    return f"10.0.0.{host.removeprefix('vm')}:{port}"


def server(admin: str = "ready", host: str = "vm1", read: Stamp = ASKED, **said: Any) -> ServerReport:
    """What a balancer node says of a server: ready, up and busy; or out and idle."""
    ready = admin == "ready"
    defaults: dict[str, Any] = {
        "up": ready,
        "routed": said.get("up", ready),
        "idle": not ready,
        "address": address(host),
    }
    return ServerReport(read=read, admin=admin, **(defaults | said))


def process(pid: int) -> ProcessIdentity:
    """One life of one process."""
    return ProcessIdentity(boot="b", pid=pid, started=str(pid), executable="/opt/api")


def service(version: str = "2", read: Stamp = ASKED, pid: int = 2, **said: Any) -> ServiceReport:
    """What a host says of a service that runs and is healthy."""
    defaults: dict[str, Any] = {"state": "running", "healthy": True, "identity": process(pid)}
    return ServiceReport(read=read, digest=release(version).digest, version=version, **(defaults | said))


def everywhere(spec: TargetSpec, report: ServerReport, host: str = "vm1") -> dict[Place, ServerReport]:
    """The same said by every node about every pool, online and maintenance, with the host's own address."""
    return {
        (node.name, name): report.model_copy(update={"address": address(host, each.port)})
        for each in spec.pools
        for node in each.nodes
        for name in each.names
    }


def entries(spec: TargetSpec, facts: HostFacts, stamp: Stamp = ASKED) -> dict[Place, Entry]:
    """What is asked about the host where it stands, first asked by the assignment ``stamp``."""
    return {key: Entry(value, stamp) for key, value in entries_for(spec, facts).items()}


def facts(
    spec: TargetSpec,
    running: ServiceReport | None = None,
    servers: Mapping[Place, ServerReport] | None = None,
    name: str = "vm1",
    **known: Any,
) -> HostFacts:
    """A host that runs version 1, plainly online everywhere, unless told otherwise."""
    seen = everywhere(spec, server(), name) if servers is None else servers
    defaults: dict[str, Any] = {"silent": False, "service": running or service("1"), "servers": seen}
    return HostFacts(host=spec.hosts[name], **(defaults | known))


def journey(spec: TargetSpec, step: Step, name: str = "vm1", **changes: Any) -> Journey:
    """A journey from version 1 to the target's release that has just reached the step."""
    out = step in (Step.DEPLOYING, Step.TESTING)
    defaults: dict[str, Any] = {"batch": 1, "out": out, "before": process(1), "before_digest": release("1").digest}
    stamps = {"begun": NOW, "since": NOW, "accounted": NOW}
    return Journey(host=name, step=step, **({"digest": spec.digest} | stamps | defaults | changes))


@dataclass(frozen=True)
class Scene:
    """One host at one step, with everything asked that the step asks, and everything answered as it should be."""

    spec: TargetSpec
    journey: Journey
    running: ServiceReport | None
    servers: dict[Place, ServerReport]
    asked: Stamp = ASKED
    silent: bool = False
    operations: dict[str, Operation] = field(default_factory=dict)
    runners: tuple[str, ...] = (RUNNER,)
    now: datetime = NOW
    watching_since: datetime = NOW - timedelta(days=1)

    def but(self, **changes: Any) -> "Scene":
        """The same, but for this."""
        return replace(self, **changes)

    def seeing(self, node: str, name: str, report: ServerReport | None) -> "Scene":
        """The same, but one balancer node says something else about one pool, or nothing."""
        others = {place: said for place, said in self.servers.items() if place != (node, name)}
        return self.but(servers=others if report is None else {**others, (node, name): report})

    def after(self, span: float) -> "Scene":
        """The same, ``span`` seconds later."""
        return self.but(now=self.now + timedelta(seconds=span))

    def gated(self, outcome: str | None, name: str = "smoke", **said: Any) -> "Scene":
        """The same, with a gate requested; it ended so, or runs if ``outcome`` is None."""
        wanted = next(each for each in self.spec.gates if each.name == name)
        identity = operation_id(self.spec, self.journey, wanted)
        state = "running" if outcome is None else "finished"
        result = OperationReport(read=self.asked, state=state, outcome=outcome, **said)
        operation = Operation.model_validate(
            {
                "id": identity,
                "target": self.spec.name,
                "host": self.journey.host,
                "node": RUNNER,
                "spec": {"name": name, "target": self.spec.name},
                "result": result,
            }
        )
        return self.but(operations={**self.operations, identity: operation})

    @property
    def facts(self) -> HostFacts:
        """What is known of the host."""
        known = facts(self.spec, self.running, self.servers, self.journey.host, journey=self.journey)
        known = replace(known, service=self.running, silent=self.silent)
        return replace(known, entries=entries(self.spec, self._assigned(known), self.asked))

    def _assigned(self, known: HostFacts) -> HostFacts:
        """A host that our release was deployed to has been assigned one, which an entry says."""
        before = replace(self.spec, release=release("1"), version="1")
        runs_it = replace(known, service=service("1"), journey=None, silent=False)
        first = entries(before, runs_it, self.asked)
        keys = {key: entry for key, entry in first.items() if key[0] == self.journey.host}
        return replace(known, entries=keys)

    @property
    def situation(self) -> Situation:
        """The same, as a step of a journey looks at it."""
        return Situation(self.spec, self.facts, self.operations, self.runners, self.now, self.watching_since)


_SEEN: dict[Step, str] = {Step.DRAINING: "drain", Step.ENABLING: "ready", Step.SOAKING: "ready"}
_ON_THE_NEW = (Step.TESTING, Step.ENABLING, Step.SOAKING)


def scene(step: Step, spec: TargetSpec | None = None, **changes: Any) -> Scene:
    """A host at that step that lacks nothing to go on (gates apart). ``changes`` are fields of its journey."""
    spec = spec or target()
    seen = everywhere(spec, server(_SEEN.get(step, "maint")))
    for place in seen:
        if place[1] == TESTS:
            seen[place] = server("ready" if step is Step.TESTING else "maint")
    running = service("2") if step in (*_ON_THE_NEW, Step.DEPLOYING) else service("1", pid=1)
    return Scene(spec, journey(spec, step, **changes), running, seen)


def report(node: str, seq: int = 1, **said: Any) -> Report:
    """A full report."""
    defaults: dict[str, Any] = {"incarnation": "life", "full": True, "full_seq": seq, "taken": ASKED}
    return Report(node=node, seq=seq, **(defaults | said))
