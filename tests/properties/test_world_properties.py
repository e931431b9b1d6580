"""Through any history the index is the one built from nothing, no plan breaks a promise, and in the end all is well."""

from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from controller.world import World
from crds.command import RolloutVerb
from crds.messages import PoolReport, Report, ServerAssignment, Stamp, plain_digest
from crds.release import canonical_json
from crds.service import Gate, Migrations
from crds.status import Step
from reconcilers.draft import Observed
from reconcilers.fragments import Entry, merge, server_key
from reconcilers.limits import FleetLimits
from reconcilers.operators import Refused
from reconcilers.rollback import undone
from reconcilers.sightings import adds_up, pool_number
from reconcilers.target import TargetSpec
from reconcilers.writes import Plan, PutStatus
from tests.support.commands import command, command_node
from tests.support.promises import PROMISES, begun, is_missed
from tests.support.site import TIMEOUT, Site, saved
from tests.support.worlds import ASKED, NODES, NOW, ONLINE, RUNNER, address, pool, server, target

VERBS: tuple[RolloutVerb, ...] = get_args(RolloutVerb)
NAMES = ("api@prod", "web@prod")
MOST = 4
names = st.sampled_from(NAMES)
hosts = st.sampled_from([f"vm{number}" for number in range(1, MOST + 1)])
balancers = st.sampled_from(NODES)
counts = st.sampled_from([MOST, MOST, MOST, 1, 2, 3])
LIMITS = FleetLimits("prod", {"hosts": 2, "zone/a": 1, "rollouts": 1}, {"hosts": MOST, "zone/a": 2, "zone/b": 2})
nodes = st.one_of(hosts, balancers, st.just(RUNNER))


def spec_of(name: str, version: str | None, count: int, **changes: Any) -> TargetSpec:
    """Two targets on the same hosts, each with pools of its own."""
    pools = (pool(),) if name == "api@prod" else (pool("web", NODES, "web-tests", 9090),)
    rollout = {"drain": {"timeout": "5s"}, "deadline": "1m", "max_unavailable": "50%", "batches": [1, "50%"]}
    return target(version, count, name=name, pools=pools, **(rollout | changes))


def task(name: str) -> dict[str, Any]:
    """A migration."""
    return {"name": name, "command": [name], "check": ["check"], "lock": "database"}


MIGRATIONS = Migrations.model_validate({"expand": [task("expand")], "contract": [task("contract")]})
GATES = tuple(
    Gate.model_validate({"name": when, "when": when, "exec": {"command": [when]}})
    for when in ("before", "maintenance", "batch", "online", "after")
)


def from_nothing(world: World) -> World:
    """The same world, built at once from what is stored and what the nodes last said."""
    fresh = World(saved(world, {}), TIMEOUT, world.watched.since)
    fresh.nodes.nodes = world.nodes.nodes
    fresh.set_specs(world.declared, world.watched.since)
    return fresh


class Histories(RuleBasedStateMachine):
    """Everything that can happen to a controller, in any order. Nodes take assignments and report when they like."""

    late = Bundle("late")
    """Reports that were made and may arrive at any time, or twice, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: FleetLimits | None = LIMITS
        self.site = Site(checks=(*PROMISES, self.keeps_the_fleets_limits))

    def declare(self, *specs: TargetSpec) -> None:
        """A revision with these targets beside the others, and the fleet's limits as they are now."""
        together = {spec.name: spec for spec in (*self.site.world.declared.values(), *specs)}
        self.site.declare(*(replace(spec, limits=self.limits) for spec in together.values()))

    def keeps_the_fleets_limits(self, spec: TargetSpec, observed: Observed, plan: Plan) -> None:
        """Promise 1, over all targets of the fleet; worked out from the facts of every host, not from what is kept."""
        world, now_out = self.site.world, {journey.host for journey in begun(observed, plan)}
        out, moving = set(), set()
        for name, other in world.specs.items():
            out |= {host for host in other.hosts if is_missed(other, world.facts(name, host))}
            steps = {journey.step for journey in world.journeys.get(name, {}).values()}
            moving |= {name} if steps - {Step.WAITING, Step.FAILED} else set()
        places = spec.limits.places if spec.limits else {}
        new = now_out - out
        of_zone = {host for host in out | new if int(host.removeprefix("vm")) % 2} if "zone/a" in places else set()
        assert not new or len(out | new) <= places.get("hosts", MOST), (new, out)
        assert not new & of_zone or len(of_zone) <= places["zone/a"], (new, of_zone)
        assert not now_out or len(moving | {spec.name}) <= places.get("rollouts", 2) or spec.name in moving

    @initialize(count=counts, rolled_out=st.booleans())
    def begin(self, count: int, rolled_out: bool) -> None:
        for name in NAMES:
            self.site.install(spec_of(name, "1", MOST))
            self.declare(spec_of(name, "1", count))
        if rolled_out:
            self.site.run(30)

    @rule(count=st.integers(1, 12), span=st.sampled_from([0.5, 1.0, 7.0, 40.0]))
    def time_passes(self, count: int, span: float) -> None:
        self.site.run(count, span)

    @rule(
        name=names,
        version=st.sampled_from(["2", "3", "1", None]),
        count=counts,
        soak=st.sampled_from(["0s", "10s"]),
        batches=st.sampled_from([[1, "50%"], ["100%"]]),
        max_unavailable=st.sampled_from([1, "50%"]),
        on_failure=st.sampled_from(["hold", "rollback"]),
        on_deadline=st.sampled_from(["hold", "rollback"]),
        max_failed=st.sampled_from([0, 1]),
        max_unknown=st.sampled_from([None, 0, 1]),
        progress_deadline=st.sampled_from([None, "20s"]),
        rollout_deadline=st.sampled_from([None, "2m"]),
        lost_after=st.sampled_from([None, "2m"]),
        rollback=st.sampled_from([{}, {"batches": ["100%"], "max_unavailable": "50%"}]),
        migrations=st.sampled_from([Migrations(), MIGRATIONS]),
        gates=st.sampled_from([GATES[1:2], GATES]),
    )
    def commit(self, name: str, version: str | None, count: int, **rollout: Any) -> None:
        self.declare(spec_of(name, version, count, **rollout))
        self.site.decide()

    @rule(places=st.sampled_from([{}, {"hosts": 1}, {"hosts": 3, "zone/b": 1}, {"rollouts": 1}]))
    def limits_change(self, places: dict[str, int]) -> None:
        limits = replace(LIMITS, places=places) if places else None
        self.limits = limits
        self.declare()
        self.site.decide()

    @rule(name=names)
    def somebody_goes_back(self, name: str) -> None:
        status = self.site.world.statuses.get(name)
        if status is not None and name in self.site.world.declared:
            with suppress(ValueError):
                self.site.world.apply(name, PutStatus(undone(status, "jo", "slow", self.site.now)), Stamp(0, 0))

    @rule(name=names)
    def version_file_vanishes(self, name: str) -> None:
        rest = {key: spec for key, spec in self.site.world.declared.items() if key != name}
        self.site.world.set_specs(rest, self.site.now)

    @rule(chosen=st.sets(nodes, max_size=2), heal=st.booleans())
    def silence(self, chosen: set[str], heal: bool) -> None:
        self.site.behaviour.silent = set() if heal else self.site.behaviour.silent | chosen

    @rule(
        busy=st.sets(hosts, max_size=1),
        stuck=st.sets(hosts, max_size=1),
        broken=st.sets(st.sampled_from(["2", "3"]), max_size=1),
        failing=st.sets(st.sampled_from(["2", "3"]), max_size=1),
        down=st.sets(st.tuples(balancers, hosts), max_size=1),
    )
    def trouble(self, **trouble: set[Any]) -> None:
        for what, which in trouble.items():
            setattr(self.site.behaviour, what, which)

    @rule(
        outcomes=st.dictionaries(
            st.sampled_from(["expand", "contract", "before", "batch", "online", "after"]),
            st.sampled_from(["running", "failed", "inconclusive"]),
            max_size=2,
        )
    )
    def operations_do_not_pass(self, outcomes: dict[str, str]) -> None:
        self.site.behaviour.outcomes = outcomes

    @rule(node=balancers, name=st.sampled_from([ONLINE, "web"]), host=hosts, state=st.sampled_from(["maint", "drain"]))
    def somebody_takes_out(self, node: str, name: str, host: str, state: Any) -> None:
        self.site.agents[node].marked[name, host] = state

    @rule(node=st.one_of(hosts, balancers), verb=st.sampled_from(["exclude", "include"]))
    def an_operator_decides_about_a_node(self, node: str, verb: Any) -> None:
        with suppress(Refused):
            command_node(self.site, verb, node)

    @rule(name=names, verb=st.sampled_from(VERBS))
    def an_operator_decides_about_a_rollout(self, name: str, verb: Any) -> None:
        if name in self.site.world.specs:
            with suppress(Refused):
                command(self.site, verb, target=name)

    @rule(node=balancers)
    def somebody_puts_back(self, node: str) -> None:
        self.site.agents[node].marked.clear()

    @rule(extra=st.booleans(), moved=st.sets(hosts, max_size=1))
    def somebody_edits_the_balancers_configuration(self, extra: bool, moved: set[str]) -> None:
        self.site.behaviour.extra = {"vm99": "10.9.9.9:1"} if extra else {}
        self.site.behaviour.moved = dict.fromkeys(moved, "10.9.9.8:1")

    @rule(target=late, name=nodes)
    def a_report_is_delayed(self, name: str) -> Report:
        return self.site.agents[name].report()

    @rule(report=late)
    def a_late_report_arrives(self, report: Report) -> None:
        self.site.world.fold(report, self.site.now)
        self.site.decide()

    @rule()
    def another_controller_takes_over(self) -> None:
        self.site.restart()

    @invariant()
    def the_index_is_the_one_built_from_nothing(self) -> None:
        world, fresh = self.site.world, from_nothing(self.site.world)
        for name, spec in world.specs.items():
            kept = world.observed(name).index
            assert kept == fresh.observed(name).index
            assert sorted(kept.candidates) == kept.candidates
            for host in spec.hosts:
                facts = world.facts(name, host)
                assert facts == fresh.facts(name, host)
                assert not [node for node, _ in facts.servers if world.nodes.get(node).silent]
        assert world.fleets.indexes == fresh.fleets.indexes

    def teardown(self) -> None:
        """Promise 17: once faults stop, every target converges or stalls with a reason."""
        behaviour = self.site.behaviour
        for what in (behaviour.silent, behaviour.busy, behaviour.stuck, behaviour.broken, behaviour.failing):
            what.clear()
        for faults in (behaviour.down, behaviour.unsafe, behaviour.extra, behaviour.moved, behaviour.outcomes):
            faults.clear()
        for agent in self.site.agents.values():
            agent.marked.clear()
        for node in [*self.site.world.exclusions]:
            command_node(self.site, "include", node)
        for name in NAMES:
            self.declare(self.site.world.declared.get(name) or spec_of(name, "1", MOST))
            for verb in ("resume", "retry"):
                with suppress(Refused):  # nothing was paused, nothing has failed
                    command(self.site, verb, target=name)
        for _ in range(5):
            self.site.run(60, 3.0)
            if all(self.site.is_settled(name) for name in NAMES):
                return
        raise AssertionError([self.site.status(name) for name in NAMES])


class FreshHistories(Histories):
    """Others each time; one that fails is printed shrunk, as Python and as a line that replays it."""


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None, derandomize=True)
FreshHistories.TestCase.settings = settings(Histories.TestCase.settings, derandomize=False, print_blob=True)
shrinks = pytest.mark.timeout(900)  # which takes minutes, and only after a failure
TestHistories, TestFreshHistories = shrinks(Histories.TestCase), shrinks(FreshHistories.TestCase)


servers = st.dictionaries(hosts, st.sampled_from(["plain", "named", "missing"]), min_size=1)


@given(servers, st.booleans(), st.booleans())
def test_a_report_adds_up_only_if_unnamed_servers_are_exactly_the_unnamed_hosts(
    where: dict[str, str], foreign: bool, misplaced: bool
) -> None:
    spec = spec_of("api@prod", "1", MOST)
    spec = replace(spec, hosts={name: host for name, host in spec.hosts.items() if name in where})
    plain = {name: address(name) for name, kind in where.items() if kind == "plain"}
    if misplaced and plain:
        plain[min(plain)] = "10.9.9.9:8080"
    if foreign:
        plain["vm99"] = "10.9.9.9:8080"
    named = {name: server("drain", name) for name, kind in where.items() if kind == "named"}
    said = PoolReport(read=ASKED, servers=named, plain_count=len(plain), plain_digest=plain_digest(plain))
    exact = plain == {name: address(name) for name, kind in where.items() if kind != "named"}
    assert adds_up(said, spec, spec.pools[0], pool_number(spec, spec.pools[0])) is exact


asked = st.dictionaries(st.tuples(names, st.sampled_from(["a", "b"]), hosts), st.sampled_from(["drain", "maint"]))


@given(asked, st.permutations(NAMES))
def test_fragments_merge_to_exactly_what_is_asked_in_any_order(
    wanted: dict[tuple[str, str, str], str], order: list[str]
) -> None:
    """Each target has pools of its own."""
    fragments: dict[str, dict[str, Entry]] = {name: {} for name in order}
    for (name, kind, host), state in wanted.items():
        said = ServerAssignment.model_validate({"state": state, "address": address(host)})
        value = canonical_json(said.model_dump(mode="json", by_alias=True)).decode()
        fragments[name][server_key(f"{name[:3]}-{kind}", host)] = Entry(value, ASKED)
        fragments[name][f"pool/{name[:3]}-{kind}"] = Entry("{}", ASKED)
    merged = merge("lb1", ASKED, NOW, fragments)
    found = {(pool, host): said.state for pool, each in merged.pools.items() for host, said in each.servers.items()}
    assert found == {(f"{name[:3]}-{kind}", host): state for (name, kind, host), state in wanted.items()}
